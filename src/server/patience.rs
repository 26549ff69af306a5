//! How long the server waits for a client.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a whole request without its body: from the opening of a connection, or from the end of the last response.
    pub head: Duration,
    /// For the next part of a body.
    pub body_silence: Duration,
    /// For a whole body. No connection that works is so slow.
    pub body: Duration,
    /// For the client to take the next part of a response.
    pub write: Duration,
}

impl Patience {
    pub fn with_idle(idle: Duration) -> Self {
        Self {
            head: idle,
            body_silence: Duration::from_secs(20),
            body: Duration::from_secs(300),
            write: Duration::from_secs(60),
        }
    }
}
