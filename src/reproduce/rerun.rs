//! Does a run again: installs its dependencies, fetches its sources and runs its suites, in a container of its image.

use super::network::{CA, FIND_CA, find_network};
use crate::domain::job::RunSpec;
use crate::domain::lock::{Lock, LockedPackage, PackageRole};
use crate::domain::suite::Suite;
use crate::host::quote;
use std::collections::BTreeMap;

/// The folder inside the container that holds everything, as in the containers of hosts.
pub(super) const WORK: &str = "/work";

/// The longest command, in bytes, that people are asked to copy.
const COMMAND_BYTES: usize = 8_000;

/// Everything that is needed to do a run again.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// The reference of the image: by digest if a registry has it, otherwise its name on the hosts' engines.
    pub(super) image: String,
    /// Whether a registry has the image. Without a digest the image must not be pulled: anybody could have pushed one
    /// with this name to a public registry.
    pub(super) pulls: bool,
    pub(super) run: RunSpec,
    /// The lock that the run reported, or an empty one if it reported none that can be read.
    pub(super) lock: Lock,
    /// Tars of the folders that its recipe brings along, by the source's name.
    pub(super) folders: BTreeMap<String, Vec<u8>>,
}

impl Rerun {
    /// Returns a shell command for a machine that has the image or can pull it. Returns `None` if the command would be
    /// too long, or if sources have to be fetched outside the container, which only the script can do.
    pub(super) fn line(&self) -> Option<String> {
        let inside = self.inside();
        let is_whole = self.host_sources().is_empty() && inside.len() <= COMMAND_BYTES;
        let start = self.docker_run();
        // in a subshell: it changes the positional parameters
        is_whole.then(|| {
            let (network, image, inside) = (find_network(), quote(&self.image), quote(&inside));
            format!("({FIND_CA}; {network}; {start} {image} sh -ec {inside})")
        })
    }

    /// Returns the lines of a script that has the name of the image in `$image`, and the CA bundle in `$ca`.
    pub(super) fn script(&self) -> String {
        let sources = self.host_sources();
        let (mut text, mount) = if sources.is_empty() {
            (String::new(), "")
        } else {
            let text = format!(
                "sources=$(mktemp -d)\nexport GIT_TERMINAL_PROMPT=0 GIT_CONFIG_GLOBAL=/dev/null\n{}\nchmod -R a+rX \"$sources\"\n",
                sources.join("\n")
            );
            (text, " -v \"$sources:/sources:ro\"")
        };
        // quoted as a whole, because a recipe may contain any end marker of a here-document; put into a file, because
        // suites may read their standard input
        text += &format!("{}\n", find_network());
        text += &format!(
            "printf '%s\\n' {} | {}{mount} -i \"$image\" sh -c 'cat >{WORK}/run; exec sh -e {WORK}/run </dev/null'\n",
            quote(&self.inside()),
            self.docker_run(),
        );
        text
    }

    /// Returns the start of a `docker run` for untrusted code. The container has the rights of a run on a host. In
    /// addition it has the network, from which it installs: with the CA bundle in `$ca`, and the index and the proxies
    /// in `$@`.
    fn docker_run(&self) -> String {
        let limits = &self.run.limits;
        let pull = if self.pulls { "" } else { "--pull never " };
        format!(
            "docker run --rm {pull}--user 1000 --cap-drop ALL --security-opt no-new-privileges --pids-limit {} --memory {} \
             --tmpfs {WORK}:exec,mode=1777 \"$@\" \
             ${{ca:+--volume=\"$ca:{CA}:ro\"}}",
            limits.pids, limits.memory.0
        )
    }

    /// Returns the commands inside the container: the installation as the run made it, then the suites, up to the first
    /// that fails.
    pub(super) fn inside(&self) -> String {
        let python = &self.run.image.build.profile.python;
        let mut lines = vec![
            format!("export HOME={WORK}/home VIRTUAL_ENV={WORK}/venv UV_CACHE_DIR={WORK}/cache UV_LINK_MODE=copy"),
            format!("export PATH={WORK}/venv/bin:/opt/pybots/bin:/usr/local/bin:/usr/bin:/bin"),
            format!("mkdir -p {WORK}/home {WORK}/src"),
            "[ -z \"${PIP_INDEX_URL:-}\" ] || export UV_DEFAULT_INDEX=\"$PIP_INDEX_URL\"".to_owned(),
            format!(
                "[ ! -e {CA} ] || export SSL_CERT_FILE={CA} PIP_CERT={CA} REQUESTS_CA_BUNDLE={CA} CURL_CA_BUNDLE={CA} GIT_SSL_CAINFO={CA}"
            ),
        ];
        let wanted: Vec<String> = self.lock.in_role(PackageRole::Run).filter_map(exact).collect();
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
        let folder = format!("{WORK}/src/{}", self.run.fetch.project_folder());
        let variables = self.run.env.iter();
        lines.extend(variables.map(|(name, value)| format!("export {name}={}", quote(value))));
        // versions that the fetch took from tags, which the sources here do not have
        let versions = self.lock.variables.iter().filter(|(name, _)| is_variable(name));
        lines.extend(
            versions.map(|(name, value)| format!("[ -n \"${{{name}:-}}\" ] || export {name}={}", quote(value))),
        );
        let default = vec!["uv pip install -q .".to_owned()];
        for command in self.run.install.as_ref().unwrap_or(&default) {
            lines.push(format!("(cd {} && {command})", quote(&folder)));
        }
        lines.push(format!("cd {}", quote(&folder)));
        lines.extend(self.run.suites.iter().map(suite));
        lines.join("\n")
    }
}

/// Returns the requirement of exactly this package, quoted for a shell, or `None` if the lock has no version of it.
fn exact(package: &LockedPackage) -> Option<String> {
    Some(quote(&format!("{}=={}", package.name, package.version.as_deref()?)))
}

/// Returns whether a name that a host reported can be the name of a variable.
fn is_variable(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Returns the command of one suite, with its modes.
fn suite(suite: &Suite) -> String {
    let modes = crate::domain::modes::variables(&suite.modes);
    let set: String = modes
        .into_iter()
        .map(|(name, value)| format!("{name}={} ", quote(&value)))
        .collect();
    if set.is_empty() {
        return suite.run.clone();
    }
    format!("env {set}sh -c {}", quote(&suite.run))
}
