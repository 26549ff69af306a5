//! Limits the readers that follow growing logs or the stream of events, in all and for each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many readers may follow logs and events at the same time. Each holds a connection and a window of text.
const ALL: usize = 500;

/// Why a client can't follow another log or stream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    #[error("too many logs and events are being followed")]
    All,
    #[error("too many logs and events are being followed from one address (`http.log_readers_per_address`)")]
    OfOne,
}

#[derive(Debug)]
pub struct Readers {
    of_one: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// The right to follow one log or one stream of events, until it is dropped.
#[derive(Debug)]
pub struct ReaderPermit {
    readers: Arc<Readers>,
    address: IpAddr,
}

impl Readers {
    pub fn new(of_one: usize) -> Self {
        Self {
            of_one,
            by_address: Mutex::default(),
        }
    }

    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<ReaderPermit, TooMany> {
        let mut readers = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.values().sum::<usize>() >= ALL {
            return Err(TooMany::All);
        }
        if readers.get(&address).copied().unwrap_or(0) >= self.of_one {
            return Err(TooMany::OfOne);
        }
        *readers.entry(address).or_default() += 1;
        Ok(ReaderPermit {
            readers: self.clone(),
            address,
        })
    }
}

impl Drop for ReaderPermit {
    fn drop(&mut self) {
        let mut readers = self.readers.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = readers.get_mut(&self.address) {
            *left -= 1;
            if *left == 0 {
                readers.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(last: u32) -> IpAddr {
        Ipv4Addr::from_bits(last).into()
    }

    #[test]
    fn one_client_takes_few_places_and_gives_them_back() {
        let readers = Arc::new(Readers::new(2));
        let first = readers.enter(address(1)).unwrap();
        let _second = readers.enter(address(1)).unwrap();
        assert_eq!(readers.enter(address(1)).unwrap_err(), TooMany::OfOne);
        let _other = readers.enter(address(2)).unwrap();
        drop(first);
        drop(readers.enter(address(1)).unwrap());
        let all: Vec<ReaderPermit> = (3..500).map(|last| readers.enter(address(last)).unwrap()).collect();
        let _last = readers.enter(address(1000)).unwrap();
        assert_eq!(readers.enter(address(1001)).unwrap_err(), TooMany::All);
        drop(all);
        assert_eq!(readers.by_address.lock().unwrap().len(), 3);
    }
}
