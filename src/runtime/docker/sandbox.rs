//! The sandbox that every container gets, in Docker's words.

use crate::runtime::Container;
use bollard::models::{HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits};
use std::collections::HashMap;

/// Size of /tmp in every container, in bytes; it counts against the memory limit.
const TMP_BYTES: u64 = 512 << 20;

/// The sandbox that every container gets.
pub fn host_config(container: &Container) -> HostConfig {
    let memory = i64::try_from(container.memory.0).unwrap_or(i64::MAX);
    HostConfig {
        memory: Some(memory),
        memory_swap: Some(memory), // memory and swap together: no swap
        nano_cpus: Some((container.cpus * 1e9) as i64),
        pids_limit: Some(i64::try_from(container.pids).unwrap_or(i64::MAX)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        network_mode: Some(container.network.clone().unwrap_or_else(|| "none".to_owned())),
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
        // output is read as it comes; the engine must not write it to its own disk as well
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
