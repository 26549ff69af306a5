//! Checks the container engine: whether it answers, and whether it supports the sandbox.

use super::Diagnosis;
use crate::config::Settings;
use crate::runtime::docker::DockerRuntime;
use crate::runtime::{Engine, Runtime, RuntimeError};
use std::sync::Arc;

/// An engine that answered.
pub struct AnsweringEngine {
    pub runtime: Arc<dyn Runtime>,
    pub is: Engine,
}

pub async fn examine(settings: &Settings) -> (Vec<Diagnosis>, Option<AnsweringEngine>) {
    let socket = settings.engine.socket();
    let found = async {
        let runtime: Arc<dyn Runtime> = Arc::new(DockerRuntime::connect(&socket).await?);
        let is = runtime.engine().await?;
        Ok::<_, RuntimeError>(AnsweringEngine { runtime, is })
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
            let mut diagnoses = vec![Diagnosis::ok("engine", says)];
            diagnoses.extend(sandbox(&found.is));
            (diagnoses, Some(found))
        }
        Err(error) => {
            let says = error.to_string();
            let remedy = if says.to_lowercase().contains("permission denied") {
                "allow this user to use the engine (`sudo usermod -aG docker USER`, then log in again), or use a rootless engine"
            } else {
                "start the engine (`systemctl start docker`), or name its socket in `engine.socket`"
            };
            (vec![Diagnosis::fail("engine", says, remedy)], None)
        }
    }
}

/// Lists the limits of the sandbox that this engine does not support.
fn sandbox(engine: &Engine) -> Vec<Diagnosis> {
    let traits = &engine.traits;
    let mut diagnoses = Vec::new();
    let (soft, hard): (Vec<&str>, Vec<&str>) = traits.cannot_limit.iter().partition(|limit| **limit == "swap");
    if !hard.is_empty() {
        diagnoses.push(Diagnosis::fail(
            "sandbox",
            format!("this engine can't limit {}", hard.join(", ")),
            "boot with these cgroup controllers; an engine without root needs cgroup v2, with the controllers delegated to its user",
        ));
    }
    if !soft.is_empty() {
        diagnoses.push(Diagnosis::warn(
            "sandbox",
            "this engine can't keep containers from swapping",
            "boot with `swapaccount=1`, or without swap",
        ));
    }
    if !traits.seccomp {
        diagnoses.push(Diagnosis::fail(
            "sandbox",
            "this engine does not restrict system calls",
            "start it with its default seccomp profile, on a kernel that has seccomp",
        ));
    }
    if diagnoses.is_empty() {
        let says = "limits of memory, processors and processes, and seccomp are there";
        diagnoses.push(Diagnosis::ok("sandbox", says));
    }
    diagnoses
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;
    use crate::runtime::Traits;

    fn states(traits: Traits) -> Vec<Severity> {
        let engine = Engine {
            version: "1".into(),
            api: "1.41".into(),
            platform: "linux/amd64".into(),
            free_gib: None,
            traits,
        };
        sandbox(&engine).iter().map(|diagnosis| diagnosis.state).collect()
    }

    #[test]
    fn limits_that_the_engine_lacks_are_findings() {
        let good = Traits {
            seccomp: true,
            ..Traits::default()
        };
        assert_eq!(states(good.clone()), [Severity::Ok]);
        let swaps = Traits {
            cannot_limit: vec!["swap"],
            ..good.clone()
        };
        assert_eq!(states(swaps), [Severity::Warn]);
        let open = Traits {
            cannot_limit: vec!["memory", "swap"],
            seccomp: false,
            ..good
        };
        assert_eq!(states(open), [Severity::Fail, Severity::Warn, Severity::Fail]);
    }
}
