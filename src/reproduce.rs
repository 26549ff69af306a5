//! An incident once more, on a machine that has Docker and nothing of ours.

mod sources;

use crate::config::NetworkSettings;
use crate::domain::job::{BuildSpec, JobSpec, Report, RunSpec};
use crate::domain::text::is_odd;
use crate::host::{from_scratch, quote};
use crate::incidents::without_login;
use crate::recipe::Suite;
use crate::store::Store;
use crate::store::logs::Objects;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where everything is inside of the container, as in ours.
const WORK: &str = "/work";

/// Where the CA bundle of this machine is inside of the container.
const CA: &str = "/ca.crt";

/// Bytes of what runs inside, for a line that people copy.
const LINE_MOST: usize = 8_000;

/// What it takes to do the run again that failed.
#[derive(Clone, Debug)]
pub struct Reproduction {
    number: i64,
    title: String,
    /// The repository that holds the check-in.
    git: String,
    /// By digest where a registry has it; else by its name on the hosts' engines.
    image: String,
    /// Whether a registry has it. By its name alone, a public registry would hand out what anybody put there.
    pulls: bool,
    run: RunSpec,
    lock: Lock,
    /// Tars of the folders that its recipe brings along, by the source's name.
    folders: BTreeMap<String, Vec<u8>>,
    /// Options of `docker run`: what this machine's network wants.
    network: String,
}

/// The versions that a run has installed; what it has no need of is left out.
#[derive(Clone, Debug, Default, Deserialize)]
struct Lock {
    project: Option<Pin>,
    #[serde(default)]
    packages: Vec<Pin>,
}

#[derive(Clone, Debug, Deserialize)]
struct Pin {
    name: String,
    version: Option<String>,
    sha256: Option<String>,
    #[serde(default)]
    role: String,
}

/// The failing run of an incident's first breakage; an error says why there is none.
pub async fn of(store: &Store, objects: &Objects, number: i64) -> Result<Result<Reproduction, String>> {
    let Some(incident) = store.incident(number).await? else {
        return Ok(Err(format!(
            "there is no incident {number}; `pybots incidents` lists them"
        )));
    };
    let breakages = store.breakages_of(&incident.id).await?;
    let Some((breakage, attempt)) = breakages
        .iter()
        .find_map(|one| Some((one, one.bad_attempt.as_deref()?)))
    else {
        return Ok(Err("no run of it is known".to_owned()));
    };
    let bad = store
        .revision(&breakage.bad_id)
        .await?
        .context("a breakage of no check-in")?;
    let attempt = store.attempt(attempt).await?.context("no such attempt")?;
    let spec = store.spec_of(&attempt.job_id).await?.context("no such job")?;
    let JobSpec::Run(run) = serde_json::from_str(&spec).context("its job can't be read")? else {
        return Ok(Err("it is no run".to_owned()));
    };
    let report: Option<Report> = attempt.report();
    let lock = report.and_then(|report| report.lock);
    let remote = store.remote(&run.image.build.build_key).await?.map(|row| row.remote);
    let mut folders = BTreeMap::new();
    for (name, digest) in &run.fetch.folders {
        if let Some(tar) = objects.folder(digest).await? {
            folders.insert(name.clone(), tar);
        }
    }
    let found = Reproduction {
        number,
        title: format!("{} on {} {}", breakage.project, bad.branch, bad.name()),
        git: without_login(&breakage.source),
        pulls: remote.is_some(),
        image: remote.unwrap_or_else(|| run.image.reference.clone()),
        // what can't be read of it is left to the index
        lock: lock
            .and_then(|lock| serde_json::from_str(&lock).ok())
            .unwrap_or_default(),
        run: *run,
        folders,
        network: String::new(),
    };
    // what is quoted stays quoted but for these, which shells drop and terminals obey
    let odd = |c: char| is_odd(c) && c != '\n' && c != '\t';
    let shown = [found.inside(), found.host_sources().concat()];
    if shown.iter().any(|text| text.contains(odd)) {
        return Ok(Err(
            "its recipe or its versions have control characters, which no shell is to be given".to_owned(),
        ));
    }
    Ok(Ok(found))
}

impl Reproduction {
    /// The same for this machine, whose network may want a proxy, or a CA of its own.
    pub fn with_network(mut self, network: &NetworkSettings) -> Result<Self> {
        let ca = &network.ca;
        let is_set = !ca.as_os_str().is_empty();
        let env = network.environment(is_set.then_some(CA));
        self.network = env
            .into_iter()
            .map(|(name, value)| format!(" -e {}", quote(&format!("{name}={value}"))))
            .collect();
        if is_set {
            let ca =
                std::fs::canonicalize(ca).with_context(|| format!("failed to find the CA bundle {}", ca.display()))?;
            self.network += &format!(" -v {}", quote(&format!("{}:{CA}:ro", ca.display())));
        }
        Ok(self)
    }

    /// One line for the shell of a machine that has the image, or can pull it. None: something has to be fetched first
    /// that only the script can, or the line would be too long for a page.
    pub fn line(&self) -> Option<String> {
        let inside = self.inside();
        let is_whole = self.host_sources().is_empty() && inside.len() <= LINE_MOST;
        is_whole.then(|| {
            format!(
                "{} {} sh -ec {}",
                self.docker_run(""),
                quote(&self.image),
                quote(&inside)
            )
        })
    }

    /// The same as a script, which first builds the image where it is not at hand.
    pub fn script(&self) -> String {
        let build = &self.run.image.build;
        let mut text = format!(
            "#!/bin/sh\n# Incident {} of Pybots: {}.\n# Needs Docker and git. Does not touch anything but a folder of its own and Docker's images.\nset -eu\n",
            self.number,
            self.title.replace('\n', " ")
        );
        text += &format!("image={}\n", quote(&self.image));
        let pull = if self.pulls {
            " && ! docker pull \"$image\" 2>/dev/null"
        } else {
            ""
        };
        text += &format!("if ! docker image inspect \"$image\" >/dev/null 2>&1{pull}; then\n");
        text += &rebuild(build, &self.git);
        text += "fi\n";
        let sources = self.host_sources();
        if !sources.is_empty() {
            text += &format!(
                "sources=$(mktemp -d)\ntrap 'rm -rf \"$sources\"' EXIT\nexport GIT_TERMINAL_PROMPT=0\n{}\nchmod -R a+rX \"$sources\"\n",
                sources.join("\n")
            );
        }
        let mount = if sources.is_empty() {
            ""
        } else {
            " -v \"$sources:/sources:ro\""
        };
        // quoted whole: a recipe may have any word that would end it otherwise. A file, for suites may read their input
        text += &format!(
            "printf '%s\\n' {} | {} -i \"$image\" sh -c 'cat >{WORK}/run; exec sh -e {WORK}/run </dev/null'\n",
            quote(&self.inside()),
            self.docker_run(mount),
        );
        text
    }

    /// It runs strangers' code: no more rights than a run has with us, but for the network, from which it installs.
    fn docker_run(&self, mount: &str) -> String {
        let limits = &self.run.limits;
        let pull = if self.pulls { "" } else { "--pull never " };
        format!(
            "docker run --rm {pull}--user 1000 --cap-drop ALL --security-opt no-new-privileges --pids-limit {} --memory {} \
             --tmpfs {WORK}:exec,mode=1777{mount}{}",
            limits.pids, limits.memory.0, self.network
        )
    }

    /// What runs in the container: install as it was installed, then the suites that failed.
    fn inside(&self) -> String {
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

/// Builds the image from its check-in, with the flags of its profile, as anybody would.
fn rebuild(build: &BuildSpec, git: &str) -> String {
    let distribution = &build.distribution;
    let mut packages: Vec<&str> = distribution
        .toolchain
        .iter()
        .chain(&distribution.runtime)
        .map(String::as_str)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    format!(
        "folder=$(mktemp -d)\n\
         git clone --quiet --no-checkout {git} \"$folder/src\"\n\
         git -C \"$folder/src\" checkout --quiet {revision}\n\
         cat >\"$folder/build.sh\" <<'BUILD'\n{steps}\nBUILD\n\
         cat >\"$folder/Dockerfile\" <<'DOCKERFILE'\n\
         ARG BASE={base}\n\
         FROM $BASE\n\
         ARG PIP_CERT\n\
         RUN apt-get update && apt-get install -y --no-install-recommends {packages}\n\
         RUN mkdir -p /opt/pybots/bin && pip install --break-system-packages --target /opt/pybots/uv uv=={uv} && cp /opt/pybots/uv/bin/uv /opt/pybots/bin/\n\
         COPY src /build/src\n\
         COPY build.sh /build/\n\
         RUN sh /build/build.sh && cp -a /build/root/usr/local/. /usr/local/ && rm -rf /build && ldconfig\n\
         DOCKERFILE\n\
         image=pybots-reproduce:{key}\n\
         docker build ${{BASE:+--build-arg BASE=\"$BASE\"}} -t \"$image\" \"$folder\"\n\
         rm -rf \"$folder\"\n",
        git = quote(git),
        revision = quote(&build.revision),
        steps = from_scratch(build, 4),
        base = distribution.base,
        packages = packages.join(" "),
        uv = distribution.uv,
        key = &build.build_key[..24.min(build.build_key.len())],
    )
}
