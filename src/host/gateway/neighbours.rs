//! The addresses of this machine and of its networks. Runs must not reach them even if they are public, because
//! services there often trust their neighbours.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Returns addresses and networks, as `10.0.0.1` and `10.0.0.0/24`. If the kernel does not show them, the list is
/// empty. If the daemon runs in a container, they are the container's.
pub async fn neighbours() -> Vec<String> {
    let read = async |path| tokio::fs::read_to_string(path).await.unwrap_or_default();
    let mut found = own(&read("/proc/net/fib_trie").await);
    found.extend(on_link(&read("/proc/net/route").await));
    found.extend(of_ipv6(&read("/proc/net/if_inet6").await));
    found
}

/// Returns the machine's own IPv4 addresses from the kernel's routing trie. The line below an address says what the
/// address is.
fn own(trie: &str) -> Vec<String> {
    let mut last = "";
    let mut found = Vec::new();
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address;
        } else if line == "/32 host LOCAL" && last.parse::<Ipv4Addr>().is_ok() {
            found.push(last.to_owned());
        }
    }
    found
}

/// Returns the IPv4 networks that need no router, from the columns destination, gateway and mask of the routing table.
fn on_link(routes: &str) -> Vec<String> {
    let number = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u32::swap_bytes);
    let network = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (to, gateway, mask) = (
            number(columns.get(1)?)?,
            number(columns.get(2)?)?,
            number(columns.get(7)?)?,
        );
        (gateway == 0 && mask != 0).then(|| format!("{}/{}", Ipv4Addr::from(to), mask.count_ones()))
    };
    routes.lines().filter_map(network).collect()
}

/// Returns the IPv6 networks of the machine's interfaces, from their first and third columns: the address, and the
/// length of the prefix in bits.
fn of_ipv6(interfaces: &str) -> Vec<String> {
    let network = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let address = u128::from_str_radix(columns.first()?, 16).ok()?;
        let bits = u8::from_str_radix(columns.get(2)?, 16).ok()?;
        (1..=128)
            .contains(&bits)
            .then(|| format!("{}/{bits}", Ipv6Addr::from(address)))
    };
    interfaces.lines().filter_map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_kernel_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 198.51.100.0/24 2 0 2\n        |-- 198.51.100.7\n           /32 host LOCAL\n        |-- 198.51.100.255\n           /32 link BROADCAST\n";
        assert_eq!(own(trie), ["198.51.100.7"]);
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                      eth0\t00000000\t016433C6\t0003\t0\t0\t0\t00000000\t0\n\
                      eth0\t006433C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n";
        assert_eq!(on_link(routes), ["198.51.100.0/24"]);
        let interfaces =
            "20010db8000000000000000000000002 04 40 00 82 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(of_ipv6(interfaces), ["2001:db8::2/64", "::1/128"]);
        for nonsense in ["", "|-- x\n/32 host LOCAL", "a b", "zz 01 zz"] {
            assert!(own(nonsense).is_empty() && on_link(nonsense).is_empty() && of_ipv6(nonsense).is_empty());
        }
    }
}
