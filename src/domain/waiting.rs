//! Finds out why a queued job waits. This is a pure rule over the hosts, the needs of the job, and the time from which
//! it may be claimed.

mod host;

pub use host::{ONLINE_MS, WaitingHost};

use super::host::{Capabilities, HostState, Labels, only, stored_mib};
use super::id::HostId;
use super::state::JobKind;
use super::time::{Timestamp, show};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The number up to which queued jobs are counted. There may be a million of them, and each page with waiting jobs
/// counts them.
pub const COUNTED_MOST: i64 = 1000;

/// The needs of a job group: the requirements of its jobs for a host.
#[derive(Clone, Copy, Debug)]
pub struct JobNeeds<'a> {
    pub kind: JobKind,
    pub platform: &'a str,
    /// The project, or an empty text for images.
    pub project: &'a str,
    pub branch: &'a str,
    pub labels: &'a Labels,
    /// How much memory a run may use.
    pub memory_mib: i64,
}

/// One thing that a host must have or accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    Builds,
    Platform(&'a str),
    Project(&'a str),
    Branch(&'a str),
    MemoryMib(i64),
    Label(&'a str),
}

impl<'a> JobNeeds<'a> {
    /// Returns all needs, in the order in which people read them.
    pub fn each(self) -> impl Iterator<Item = Need<'a>> {
        let is_image = self.kind == JobKind::Image;
        let fixed = [
            is_image.then_some(Need::Builds),
            Some(Need::Platform(self.platform)),
            (!is_image).then_some(Need::Project(self.project)),
            Some(Need::Branch(self.branch)),
            Some(Need::MemoryMib(self.memory_mib)),
        ];
        let labels = self.labels.iter().map(|label| Need::Label(label));
        fixed.into_iter().flatten().chain(labels)
    }

    /// Returns whether a host accepts the jobs, and has what they need.
    pub fn are_met(self, host: &HostId, builds: bool, capabilities: &Capabilities) -> bool {
        self.each().all(|need| need.is_met(host, builds, capabilities))
    }
}

impl Need<'_> {
    fn is_met(self, host: &HostId, builds: bool, capabilities: &Capabilities) -> bool {
        let among =
            |names: &Option<BTreeSet<String>>, name: &str| names.as_ref().is_none_or(|names| names.contains(name));
        match self {
            Need::Builds => builds,
            Need::Platform(platform) => capabilities.platform == platform,
            Need::Project(project) => among(&capabilities.projects, project),
            Need::Branch(branch) => among(&capabilities.branches, branch),
            Need::MemoryMib(mib) => mib <= capabilities.memory_mib.map_or(i64::MAX, stored_mib),
            Need::Label(label) => capabilities.labels.contains(label) || label == only(host),
        }
    }

    /// Returns the need as the end of "no host has ..".
    fn sentence(self, hosts: &[WaitingHost]) -> String {
        match self {
            Need::Builds => "leave to build images, which `pybots host trust NAME` gives".to_owned(),
            Need::Platform(platform) => format!("the platform {platform}"),
            Need::Project(project) => format!("{project} among the projects that it accepts"),
            Need::Branch(branch) => format!("{branch} among the branches that it accepts"),
            Need::MemoryMib(mib) => format!("{mib} MiB of memory for a run"),
            Need::Label(label) => match hosts.iter().find(|host| only(&host.id) == label) {
                Some(host) => format!("the name {}, for which the job is meant", host.name),
                None => format!("the label {label}"),
            },
        }
    }
}

impl WaitingHost {
    /// Returns whether the host can have the image of a job.
    fn has_image(&self, job: &WaitingJob<'_>) -> bool {
        self.builds || job.is_pushed || job.holders.contains(&self.id)
    }

    /// Returns whether the host takes a job as soon as it may be claimed and a slot is free.
    pub fn takes(&self, job: &WaitingJob<'_>, now: Timestamp) -> bool {
        self.is_ready(now) && self.meets(job.needs) && self.has_image(job)
    }

    fn meets(&self, needs: JobNeeds<'_>) -> bool {
        let capabilities = self.capabilities.as_ref();
        capabilities.is_some_and(|capabilities| needs.are_met(&self.id, self.builds, capabilities))
    }
}

/// A job that waits.
#[derive(Clone, Copy, Debug)]
pub struct WaitingJob<'a> {
    pub needs: JobNeeds<'a>,
    /// The time from which the job may be claimed.
    pub from: Timestamp,
    /// The address that did not answer, if the job waits for it.
    pub source: Option<&'a str>,
    /// The hosts that hold its image.
    pub holders: &'a BTreeSet<HostId>,
    /// Whether its image is in the registry.
    pub is_pushed: bool,
    /// How many jobs are queued altogether, counted up to one more than [`COUNTED_MOST`].
    pub queued: i64,
}

/// The reason why a job waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitReason {
    /// No host is registered.
    NoHost,
    /// No host has called recently. `last` has the name and the time of the last call, if a host ever called.
    NoneOnline { last: Option<(String, Timestamp)> },
    /// No host that is online has what the job needs.
    NoneFits { needs: Vec<String> },
    /// The hosts that fit don't call.
    Offline {
        hosts: Vec<String>,
        since: Option<Timestamp>,
    },
    /// All hosts that fit are draining or in quarantine.
    Held { host: String, state: HostState },
    /// The machinery of the hosts that fit failed too many jobs.
    BackingOff { hosts: Vec<String>, until: Timestamp },
    /// The hosts that fit take no jobs at present. `pause` says why, such as a full disk.
    Paused { host: String, pause: String },
    /// The hosts that fit have no image for the job, and can get none.
    NoImage { hosts: Vec<String> },
    /// A source did not answer.
    Source { address: String, until: Timestamp },
    /// The infrastructure failed the previous attempt.
    Retry { until: Timestamp },
    /// All hosts that fit have as many jobs as they do at the same time.
    Busy { hosts: usize, queued: i64 },
    /// A host is free, and takes the job with its next claim.
    Soon,
}

impl WaitReason {
    /// Returns whether the wait ends by itself, so that nobody has to act.
    pub fn passes(&self) -> bool {
        matches!(
            self,
            WaitReason::Busy { .. } | WaitReason::Soon | WaitReason::Retry { .. }
        )
    }
}

/// Finds out why a job waits at `now`.
pub fn wait_reason(job: &WaitingJob<'_>, hosts: &[WaitingHost], now: Timestamp) -> WaitReason {
    if now < job.from {
        return match job.source {
            Some(address) => WaitReason::Source {
                address: address.to_owned(),
                until: job.from,
            },
            None => WaitReason::Retry { until: job.from },
        };
    }
    let registered = || hosts.iter().filter(|host| host.state != HostState::Removed);
    if registered().next().is_none() {
        return WaitReason::NoHost;
    }
    if !registered().any(|host| host.is_online(now)) {
        let last = registered()
            .filter_map(|host| Some((host.seen_at?, host.name.clone())))
            .max();
        return WaitReason::NoneOnline {
            last: last.map(|(seen, name)| (name, seen)),
        };
    }
    let fitting: Vec<&WaitingHost> = registered().filter(|host| host.meets(job.needs)).collect();
    if fitting.is_empty() {
        return WaitReason::NoneFits {
            needs: missing(job.needs, hosts, now),
        };
    }
    of_fitting(job, fitting, now)
}

/// Finds out why none of the hosts that fit has taken a job. `fitting` must not be empty.
fn of_fitting(job: &WaitingJob<'_>, fitting: Vec<&WaitingHost>, now: Timestamp) -> WaitReason {
    let names = |hosts: &[&WaitingHost]| hosts.iter().map(|host| host.name.clone()).collect::<Vec<_>>();
    let (online, offline) = split(&fitting, |host| host.is_online(now));
    if online.is_empty() {
        return WaitReason::Offline {
            since: offline.iter().filter_map(|host| host.seen_at).max(),
            hosts: names(&offline),
        };
    }
    let (active, held) = split(&online, |host| host.state == HostState::Active);
    if let (true, Some(host)) = (active.is_empty(), held.first()) {
        return WaitReason::Held {
            host: host.name.clone(),
            state: host.state,
        };
    }
    let (awake, resting) = split(&active, |host| !host.backs_off(now));
    if let (true, Some(until)) = (
        awake.is_empty(),
        resting.iter().filter_map(|host| host.backoff_until).min(),
    ) {
        return WaitReason::BackingOff {
            hosts: names(&resting),
            until,
        };
    }
    let (ready, paused) = split(&awake, |host| host.pause().is_none());
    if let (true, Some((host, pause))) = (
        ready.is_empty(),
        paused.iter().find_map(|host| Some((host, host.pause()?))),
    ) {
        return WaitReason::Paused {
            host: host.name.clone(),
            pause: pause.to_owned(),
        };
    }
    let (able, unable) = split(&ready, |host| host.has_image(job));
    if able.is_empty() {
        return WaitReason::NoImage { hosts: names(&unable) };
    }
    match able.iter().all(|host| host.working >= host.slots()) {
        true => WaitReason::Busy {
            hosts: able.len(),
            queued: job.queued,
        },
        false => WaitReason::Soon,
    }
}

fn split<'a>(
    hosts: &[&'a WaitingHost],
    is_first: impl Fn(&WaitingHost) -> bool,
) -> (Vec<&'a WaitingHost>, Vec<&'a WaitingHost>) {
    hosts.iter().partition(|host| is_first(host))
}

/// Returns the needs that no online host meets or, if there are none, the needs that some host lacks.
fn missing(needs: JobNeeds<'_>, hosts: &[WaitingHost], now: Timestamp) -> Vec<String> {
    let online: Vec<(&WaitingHost, &Capabilities)> = hosts
        .iter()
        .filter(|host| host.is_online(now) && host.state != HostState::Removed)
        .filter_map(|host| Some((host, host.capabilities.as_ref()?)))
        .collect();
    let is_met = |need: Need<'_>, (host, capabilities): (&WaitingHost, &Capabilities)| {
        need.is_met(&host.id, host.builds, capabilities)
    };
    let nowhere: Vec<Need<'_>> = needs
        .each()
        .filter(|need| !online.iter().any(|host| is_met(*need, *host)))
        .collect();
    let lacking = match nowhere.is_empty() {
        false => nowhere,
        true => needs
            .each()
            .filter(|need| online.iter().any(|host| !is_met(*need, *host)))
            .collect(),
    };
    lacking.into_iter().map(|need| need.sentence(hosts)).collect()
}

/// Writes a reason as the end of a sentence that begins with "waiting:".
impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::NoHost => f.write_str("no host is registered; `pybots host add` registers one"),
            WaitReason::NoneOnline { last: None } => f.write_str("no host has called yet"),
            WaitReason::NoneOnline { last: Some((name, at)) } => {
                write!(
                    f,
                    "no host is online; the last call was that of {name}, at {} UTC",
                    show(*at)
                )
            }
            WaitReason::NoneFits { needs } => write!(f, "no host that is online has {}", needs.join(" and ")),
            WaitReason::Offline { hosts, since } => {
                write!(f, "{} not online", fit(hosts))?;
                since.map_or(Ok(()), |at| write!(f, " since {} UTC", show(at)))
            }
            WaitReason::Held { host, state } => match state {
                HostState::Quarantined => {
                    write!(
                        f,
                        "{host} fits, but is in quarantine; fix it, then `pybots host resume {host}`"
                    )
                }
                _ => write!(
                    f,
                    "{host} fits, but is {state}; `pybots host resume {host}` gives it jobs again"
                ),
            },
            WaitReason::BackingOff { hosts, until } => {
                write!(f, "{} backing off until {} UTC", fit(hosts), show(*until))
            }
            WaitReason::Paused { host, pause } => write!(f, "{host} fits, but takes no jobs: {pause}"),
            WaitReason::NoImage { hosts } => write!(
                f,
                "{} without its image, may not build it, and can't pull it from a registry",
                fit(hosts)
            ),
            WaitReason::Source { address, until } => {
                write!(
                    f,
                    "its source {address} did not answer; the next try is at {} UTC",
                    show(*until)
                )
            }
            WaitReason::Retry { until } => {
                write!(
                    f,
                    "the infrastructure failed it; the next try is at {} UTC",
                    show(*until)
                )
            }
            WaitReason::Busy { hosts: 1, queued } => write!(f, "the host that fits is busy; {}", jobs(*queued)),
            WaitReason::Busy { hosts, queued } => write!(f, "all {hosts} hosts that fit are busy; {}", jobs(*queued)),
            WaitReason::Soon => f.write_str("a host that fits takes it when it asks next"),
        }
    }
}

/// Returns the beginning of a sentence: `lab fits, but is`, or `lab and 2 other hosts fit, but are`.
fn fit(hosts: &[String]) -> String {
    match hosts {
        [] => "no host fits that is".to_owned(),
        [host] => format!("{host} fits, but is"),
        [host, other] => format!("{host} and {other} fit, but are"),
        [host, others @ ..] => format!("{host} and {} other hosts fit, but are", others.len()),
    }
}

fn jobs(queued: i64) -> String {
    match queued {
        1 => "1 job is queued".to_owned(),
        _ => format!("{} jobs are queued", count_text(queued)),
    }
}

/// Returns a number of jobs that were counted up to one more than [`COUNTED_MOST`]: `17`, or `more than 1000`.
pub fn count_text(jobs: i64) -> String {
    match jobs > COUNTED_MOST {
        true => format!("more than {COUNTED_MOST}"),
        false => jobs.to_string(),
    }
}

/// Counts jobs by their reasons. Reasons on which somebody has to act come first, then the most frequent.
pub fn by_reason(waits: impl IntoIterator<Item = (WaitReason, i64)>) -> Vec<(WaitReason, i64)> {
    let mut counts = BTreeMap::new();
    for (reason, jobs) in waits {
        *counts.entry(reason).or_insert(0) += jobs;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(reason, jobs)| (reason.passes(), std::cmp::Reverse(*jobs)));
    counts
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
