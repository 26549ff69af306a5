//! The open connections, and the state of each.

use super::places::{Activity, Admission, ConnectionRefusal, Held, Shares, choose};
use crate::web::{ClientNetwork, Peer};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The time after the last call of a host for which its address counts as a host's address.
const HOST_FOR: Duration = Duration::from_secs(3600);

/// All open connections.
#[derive(Debug)]
pub struct House {
    shares: Shares,
    proxies: HashSet<IpAddr>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    held: HashMap<u64, (Held, CancellationToken)>,
    /// The time of a host's last call from each network.
    hosts: HashMap<ClientNetwork, Instant>,
    /// The registered hosts whose calls are in progress, by connection.
    calls: HashMap<u64, String>,
}

/// The right of a connection to stay open. Dropping it frees the place.
pub struct ConnectionPermit {
    house: Arc<House>,
    id: u64,
    address: IpAddr,
    /// Cancelled when another connection needs the place.
    pub leaves: CancellationToken,
}

/// A request in progress.
pub struct Working(Arc<ConnectionPermit>);

impl House {
    pub fn new(shares: Shares, proxies: &[IpAddr]) -> Arc<Self> {
        Arc::new(Self {
            shares,
            proxies: proxies.iter().map(IpAddr::to_canonical).collect(),
            inside: Mutex::default(),
        })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new connection a place, if need be in exchange for another one, which it ends: see [`choose`]. Fails if
    /// the address, or all clients together, hold too many connections.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionPermit, ConnectionRefusal> {
        let now = Instant::now();
        let network = ClientNetwork::from(address);
        let mut inside = self.inside();
        inside.hosts.retain(|_, called| now.duration_since(*called) < HOST_FOR);
        let is_stranger = self.is_stranger(&inside, address, network);
        let held: Vec<Held> = inside.held.values().map(|(held, _)| *held).collect();
        match choose(&held, network, is_stranger, self.shares, now) {
            Admission::Enter => {}
            Admission::Replace(id) => inside.end(id),
            Admission::Refuse(refusal) => return Err(refusal),
        }
        let id = inside.next;
        inside.next += 1;
        let held = Held {
            id,
            network,
            is_stranger,
            is_host: false,
            work: Activity::Idle,
            since: now,
        };
        let leaves = CancellationToken::new();
        inside.held.insert(id, (held, leaves.clone()));
        Ok(ConnectionPermit {
            house: self.clone(),
            id,
            address,
            leaves,
        })
    }

    /// Ends the connection that has been idle for longest, because the process can't open another file.
    pub fn make_room(&self) {
        let mut inside = self.inside();
        let idle = inside.held.values().filter(|(held, _)| held.work == Activity::Idle);
        if let Some(id) = idle.min_by_key(|(held, _)| held.since).map(|(held, _)| held.id) {
            inside.end(id);
        }
    }

    fn is_stranger(&self, inside: &Inside, address: IpAddr, network: ClientNetwork) -> bool {
        !(network.is_loopback() || self.is_proxy(address) || inside.hosts.contains_key(&network))
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.contains(&address.to_canonical())
    }

    /// Records that a host calls from this network, so that its connections no longer count as a stranger's. Returns
    /// `false`, and records nothing, if the host has as many calls in progress as it may have, from all addresses
    /// together.
    fn note_host(&self, (id, network): (u64, ClientNetwork), host: &str, slots: u32) -> bool {
        let mut inside = self.inside();
        let others = inside.calls.iter().filter(|(other, by)| **other != id && *by == host);
        if others.count() >= self.shares.of_host(slots) {
            return false;
        }
        inside.calls.insert(id, host.to_owned());
        if inside.hosts.insert(network, Instant::now()).is_none() {
            let same = inside.held.values_mut().filter(|(held, _)| held.network == network);
            same.for_each(|(held, _)| held.is_stranger = false);
        }
        if let Some((held, _)) = inside.held.get_mut(&id) {
            held.is_host = true;
        }
        true
    }

    fn set(&self, id: u64, work: Activity) {
        if let Some((held, _)) = self.inside().held.get_mut(&id) {
            held.work = work;
            held.since = Instant::now();
        }
    }
}

impl Inside {
    fn end(&mut self, id: u64) {
        if let Some((_, leaves)) = self.held.remove(&id) {
            leaves.cancel();
        }
        self.calls.remove(&id);
    }
}

impl ConnectionPermit {
    /// Returns the client of a request. `forwarded` is the header `X-Forwarded-For`. Only its last address counts, and
    /// only on the connection of a proxy that the settings list.
    pub fn peer(&self, forwarded: Option<&str>) -> Peer {
        let (house, id, network) = (self.house.clone(), self.id, ClientNetwork::from(self.address));
        let vouch = Arc::new(move |host: &str, slots| house.note_host((id, network), host, slots));
        // earlier elements are claims of the client itself
        let last = forwarded.and_then(|forwarded| address_in(forwarded.rsplit(',').next()?.trim()));
        let address = match self.house.is_proxy(self.address) {
            true => last.unwrap_or(self.address),
            false => self.address,
        };
        Peer::new(address, vouch)
    }

    /// Records that a request has arrived. The connection is busy until the returned value is dropped.
    pub fn work(self: &Arc<Self>) -> Working {
        self.house.set(self.id, Activity::Busy);
        Working(self.clone())
    }
}

/// Parses an address as proxies write it, with or without a port.
fn address_in(text: &str) -> Option<IpAddr> {
    let alone = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    alone().or_else(|| text.parse().ok().map(|place: SocketAddr| place.ip()))
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut inside = self.house.inside();
        inside.held.remove(&self.id);
        inside.calls.remove(&self.id);
    }
}

impl Working {
    /// Records that the client would miss nothing if the response ended early.
    pub fn note_resumable(&self) {
        self.0.house.set(self.0.id, Activity::Resumable);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.house.inside().calls.remove(&self.0.id);
        self.0.house.set(self.0.id, Activity::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(proxies: &[&str]) -> Arc<House> {
        let proxies: Vec<IpAddr> = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        House::new(Shares { all: 8, of_one: 2 }, &proxies)
    }

    fn enter(house: &Arc<House>, address: &str) -> Result<Arc<ConnectionPermit>, ConnectionRefusal> {
        house.enter(address.parse().unwrap()).map(Arc::new)
    }

    #[test]
    fn a_proxy_writes_addresses_with_or_without_a_port() {
        for (text, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(address_in(text), address.map(|text| text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_from_which_a_host_calls_is_no_stranger() {
        let house = house(&[]);
        let first = enter(&house, "192.0.2.1").unwrap();
        let _second = enter(&house, "192.0.2.1").unwrap();
        assert_eq!(enter(&house, "192.0.2.1").err(), Some(ConnectionRefusal::OfOne));
        assert!(first.peer(None).note_host("host", 1));
        let _third = enter(&house, "192.0.2.1").unwrap();
        assert!(house.inside().held.values().all(|(held, _)| !held.is_stranger));
    }

    #[test]
    fn a_host_has_as_many_calls_in_work_as_its_slots_take() {
        let house = House::new(Shares { all: 100, of_one: 100 }, &[]);
        let most = house.shares.of_host(1);
        let all: Vec<Arc<ConnectionPermit>> = (0..=most).map(|_| enter(&house, "192.0.2.1").unwrap()).collect();
        let mut working: Vec<Working> = all.iter().map(ConnectionPermit::work).collect();
        let mut calls = all.iter().map(|place| place.peer(None).note_host("host", 1));
        assert_eq!(calls.by_ref().filter(|fits| *fits).count(), most);
        // other routes may check the same request again
        assert!(all[0].peer(None).note_host("host", 1));
        assert!(all[most].peer(None).note_host("another", 1));
        // the end of a request makes room
        drop(working.remove(0));
        assert!(enter(&house, "198.51.100.1").unwrap().peer(None).note_host("host", 1));
        drop((working, all));
        assert!(house.inside().calls.is_empty());
    }

    #[test]
    fn places_are_given_back() {
        let house = house(&[]);
        let first = enter(&house, "192.0.2.1").unwrap();
        let working = first.work();
        drop(first);
        // the request ends later than the connection
        assert_eq!(house.inside().held.len(), 1);
        drop(working);
        assert!(house.inside().held.is_empty());
        let idle = enter(&house, "192.0.2.1").unwrap();
        house.make_room();
        assert!(idle.leaves.is_cancelled() && house.inside().held.is_empty());
    }

    #[test]
    fn only_a_proxy_of_ours_says_who_the_client_is() {
        let house = house(&["192.0.2.9"]);
        let of = |address: &str, forwarded| enter(&house, address).unwrap().peer(forwarded).network.address();
        let is = |address: &str| address.parse::<IpAddr>().unwrap();
        assert_eq!(of("192.0.2.9", Some("10.0.0.1, 198.51.100.7")), is("198.51.100.7"));
        assert_eq!(of("192.0.2.9", Some("nonsense")), is("192.0.2.9"));
        assert_eq!(of("192.0.2.9", None), is("192.0.2.9"));
        assert_eq!(of("192.0.2.8", Some("198.51.100.7")), is("192.0.2.8"));
    }
}
