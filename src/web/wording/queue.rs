//! The texts of pages about the queue.

use super::units::brief_duration;
use crate::store::views::{BACKLOG_MOST, Backlog, Fleet};

/// Describes the work that waits: `250 jobs wait, about 40 min of work.`
pub fn backlog(backlog: &Backlog) -> String {
    let jobs = match backlog.queued {
        0 => return "No job waits.".to_owned(),
        1 => "1 job waits".to_owned(),
        jobs if jobs > BACKLOG_MOST => format!("More than {BACKLOG_MOST} jobs wait"),
        jobs => format!("{jobs} jobs wait"),
    };
    match backlog.takes_ms {
        Some(ms) => {
            let least = if backlog.queued > BACKLOG_MOST {
                "at least"
            } else {
                "about"
            };
            format!("{jobs}, {least} {} of work.", brief_duration(ms as f64 / 1000.0))
        }
        None => format!("{jobs}."),
    }
}

/// Describes the hosts: `4 hosts call, with 8 slots. 1 host is silent.`
pub fn fleet(fleet: &Fleet) -> String {
    let slots = match fleet.slots {
        1 => "1 slot".to_owned(),
        slots => format!("{slots} slots"),
    };
    let online = match (fleet.online, fleet.slots) {
        (0, _) => "No host calls.".to_owned(),
        (1, 0) => "1 host calls, and takes no jobs at present.".to_owned(),
        (1, _) => format!("1 host calls, with {slots}."),
        (hosts, 0) => format!("{hosts} hosts call, and take no jobs at present."),
        (hosts, _) => format!("{hosts} hosts call, with {slots}."),
    };
    match fleet.silent {
        0 => online,
        1 => format!("{online} 1 host is silent."),
        hosts => format!("{online} {hosts} hosts are silent."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_says_how_much_and_how_long() {
        let shown = |queued, takes_ms| {
            backlog(&Backlog {
                queued,
                takes_ms,
                ..Backlog::default()
            })
        };
        assert_eq!(shown(0, None), "No job waits.");
        assert_eq!(shown(1, None), "1 job waits.");
        assert_eq!(shown(250, Some(2_400_000)), "250 jobs wait, about 40 min of work.");
        assert_eq!(
            shown(10_001, Some(60_000)),
            "More than 10000 jobs wait, at least 60 s of work."
        );
    }

    #[test]
    fn the_fleet_names_the_hosts_that_call_and_those_that_do_not() {
        let shown = |online, silent, slots| fleet(&Fleet { online, silent, slots });
        assert_eq!(shown(0, 0, 0), "No host calls.");
        assert_eq!(shown(1, 0, 1), "1 host calls, with 1 slot.");
        assert_eq!(shown(4, 1, 8), "4 hosts call, with 8 slots. 1 host is silent.");
        assert_eq!(shown(2, 0, 0), "2 hosts call, and take no jobs at present.");
        assert_eq!(shown(0, 2, 0), "No host calls. 2 hosts are silent.");
    }
}
