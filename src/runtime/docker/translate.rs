//! What the engine says, in the words of the contract.

use crate::logfile::Stream;
use crate::runtime::{Output, RuntimeError, Usage};
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerBlkioStatEntry, ContainerStatsResponse};

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

/// Whether a stream that was turned into I/O says that nothing is there.
pub fn missing(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.and_then(status) == Some(404)
}

pub fn to_io(error: Error) -> std::io::Error {
    std::io::Error::other(error)
}

/// CPU time, and bytes moved to and from disks.
pub fn usage(stats: ContainerStatsResponse) -> Usage {
    let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage);
    let io = stats.blkio_stats.and_then(|io| io.io_service_bytes_recursive);
    let moved = |entry: &&ContainerBlkioStatEntry| {
        // cgroup v1 writes the words with capitals, v2 without
        matches!(entry.op.as_deref(), Some("Read" | "read" | "Write" | "write"))
    };
    let io = io.unwrap_or_default();
    Usage {
        cpu_ns: cpu.and_then(|usage| usage.total_usage).unwrap_or_default(),
        io_bytes: io.iter().filter(moved).filter_map(|entry| entry.value).sum(),
    }
}

/// What a container wrote, by stream; without a terminal the engine keeps them apart.
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
