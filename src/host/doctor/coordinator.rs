//! The way to the coordinator: whether it answers, lets this host in, and has the same time.

use super::{Enrolment, Finding};
use crate::clock::now_ms;
use crate::host::client::Client;

/// Clocks that differ by more let leases run out early, and logs lie.
const SKEW_MS: i64 = 5_000;

/// What the coordinator answered to a call that changes nothing.
pub struct Answer {
    pub status: u16,
    pub text: String,
    /// Its clock, as HTTP has it: whole seconds.
    pub date: Option<String>,
}

pub async fn examine(enrolment: &Enrolment) -> Vec<Finding> {
    let Some(server) = &enrolment.server else {
        return vec![Finding::warn(
            "coordinator",
            "this host was not enrolled yet",
            "start it with the line that a maintainer hands you; `--server URL` here looks whether the way there is free",
        )];
    };
    let client = match Client::new(server, enrolment.token.as_deref().unwrap_or_default()) {
        Ok(client) => client,
        Err(error) => return vec![Finding::fail("coordinator", format!("{error:#}"), "correct `--server`")],
    };
    let asked = now_ms();
    match client.ask().await {
        Ok(answer) => {
            let mut findings = vec![let_in(server, enrolment, &answer)];
            findings.extend(answer.date.as_deref().map(|date| clock(date, asked, now_ms())));
            findings
        }
        Err(error) => vec![Finding::fail(
            "coordinator",
            format!("{server} can't be reached: {error:#}"),
            "look whether the address is right, and whether this machine may call out to it",
        )],
    }
}

fn let_in(server: &str, enrolment: &Enrolment, answer: &Answer) -> Finding {
    let text = answer.text.trim();
    match answer.status {
        200 => {
            let name = serde_json::from_str::<crate::api::Welcome>(text).map(|welcome| match welcome.builds {
                true => format!("{}, which may build images", welcome.name),
                false => format!("{}, which builds no images", welcome.name),
            });
            match name {
                Ok(name) => Finding::ok("coordinator", format!("{server} knows this host as {name}")),
                Err(_) => Finding::fail("coordinator", format!("at {server} is no Pybots"), "correct `--server`"),
            }
        }
        401 if enrolment.token.is_none() => Finding::warn(
            "coordinator",
            format!("{server} answers; this host was not enrolled yet"),
            "start it with the line that a maintainer hands you",
        ),
        401 => Finding::fail(
            "coordinator",
            format!("{server} does not know this host's token"),
            "ask a maintainer for another one (`pybots host rotate NAME`)",
        ),
        426 => Finding::fail("coordinator", text, "install the version that is named there"),
        status => Finding::fail(
            "coordinator",
            format!("{server} answered {status}, as no Pybots would"),
            "look whether the address is right, and what stands in between",
        ),
    }
}

/// Compares the clocks. The answer was made somewhere between the two times.
fn clock(date: &str, asked: i64, answered: i64) -> Finding {
    let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else {
        return Finding::warn(
            "clock",
            format!("the coordinator says the time as {date:?}"),
            "tell a maintainer",
        );
    };
    let theirs = theirs.timestamp().as_millisecond();
    // theirs has no fraction of a second
    let ahead = match () {
        () if asked > theirs + 999 => asked - theirs - 999,
        () if answered < theirs => answered - theirs,
        () => 0,
    };
    let seconds = ahead.abs() / 1000;
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    match ahead.abs() {
        ..=SKEW_MS => Finding::ok("clock", "agrees with the coordinator's"),
        _ => Finding::fail(
            "clock",
            format!("this machine's clock is {seconds} s {way} the coordinator's"),
            "set it by the network: `timedatectl set-ntp true`, or chrony",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let theirs = 784_111_777_000;
        let state = |asked: i64, answered: i64| clock(date, theirs + asked, theirs + answered).state;
        assert_eq!(state(0, 10), State::Ok);
        assert_eq!(state(5_900, 5_950), State::Ok);
        assert_eq!(state(-9_000, -4_900), State::Ok);
        assert_eq!(state(-20_000, 20_000), State::Ok, "a slow answer says nothing");
        assert_eq!(state(7_000, 7_010), State::Fail);
        assert_eq!(state(-6_100, -6_000), State::Fail);
        assert!(
            clock(date, theirs + 61_000, theirs + 61_000)
                .says
                .contains("60 s ahead")
        );
        assert_eq!(clock("noon", 0, 0).state, State::Warn);
    }
}
