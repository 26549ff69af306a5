//! Checks the connection to the coordinator: whether it answers, accepts this host, and agrees on the time.

use super::{Diagnosis, Enrolment};
use crate::clock::now;
use crate::domain::address::Address;
use crate::domain::skew::skew;
use crate::host::client::{Client, RawResponse};

pub async fn examine(enrolment: &Enrolment) -> Vec<Diagnosis> {
    let Some(server) = &enrolment.server else {
        return vec![Diagnosis::warn(
            "coordinator",
            "this host was not enrolled yet",
            "start it with the line that an operator gives you; `--server URL` here checks the way to the coordinator",
        )];
    };
    let shown = Address::new(server.as_str());
    let client = match Client::new(server, enrolment.token.as_deref().unwrap_or_default()) {
        Ok(client) => client,
        Err(error) => {
            return vec![Diagnosis::fail(
                "coordinator",
                format!("{error:#}"),
                "correct `--server`",
            )];
        }
    };
    let asked = now().as_millis();
    match client.ask().await {
        Ok(answer) => {
            let mut diagnoses = vec![let_in(&shown, enrolment, &answer)];
            diagnoses.extend(answer.date.as_deref().map(|date| clock(date, asked, now().as_millis())));
            diagnoses
        }
        Err(error) => vec![Diagnosis::fail(
            "coordinator",
            format!("{error:#}"),
            "check whether this machine may connect to it",
        )],
    }
}

fn let_in(server: &Address, enrolment: &Enrolment, answer: &RawResponse) -> Diagnosis {
    let text = answer.text.trim();
    match answer.status {
        200 => {
            let name = serde_json::from_str::<crate::protocol::Welcome>(text).map(|welcome| match welcome.builds {
                true => format!("{}, which may build images", welcome.name),
                false => format!("{}, which builds no images", welcome.name),
            });
            match name {
                Ok(name) => Diagnosis::ok("coordinator", format!("{server} knows this host as {name}")),
                Err(_) => Diagnosis::fail(
                    "coordinator",
                    format!("{server} is not a Pybots coordinator"),
                    "correct `--server`",
                ),
            }
        }
        401 if enrolment.token.is_none() => Diagnosis::warn(
            "coordinator",
            format!("{server} answers; this host was not enrolled yet"),
            "start it with the line that an operator gives you",
        ),
        401 => Diagnosis::fail(
            "coordinator",
            format!("{server} does not know this host's token"),
            "ask an operator for another one (`pybots host rotate NAME`)",
        ),
        421 => Diagnosis::fail(
            "coordinator",
            text,
            "ask an operator to add the name, or use another `--server`",
        ),
        426 => Diagnosis::fail("coordinator", text, "install the version that it names"),
        503 => Diagnosis::fail("coordinator", text, "ask again in a minute"),
        status => Diagnosis::fail(
            "coordinator",
            format!("{server} answered {status}, which no Pybots coordinator does"),
            "check the address, and the proxies in between",
        ),
    }
}

/// Compares the clocks. The coordinator answered at some moment between the two times.
fn clock(date: &str, asked: i64, answered: i64) -> Diagnosis {
    let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else {
        return Diagnosis::warn(
            "clock",
            format!("the coordinator gives its time as {date:?}"),
            "inform an operator",
        );
    };
    let theirs = theirs.timestamp().as_millisecond();
    // the coordinator's time has no fraction of a second
    let ahead = match () {
        () if asked > theirs + 999 => asked - theirs - 999,
        () if answered < theirs => answered - theirs,
        () => 0,
    };
    match skew(ahead) {
        None => Diagnosis::ok("clock", "agrees with the coordinator's"),
        Some(skew) => Diagnosis::fail(
            "clock",
            format!("this machine's clock is {skew}"),
            "set it by the network: `timedatectl set-ntp true`, or chrony",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let theirs = 784_111_777_000;
        let state = |asked: i64, answered: i64| clock(date, theirs + asked, theirs + answered).state;
        assert_eq!(state(0, 10), Severity::Ok);
        assert_eq!(state(5_900, 5_950), Severity::Ok);
        assert_eq!(state(-9_000, -4_900), Severity::Ok);
        assert_eq!(state(-20_000, 20_000), Severity::Ok, "a slow answer says nothing");
        assert_eq!(state(7_000, 7_010), Severity::Fail);
        assert_eq!(state(-6_100, -6_000), Severity::Fail);
        assert!(
            clock(date, theirs + 61_000, theirs + 61_000)
                .says
                .contains("60 s ahead of the coordinator's")
        );
        assert_eq!(clock("noon", 0, 0).state, Severity::Warn);
    }
}
