//! Translates the engine's answers into the types of the contract.

use crate::logfile::Stream;
use crate::runtime::{Output, RuntimeError, Traits, Usage};
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerBlkioStatEntry, ContainerStatsResponse, SystemInfo, SystemVersion};

pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

pub fn refused(message: String) -> RuntimeError {
    if message.contains("no space left on device") {
        RuntimeError::DiskFull(message)
    } else {
        RuntimeError::Refused(message)
    }
}

/// The engine's answer when the container itself is gone, which says nothing about its files.
const NO_CONTAINER: &str = "no such container";

/// The engine's answers for a path that leads to no file: a part of it is missing or a file, a circle of links, or too
/// long. A project can cause each of them.
const NO_PATH: [&str; 5] = [
    "not a directory",
    "too many links",
    "too many levels of symbolic links",
    "file name too long",
    "no such file or directory",
];

/// Returns whether an I/O error wraps the engine's answer that there is no file at a path.
pub fn missing(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::DockerResponseServerError { status_code, message }) => {
            let message = message.to_lowercase();
            let is_of_path = *status_code == 404 || NO_PATH.iter().any(|reason| message.contains(reason));
            is_of_path && !message.contains(NO_CONTAINER)
        }
        _ => false,
    }
}

pub fn to_io(error: Error) -> std::io::Error {
    std::io::Error::other(error)
}

/// Returns the CPU time, and the bytes moved to and from disks.
pub fn usage(stats: ContainerStatsResponse) -> Usage {
    let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage);
    let io = stats.blkio_stats.and_then(|io| io.io_service_bytes_recursive);
    let moved = |entry: &&ContainerBlkioStatEntry| {
        // cgroup v1 writes these words with capitals, v2 without
        matches!(entry.op.as_deref(), Some("Read" | "read" | "Write" | "write"))
    };
    let io = io.unwrap_or_default();
    Usage {
        cpu_ns: cpu.and_then(|usage| usage.total_usage).unwrap_or_default(),
        io_bytes: io.iter().filter(moved).filter_map(|entry| entry.value).sum(),
    }
}

/// Returns the properties of an engine and its machine.
pub fn traits(version: &SystemVersion, info: &SystemInfo) -> Traits {
    let options = info.security_options.as_deref().unwrap_or_default();
    let has = |name: &str| options.iter().any(|option| option.starts_with(&format!("name={name}")));
    // Docker reports all of these, Podman 4 some: only an explicit `false` counts
    let limits = [
        ("memory", info.memory_limit),
        ("swap", info.swap_limit),
        ("processors", info.cpu_cfs_quota),
        ("processes", info.pids_limit),
    ];
    let name = version.platform.as_ref().map(|platform| platform.name.clone());
    let podman = version
        .components
        .iter()
        .flatten()
        .find(|component| component.name.starts_with("Podman"));
    Traits {
        name: podman
            .map(|component| component.name.clone())
            .or(name)
            .unwrap_or_default(),
        root: info.docker_root_dir.clone().unwrap_or_default(),
        rootless: has("rootless"),
        cpus: u64::try_from(info.ncpu.unwrap_or(0)).unwrap_or(0),
        memory: u64::try_from(info.mem_total.unwrap_or(0)).unwrap_or(0),
        cannot_limit: limits
            .into_iter()
            .filter(|(_, can)| *can == Some(false))
            .map(|(name, _)| name)
            .collect(),
        seccomp: has("seccomp"),
    }
}

/// Returns the output of a container by stream. Without a terminal the engine keeps the streams apart.
pub fn output(output: LogOutput) -> Output {
    let stream = match output {
        LogOutput::StdErr { .. } => Stream::Stderr,
        LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => Stream::Stdout,
    };
    Output {
        stream,
        bytes: output.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_to_no_file_is_no_fault_of_the_engine() {
        let answer = |status_code, message: &str| {
            let message = message.to_owned();
            missing(&to_io(Error::DockerResponseServerError { status_code, message }))
        };
        for (code, message) in [
            (404, "Could not find the file /work/x in container 1"),
            (500, "lstat /var/lib/docker/x/work/out/r.xml: not a directory"),
            (500, "evalSymlinksInScope: too many links in /var/lib/docker/x"),
            (500, "lstat /work/rrr: file name too long"),
        ] {
            assert!(answer(code, message), "{message}");
        }
        assert!(!answer(500, "the daemon is shutting down"));
        assert!(!answer(404, "No such container: 0f01de4"));
    }
}
