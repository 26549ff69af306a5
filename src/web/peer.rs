//! The client of a connection.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use warp::Filter;

/// The client of a request. The server puts it into the extensions of the request.
#[derive(Clone)]
pub struct Peer {
    /// The network of the client. If the client is behind a proxy that the settings list, this is the network that the
    /// proxy reports.
    pub network: ClientNetwork,
    vouch: Arc<Vouch>,
}

/// A callback that records a registered host as the client: its id, and its number of slots. Returns whether the host
/// may make another call.
pub type Vouch = dyn Fn(&str, u32) -> bool + Send + Sync;

impl Peer {
    /// Builds a client. `vouch` is called when the client proves to be a registered host.
    pub fn new(address: IpAddr, vouch: Arc<Vouch>) -> Self {
        Self {
            network: address.into(),
            vouch,
        }
    }

    /// Records that the client is a registered host with so many slots. Returns `false` if the host has too many calls
    /// in progress.
    pub fn note_host(&self, id: &str, slots: u32) -> bool {
        (self.vouch)(id, slots)
    }
}

/// Stands for a client whose address the server does not give.
impl Default for Peer {
    fn default() -> Self {
        Self::new(Ipv4Addr::UNSPECIFIED.into(), Arc::new(|_, _| true))
    }
}

/// Returns the client of the request.
pub fn peer() -> impl Filter<Extract = (Peer,), Error = Infallible> + Copy {
    warp::ext::optional::<Peer>().map(Option::unwrap_or_default)
}

/// The network that counts as one client: an address, or in IPv6 the /64 around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(IpAddr);

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            address => address,
        })
    }
}

impl ClientNetwork {
    /// Returns the address, or the first address of the /64.
    pub fn address(&self) -> IpAddr {
        self.0
    }

    pub fn is_loopback(&self) -> bool {
        self.0.is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> ClientNetwork {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_client_has_one_address_or_a_net_of_ipv6() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        // the same client on a socket for both versions of IP
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert!(network("::1").is_loopback() && network("::ffff:127.0.0.1").is_loopback());
        assert!(!network("::2").is_loopback());
    }
}
