//! What the engine's errors mean to the contract.

use crate::runtime::RuntimeError;
use bollard::errors::Error;

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

pub fn to_io(error: Error) -> std::io::Error {
    std::io::Error::other(error)
}
