//! Networks of their own for hosts: a namespace with one line to this machine, that can be cut.

use std::process::{Command, Stdio};

pub struct Network {
    pub name: String,
    /// This machine, as it is seen from there.
    pub gateway: String,
    line: String,
}

impl Network {
    /// The `n`th. None where the machine does not allow it.
    pub fn new(n: usize) -> Option<Self> {
        let id = std::process::id();
        let (name, line, inner) = (
            format!("pybots-{id}-{n}"),
            format!("pyb{id}.{n}"),
            format!("pyi{id}.{n}"),
        );
        // 198.18.0.0/15 is there for tests of networks
        let subnet = format!("198.{}.{}", 18 + (id / 256) % 2, id % 256);
        let (ours, theirs) = (format!("{subnet}.{}", n * 4 + 1), format!("{subnet}.{}", n * 4 + 2));
        ip(&["netns", "add", &name]).then_some(())?;
        let network = Self {
            name,
            gateway: ours,
            line,
        };
        let inside = ["-n", &network.name];
        let made = ip(&["link", "add", &network.line, "type", "veth", "peer", "name", &inner])
            && ip(&["link", "set", &inner, "netns", &network.name])
            && ip(&["addr", "add", &format!("{}/30", network.gateway), "dev", &network.line])
            && ip(&["link", "set", &network.line, "up"])
            && ip(&[&inside[..], &["addr", "add", &format!("{theirs}/30"), "dev", &inner]].concat())
            && ip(&[&inside[..], &["link", "set", &inner, "up"]].concat())
            && ip(&[&inside[..], &["link", "set", "lo", "up"]].concat());
        made.then_some(network)
    }

    /// Nobody is told: what is on its way is lost.
    pub fn cut(&self, cut: bool) {
        assert!(ip(&["link", "set", &self.line, if cut { "down" } else { "up" }]));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // its end in there goes with it
        ip(&["link", "del", &self.line]);
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
