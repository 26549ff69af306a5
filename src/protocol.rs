//! The messages that a host and the coordinator send each other over HTTP, apart from the types of [`crate::domain`].
//! docs/protocol.md lists the calls in the order in which a host makes them.

mod nul;

pub use nul::{has_nul, without_nul};

use crate::domain::id::AttemptId;
use crate::domain::job::{JobSpec, Report};
use serde::{Deserialize, Serialize};

/// The version of the protocol that this program speaks, as host and as coordinator. Raise it with every change
/// that the other side would misunderstand: a path, a key, a meaning. The coordinator answers a host of another
/// version with status 426 and what to install.
///
/// | version | change |
/// |---|---|
/// | 3 | limits of a whole run; a host names the instance of its daemon; sources have `subfolder` and `submodules` |
/// | 2 | a host posts its capabilities to `capabilities`; an image names what it adds by the terms of the glossary |
/// | 1 | the first one |
pub const PROTOCOL: u32 = 3;

/// The header in which a host sends the version that it speaks.
pub const PROTOCOL_HEADER: &str = "pybots-protocol";

/// The header in which a host names the instance of its daemon. Calls of an instance that another has replaced get 410.
pub const INSTANCE_HEADER: &str = "pybots-instance";

/// The header in which a host sends its time: milliseconds since 1970-01-01 00:00 UTC. Without it, the coordinator has
/// no clock offset of the host.
pub const CLOCK_HEADER: &str = "pybots-clock";

/// The response to `hello`: how the coordinator has registered the calling host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The host's id, with which it labels every container, image and volume that it creates.
    pub id: String,
    pub name: String,
    /// Whether the host may build images.
    pub builds: bool,
}

/// The response to `claim`: a job that is leased to the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub attempt: AttemptId,
    /// The number of the attempt at the job, from 1.
    pub number: i64,
    /// The secret of this lease. Every later call about the attempt carries it, so that the holder of an earlier
    /// lease can't end the attempt.
    pub fence: String,
    /// Whether the host may build images.
    pub builds: bool,
    pub spec: JobSpec,
}

/// Asks to prolong a lease.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    pub fence: String,
    /// The most seconds for which the coordinator may hold its response. It responds earlier if the attempt is
    /// cancelled.
    #[serde(default)]
    pub hold_s: u64,
}

/// The response to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// `false` if a maintainer has cancelled the attempt.
    pub wanted: bool,
}

/// Ends an attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRequest {
    pub fence: String,
    pub report: Report,
}

/// The response to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Receipt {
    /// The report ended the attempt.
    Counted,
    /// Another attempt at the job began before the report arrived. The coordinator stores the report, but does not
    /// count it.
    Late,
}

/// Reports that an image was pushed to the registry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushedRequest {
    /// The image's reference by digest, in the repository that the coordinator named.
    pub reference: String,
}

/// The refusal of a frame that begins behind the end of the coordinator's log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGap {
    /// The offset from which the host has to send its log again.
    pub ends_at: u64,
}
