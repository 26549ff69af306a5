//! Computes how many connections the process can hold besides its own files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files of the coordinator itself: the database, git, the runtime. With `pybots up`, they include the host's
/// files.
const OWN: u64 = 64;
/// Open files of one connection: its socket, and the log that it reads or writes.
const OF_ONE: u64 = 2;

/// Returns how many of the wanted connections fit. Raises the soft limit of open files for that, up to the hard limit.
pub fn connections(wanted: usize) -> usize {
    let needed = OWN + OF_ONE * wanted as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = match current {
        Some(current) if current < needed => {
            let raised = maximum.map_or(needed, |maximum| maximum.min(needed)).max(current);
            let limit = Rlimit {
                current: Some(raised),
                maximum,
            };
            setrlimit(Resource::Nofile, limit).map_or(current, |()| raised)
        }
        _ => needed,
    };
    let fit = fit(current).min(wanted);
    if fit < wanted {
        tracing::warn!(
            connections = fit,
            "at most {current} files can be open, so fewer connections than `http.connections` are held; raise the limit (`ulimit -n`, `LimitNOFILE`)"
        );
    }
    fit
}

/// Returns how many connections fit into a limit of open files.
fn fit(files: u64) -> usize {
    usize::try_from((files.saturating_sub(OWN) / OF_ONE).max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinator_keeps_files_for_itself() {
        assert_eq!(fit(150), 43);
        assert_eq!(fit(1024), 480);
        assert_eq!(fit(10), 1);
    }
}
