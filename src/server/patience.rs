//! The time limits of the server for clients.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The limit for a whole request without its body, from the opening of the connection or the end of the last
    /// response.
    pub head: Duration,
    /// The limit for the next part of a body.
    pub body_silence: Duration,
    /// The limit for a whole body. No working connection is so slow.
    pub body: Duration,
    /// The limit for the client to take the next part of a response.
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
