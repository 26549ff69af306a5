//! A run once more: its dependencies, its sources and its suites, in a container of its image.

use crate::domain::job::RunSpec;
use crate::host::quote;
use crate::recipe::Suite;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where everything is inside of the container, as in ours.
pub(super) const WORK: &str = "/work";

/// Bytes of what runs inside, for a line that people copy.
const LINE_MOST: usize = 8_000;

/// What it takes to do a run again.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// By digest where a registry has it; else by its name on the hosts' engines.
    pub(super) image: String,
    /// Whether a registry has it. By its name alone, a public registry would hand out what anybody put there.
    pub(super) pulls: bool,
    pub(super) run: RunSpec,
    pub(super) lock: Lock,
    /// Tars of the folders that its recipe brings along, by the source's name.
    pub(super) folders: BTreeMap<String, Vec<u8>>,
}

/// The versions that a run has installed; what it has no need of is left out.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Lock {
    pub(super) project: Option<Pin>,
    #[serde(default)]
    pub(super) packages: Vec<Pin>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pin {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) sha256: Option<String>,
    #[serde(default)]
    role: String,
}

impl Rerun {
    /// One line for the shell of a machine that has the image, or can pull it. None: something has to be fetched first
    /// that only the script can, or the line would be too long for a page.
    pub(super) fn line(&self, network: &str) -> Option<String> {
        let inside = self.inside();
        let is_whole = self.host_sources().is_empty() && inside.len() <= LINE_MOST;
        let start = self.docker_run(network);
        is_whole.then(|| format!("{start} {} sh -ec {}", quote(&self.image), quote(&inside)))
    }

    /// For a script that has the image's name in `$image`.
    pub(super) fn script(&self, network: &str) -> String {
        let sources = self.host_sources();
        let (mut text, mount) = if sources.is_empty() {
            (String::new(), "")
        } else {
            let text = format!(
                "sources=$(mktemp -d)\nexport GIT_TERMINAL_PROMPT=0\n{}\nchmod -R a+rX \"$sources\"\n",
                sources.join("\n")
            );
            (text, " -v \"$sources:/sources:ro\"")
        };
        // quoted whole: a recipe may have any word that would end it otherwise. A file, for suites may read their input
        text += &format!(
            "printf '%s\\n' {} | {}{mount} -i \"$image\" sh -c 'cat >{WORK}/run; exec sh -e {WORK}/run </dev/null'\n",
            quote(&self.inside()),
            self.docker_run(network),
        );
        text
    }

    /// It runs strangers' code: no more rights than a run has with us, but for the network, from which it installs.
    fn docker_run(&self, network: &str) -> String {
        let limits = &self.run.limits;
        let pull = if self.pulls { "" } else { "--pull never " };
        format!(
            "docker run --rm {pull}--user 1000 --cap-drop ALL --security-opt no-new-privileges --pids-limit {} --memory {} \
             --tmpfs {WORK}:exec,mode=1777{network}",
            limits.pids, limits.memory.0
        )
    }

    /// What runs in the container: install as it was installed, then the suites that failed.
    pub(super) fn inside(&self) -> String {
        let python = &self.run.image.build.profile.python;
        let mut lines = vec![
            format!("export HOME={WORK}/home VIRTUAL_ENV={WORK}/venv UV_CACHE_DIR={WORK}/cache UV_LINK_MODE=copy"),
            format!("export PATH={WORK}/venv/bin:/opt/pybots/bin:/usr/local/bin:/usr/bin:/bin"),
            format!("mkdir -p {WORK}/home {WORK}/src"),
        ];
        let wanted: Vec<String> = self
            .lock
            .packages
            .iter()
            .filter(|pin| pin.role == "run")
            .filter_map(Pin::exact)
            .collect();
        if self.run.is_legacy() {
            let packages = format!("{WORK}/venv/lib/python");
            lines.push(format!(
                "mkdir -p {WORK}/venv/bin {packages} && ln -sf {} {WORK}/venv/bin/python",
                quote(python)
            ));
            lines.push(format!("export PYTHONPATH={packages}"));
        } else {
            lines.push(format!("uv venv -q --python {python} {WORK}/venv"));
        }
        if !wanted.is_empty() {
            lines.push(format!("uv pip install -q --no-deps {}", wanted.join(" ")));
        }
        for source in &self.run.fetch.sources {
            lines.extend(self.source(source, python));
        }
        let folder = format!("{WORK}/src/{}", self.run.fetch.project);
        let variables = self.run.env.iter();
        lines.extend(variables.map(|(name, value)| format!("export {name}={}", quote(value))));
        let default = vec!["uv pip install -q .".to_owned()];
        for command in self.run.install.as_ref().unwrap_or(&default) {
            lines.push(format!("(cd {} && {command})", quote(&folder)));
        }
        lines.push(format!("cd {}", quote(&folder)));
        lines.extend(self.run.suites.iter().map(suite));
        lines.join("\n")
    }
}

impl Pin {
    fn exact(&self) -> Option<String> {
        Some(quote(&format!("{}=={}", self.name, self.version.as_deref()?)))
    }
}

/// One suite, with its modes.
fn suite(suite: &Suite) -> String {
    let modes = crate::recipe::modes::variables(&suite.modes);
    let set: String = modes
        .into_iter()
        .map(|(name, value)| format!("{name}={} ", quote(&value)))
        .collect();
    if set.is_empty() {
        return suite.run.clone();
    }
    format!("env {set}sh -c {}", quote(&suite.run))
}
