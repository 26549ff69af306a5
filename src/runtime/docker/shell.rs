//! The command line by which a person enters a container that has the sandbox of a phase.

use super::sandbox::{HOST_NAME, host_config};
use crate::runtime::{Container, Network};

/// Returns the arguments of `docker` that run a container on a terminal.
pub fn arguments(container: &Container) -> Vec<String> {
    let config = host_config(container);
    let mut arguments: Vec<String> = [
        "run",
        "--rm",
        "-it",
        "--read-only",
        "--ipc",
        "private",
        "--ulimit",
        "core=0",
    ]
    .map(str::to_owned)
    .into();
    let mut add = |option: &str, value: String| arguments.extend([format!("--{option}"), value]);
    add("user", container.user.clone());
    add("workdir", container.workdir.clone());
    add("network", config.network_mode.unwrap_or_default());
    add("memory", container.memory.0.to_string());
    add("memory-swap", container.memory.0.to_string());
    add("pids-limit", container.pids.to_string());
    add("cpus", container.cpus.to_string());
    for capability in config.cap_drop.unwrap_or_default() {
        add("cap-drop", capability);
    }
    for option in config.security_opt.unwrap_or_default() {
        add("security-opt", option);
    }
    if container.network == Network::Loopback {
        add("hostname", HOST_NAME.to_owned());
    }
    for (name, value) in config.sysctls.unwrap_or_default() {
        add("sysctl", format!("{name}={value}"));
    }
    for host in config.extra_hosts.unwrap_or_default() {
        add("add-host", host);
    }
    for (path, options) in config.tmpfs.unwrap_or_default() {
        add("tmpfs", format!("{path}:{options}"));
    }
    for (name, path) in &container.volumes {
        add("mount", format!("type=volume,src={name},dst={path}"));
    }
    for (name, value) in &container.labels {
        add("label", format!("{name}={value}"));
    }
    for (name, value) in &container.env {
        add("env", format!("{name}={value}"));
    }
    arguments.push(container.image.clone());
    arguments.extend(container.command.iter().cloned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::Size;
    use std::collections::BTreeMap;

    #[test]
    fn a_shell_has_the_sandbox_of_its_suite() {
        let container = Container {
            image: "image".to_owned(),
            command: vec!["sh".to_owned()],
            user: "1000:1000".to_owned(),
            workdir: "/work/src/p".to_owned(),
            env: BTreeMap::from([("A".to_owned(), "b c".to_owned())]),
            network: Network::Loopback,
            volumes: vec![("v".to_owned(), "/work".to_owned())],
            memory: Size(1 << 20),
            pids: 7,
            cpus: 1.5,
            labels: BTreeMap::new(),
        };
        let line = arguments(&container).join(" ");
        for part in [
            "--read-only",
            "--user 1000:1000",
            "--network none",
            "--memory 1048576 --memory-swap 1048576 --pids-limit 7 --cpus 1.5",
            "--cap-drop ALL --security-opt no-new-privileges:true",
            "--sysctl net.ipv4.ip_unprivileged_port_start=1024",
            "--add-host pybots:127.0.0.1",
            "--mount type=volume,src=v,dst=/work",
            "--env A=b c image sh",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("privileged ") && !line.contains("docker.sock"), "{line}");
    }
}
