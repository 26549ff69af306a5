//! The container engine: whether it answers, and whether it can shut a container in.

use super::Finding;
use crate::config::Settings;
use crate::runtime::docker::DockerRuntime;
use crate::runtime::{Engine, Runtime, RuntimeError};
use std::sync::Arc;

/// An engine that answers.
pub struct Found {
    pub runtime: Arc<dyn Runtime>,
    pub is: Engine,
}

pub async fn examine(settings: &Settings) -> (Vec<Finding>, Option<Found>) {
    let socket = settings.engine.socket();
    let found = async {
        let runtime: Arc<dyn Runtime> = Arc::new(DockerRuntime::connect(&socket).await?);
        let is = runtime.engine().await?;
        Ok::<_, RuntimeError>(Found { runtime, is })
    };
    match found.await {
        Ok(found) => {
            let kind = match found.is.traits.name.as_str() {
                "" => "an engine",
                name => name,
            };
            let root = if found.is.traits.rootless {
                "without root"
            } else {
                "as root"
            };
            let Engine {
                version, api, platform, ..
            } = &found.is;
            let says = format!(
                "{kind} {version}, API {api}, {platform}, runs {root}, at {}",
                socket.display()
            );
            let mut findings = vec![Finding::ok("engine", says)];
            findings.extend(sandbox(&found.is));
            (findings, Some(found))
        }
        Err(error) => {
            let says = error.to_string();
            let remedy = if says.to_lowercase().contains("permission denied") {
                "let this user use the engine (`sudo usermod -aG docker USER`, then log in again), or take an engine without root"
            } else {
                "start the engine (`systemctl start docker`), or name its socket in `engine.socket`"
            };
            (vec![Finding::fail("engine", says, remedy)], None)
        }
    }
}

/// What the sandbox asks for and this engine does not do.
fn sandbox(engine: &Engine) -> Vec<Finding> {
    let traits = &engine.traits;
    let mut findings = Vec::new();
    let (soft, hard): (Vec<&str>, Vec<&str>) = traits.cannot_limit.iter().partition(|limit| **limit == "swap");
    if !hard.is_empty() {
        findings.push(Finding::fail(
            "sandbox",
            format!("this engine can't limit {}", hard.join(", ")),
            "boot with these cgroup controllers; an engine without root needs cgroup v2, with the controllers delegated to its user",
        ));
    }
    if !soft.is_empty() {
        findings.push(Finding::warn(
            "sandbox",
            "this engine can't keep containers from swapping",
            "boot with `swapaccount=1`, or without swap",
        ));
    }
    if !traits.seccomp {
        findings.push(Finding::fail(
            "sandbox",
            "this engine confines no system calls",
            "start it with its default seccomp profile, on a kernel that has seccomp",
        ));
    }
    if findings.is_empty() {
        let says = "limits of memory, processors and processes, and seccomp are there";
        findings.push(Finding::ok("sandbox", says));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use crate::runtime::Traits;

    fn states(traits: Traits) -> Vec<State> {
        let engine = Engine {
            version: "1".into(),
            api: "1.41".into(),
            platform: "linux/amd64".into(),
            free_gib: None,
            traits,
        };
        sandbox(&engine).iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn what_the_sandbox_lacks_is_said() {
        let good = Traits {
            seccomp: true,
            ..Traits::default()
        };
        assert_eq!(states(good.clone()), [State::Ok]);
        let swaps = Traits {
            cannot_limit: vec!["swap"],
            ..good.clone()
        };
        assert_eq!(states(swaps), [State::Warn]);
        let open = Traits {
            cannot_limit: vec!["memory", "swap"],
            seccomp: false,
            ..good
        };
        assert_eq!(states(open), [State::Fail, State::Warn, State::Fail]);
    }
}
