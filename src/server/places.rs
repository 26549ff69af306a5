//! Decides which clients may hold a connection. A share is reserved for this machine and for registered hosts. A new
//! connection can replace an idle one, so idle sockets keep nobody out.

use crate::web::ClientNetwork;
use std::time::{Duration, Instant};

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// The limit of all connections together.
    pub all: usize,
    /// The limit of one network of strangers.
    pub of_one: usize,
}

impl Shares {
    /// Returns the limit of all strangers together.
    fn of_strangers(&self) -> usize {
        (self.all * 3 / 4).max(1)
    }

    /// Returns the most calls of one registered host at the same time. The host itself reports its slots.
    pub fn of_host(&self, slots: u32) -> usize {
        let wanted = usize::try_from(slots)
            .unwrap_or(usize::MAX)
            .saturating_mul(CALLS_OF_SLOT);
        wanted
            .saturating_add(CALLS_BESIDE)
            .min((self.all / 4).max(CALLS_BESIDE))
    }
}

/// Calls for each slot of a host: it claims a job, or renews the lease, sends the log and fetches files.
const CALLS_OF_SLOT: usize = 4;
/// Calls of a host besides the calls of its slots: inventories, pauses, reports of earlier processes, and calls that it
/// has abandoned.
const CALLS_BESIDE: usize = 16;

/// The time for which a newly idle connection keeps its place, because its request may be on the way.
const GRACE: Duration = Duration::from_millis(500);

/// The state of a connection. A connection in an earlier variant gives up its place before one in a later variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// No complete request has arrived since the connection was opened, or since the last response ended.
    Idle,
    /// The client gets a response that may end early: the client then asks again and misses nothing.
    Resumable,
    Busy,
}

#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub id: u64,
    pub network: ClientNetwork,
    /// Whether the client is neither this machine, nor a proxy of the settings, nor at the address of a registered
    /// host.
    pub is_stranger: bool,
    /// Whether a registered host made a call on this connection.
    pub is_host: bool,
    pub work: Activity,
    /// When the connection entered this state.
    pub since: Instant,
}

/// The decision about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Enter,
    /// The new connection replaces this one.
    Replace(u64),
    Refuse(ConnectionRefusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// The address holds too many connections.
    OfOne,
    /// All clients together hold too many connections.
    All,
}

/// Decides about a new connection. A connection on which a request is in progress is never replaced, unless its
/// response is resumable and the newcomer is no stranger.
pub fn choose(held: &[Held], network: ClientNetwork, is_stranger: bool, shares: Shares, now: Instant) -> Admission {
    let rested = |held: &&Held| held.work == Activity::Idle && now.duration_since(held.since) >= GRACE;
    if is_stranger {
        let own = || held.iter().filter(|other| other.network == network);
        if own().count() >= shares.of_one {
            return replace(own().filter(rested)).unwrap_or(Admission::Refuse(ConnectionRefusal::OfOne));
        }
        let strangers = || held.iter().filter(|other| other.is_stranger);
        if strangers().count() >= shares.of_strangers() {
            return replace(strangers().filter(rested)).unwrap_or(Admission::Refuse(ConnectionRefusal::All));
        }
    }
    if held.len() < shares.all {
        return Admission::Enter;
    }
    let leaves = |other: &&Held| match other.work {
        Activity::Busy => false,
        // a client that misses nothing, or only an attempt at a connection, makes room for a host and for this machine
        Activity::Resumable => !is_stranger,
        Activity::Idle => rested(other) || (!is_stranger && other.is_stranger),
    };
    replace(held.iter().filter(leaves)).unwrap_or(Admission::Refuse(ConnectionRefusal::All))
}

/// Chooses the connection to replace: idle before resumable, connections without calls of hosts before others,
/// strangers before others. Among these, it chooses the connection that is in its state for longest. Returns `None` if
/// there is no candidate.
fn replace<'a>(candidates: impl Iterator<Item = &'a Held>) -> Option<Admission> {
    let least = candidates.min_by_key(|held| (held.work, held.is_host, !held.is_stranger, held.since));
    least.map(|held| Admission::Replace(held.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const SHARES: Shares = Shares { all: 8, of_one: 3 };

    fn network(last: u32) -> ClientNetwork {
        IpAddr::from(Ipv4Addr::from_bits(0xc000_0200 + last)).into()
    }

    fn local() -> ClientNetwork {
        IpAddr::from(Ipv4Addr::LOCALHOST).into()
    }

    /// Builds connections of strangers, each older than the next.
    fn held(now: Instant, all: &[(u32, Activity)]) -> Vec<Held> {
        let one = |(index, (last, work)): (usize, &(u32, Activity))| Held {
            id: index as u64,
            network: network(*last),
            is_stranger: true,
            is_host: false,
            work: *work,
            since: now - Duration::from_secs(100 - index as u64),
        };
        all.iter().enumerate().map(one).collect()
    }

    fn of_stranger(held: &[Held], last: u32, now: Instant) -> Admission {
        choose(held, network(last), true, SHARES, now)
    }

    #[test]
    fn one_stranger_holds_few_and_replaces_its_own() {
        let now = Instant::now();
        let mut all = held(now, &[(1, Activity::Busy), (1, Activity::Busy), (1, Activity::Busy)]);
        assert_eq!(of_stranger(&all, 1, now), Admission::Refuse(ConnectionRefusal::OfOne));
        assert_eq!(of_stranger(&all, 2, now), Admission::Enter);
        all[1].work = Activity::Idle;
        assert_eq!(of_stranger(&all, 1, now), Admission::Replace(1));
        // its request may be on the way
        all[1].since = now;
        assert_eq!(of_stranger(&all, 1, now), Admission::Refuse(ConnectionRefusal::OfOne));
    }

    #[test]
    fn a_host_calls_for_its_slots_and_leaves_places_to_others() {
        let shares = Shares { all: 4096, of_one: 64 };
        assert_eq!([0, 1, 8, 1_000].map(|slots| shares.of_host(slots)), [16, 20, 48, 1024]);
        assert_eq!(SHARES.of_host(u32::MAX), CALLS_BESIDE);
    }

    #[test]
    fn strangers_leave_a_share_to_hosts_and_this_machine() {
        let now = Instant::now();
        let mut all = held(now, &[1, 1, 2, 2, 3, 3].map(|last| (last, Activity::Busy)));
        assert_eq!(of_stranger(&all, 4, now), Admission::Refuse(ConnectionRefusal::All));
        assert_eq!(choose(&all, local(), false, SHARES, now), Admission::Enter);
        all[4].work = Activity::Idle;
        assert_eq!(of_stranger(&all, 4, now), Admission::Replace(4));
    }

    #[test]
    fn a_full_house_makes_room_where_it_is_missed_least() {
        let now = Instant::now();
        let mut all = held(now, &[(1, Activity::Busy); 8]);
        let newcomer = |all: &[Held]| choose(all, local(), false, SHARES, now);
        assert_eq!(newcomer(&all), Admission::Refuse(ConnectionRefusal::All));
        all[0].work = Activity::Resumable;
        assert_eq!(newcomer(&all), Admission::Replace(0));
        (all[1].work, all[1].is_stranger, all[1].is_host) = (Activity::Idle, false, true);
        assert_eq!(newcomer(&all), Admission::Replace(1));
        (all[2].work, all[2].is_stranger) = (Activity::Idle, false);
        assert_eq!(newcomer(&all), Admission::Replace(2));
        (all[3].work, all[3].since) = (Activity::Idle, now);
        assert_eq!(newcomer(&all), Admission::Replace(3));
        // the longest idle first
        all[4].work = Activity::Idle;
        assert_eq!(newcomer(&all), Admission::Replace(4));
    }
}
