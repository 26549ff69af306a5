//! The sandbox of every container, in the terms of Docker's API.

use crate::runtime::{Container, Network};
use bollard::models::{HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits};
use std::collections::HashMap;

/// Size of /tmp in every container, in bytes. It counts against the memory limit.
const TMP_BYTES: u64 = 512 << 20;

/// The host name of every container without a network. It resolves to the container's loopback address.
pub const HOST_NAME: &str = "pybots";

/// Returns settings of the kernel for a container that has only loopback. As on most machines, IPv6 works on loopback,
/// and only root binds ports below 1024. Docker's defaults for such a container differ in both. A kernel without IPv6
/// refuses the settings of IPv6.
fn loopback_settings(has_ipv6: bool) -> HashMap<String, String> {
    let ipv6 = ["all", "lo"].map(|on| (format!("net.ipv6.conf.{on}.disable_ipv6"), "0".to_owned()));
    let ports = ("net.ipv4.ip_unprivileged_port_start".to_owned(), "1024".to_owned());
    ipv6.into_iter().filter(|_| has_ipv6).chain([ports]).collect()
}

/// Returns whether the kernel of this machine, which the engine usually shares, has IPv6.
fn kernel_has_ipv6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6").exists()
}

fn network_mode(network: &Network) -> String {
    match network {
        Network::Loopback => "none".to_owned(),
        Network::SharedLoopback(id) => format!("container:{id}"),
        Network::Open(name) => name.clone(),
    }
}

/// Returns the sandbox of a container.
pub fn host_config(container: &Container) -> HostConfig {
    let memory = i64::try_from(container.memory.0).unwrap_or(i64::MAX);
    // a container that shares the network of another one also has its settings and names
    let has_loopback = container.network == Network::Loopback;
    HostConfig {
        memory: Some(memory),
        memory_swap: Some(memory), // memory and swap together: no swap
        nano_cpus: Some((container.cpus * 1e9) as i64),
        pids_limit: Some(i64::try_from(container.pids).unwrap_or(i64::MAX)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        network_mode: Some(network_mode(&container.network)),
        sysctls: has_loopback.then(|| loopback_settings(kernel_has_ipv6())),
        extra_hosts: has_loopback.then(|| vec![format!("{HOST_NAME}:127.0.0.1")]),
        tmpfs: Some(HashMap::from([(
            "/tmp".to_owned(),
            format!("rw,exec,nosuid,nodev,mode=1777,size={TMP_BYTES}"),
        )])),
        mounts: Some(
            container
                .volumes
                .iter()
                .map(|(name, target)| Mount {
                    source: Some(name.clone()),
                    target: Some(target.clone()),
                    typ: Some(MountType::VOLUME),
                    ..Mount::default()
                })
                .collect(),
        ),
        // output is read as it arrives; the engine must not write it to its own disk as well
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        ulimits: Some(vec![ResourcesUlimits {
            name: Some("core".to_owned()),
            soft: Some(0),
            hard: Some(0),
        }]),
        ipc_mode: Some("private".to_owned()),
        ..HostConfig::default()
    }
}
