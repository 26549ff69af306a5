//! Fetches the sources of a project: inside the container if possible, otherwise on the machine before the container
//! starts.

use super::rerun::{Rerun, WORK};
use crate::domain::lock::is_commit;
use crate::domain::suite::Source;
use crate::host::quote;
use base64::Engine;

/// Options of tar that ignore the owners and permissions in an archive.
const OWN_FILES: &str = "--no-same-owner --no-same-permissions";

/// Writes a source archive of the package index to stdout.
const GET_SDIST: &str = include_str!("get_sdist.py");

impl Rerun {
    /// Returns the commands that put one source into its folder. They run inside the container.
    pub(super) fn source(&self, source: &Source, python: &str) -> Vec<String> {
        let name = source.name.as_deref().unwrap_or(&self.run.fetch.project);
        let into = quote(&format!("{WORK}/src/{name}"));
        let (locked_version, locked_sha256) = self.locked(name).unwrap_or_default();
        if let Some(tar) = self.folders.get(name) {
            let packed = base64::engine::general_purpose::STANDARD.encode(tar);
            return vec![format!(
                "mkdir -p {into} && echo {packed} | base64 -d | tar -x -C {into}"
            )];
        }
        let Some(project) = source.pypi.as_ref().filter(|_| !self.run.is_legacy()) else {
            return vec![format!("cp -r /sources/{} {into}", quote(name))];
        };
        let version = locked_version.or(source.version.as_deref());
        let exact = version.map_or_else(|| project.clone(), |version| format!("{project}=={version}"));
        let get = format!("{WORK}/get");
        let mut lines = vec![
            format!("[ -d {get}/venv ] || uv venv -q --seed --python {python} {get}/venv"),
            format!(
                "rm -rf {get}/sdist && {get}/venv/bin/python -m pip download -q --no-deps --no-binary :all: -d {get}/sdist {}",
                quote(&exact)
            ),
        ];
        if let Some(sha256) = locked_sha256 {
            lines.push(format!(
                "echo {}\"  $(echo {get}/sdist/*)\" | sha256sum -c --quiet",
                quote(sha256)
            ));
        }
        lines.push(format!(
            "mkdir -p {into} && tar -xf {get}/sdist/* -C {into} --strip-components=1"
        ));
        lines
    }

    /// Returns the commands that fetch the sources that no package index has or, for a Python too old for `uv`, all
    /// sources except folders. They run on the machine, before the container starts, and may need git or Subversion.
    pub(super) fn host_sources(&self) -> Vec<String> {
        let name = |source: &Source| source.name.clone().unwrap_or_else(|| self.run.fetch.project.clone());
        let outside = |source: &&Source| source.pypi.is_none() || self.run.is_legacy();
        let all = self
            .run
            .fetch
            .sources
            .iter()
            .filter(|source| !self.folders.contains_key(&name(source)));
        all.filter(outside)
            .map(|source| {
                let name = &name(source);
                let into = format!("\"$sources\"/{}", quote(name));
                if let Some(git) = &source.git {
                    // a branch may have moved since then; the lock has the commit that the run took
                    let rev = self.taken(name).or(source.rev.as_deref()).unwrap_or("HEAD");
                    let mut commands = format!(
                        "git clone --quiet --no-checkout -- {} {into}\ngit -C {into} checkout --quiet --detach {}",
                        quote(git),
                        quote(rev)
                    );
                    if source.submodules != Some(false) {
                        commands += &format!("\nGIT_ALLOW_PROTOCOL=https:http:git git -C {into} submodule --quiet update --init --recursive");
                    }
                    commands
                } else if let Some(url) = &source.url {
                    let sum = source.sha256.as_deref().unwrap_or_default();
                    format!(
                        "curl -gfsSL -o \"$sources/archive\" -- {}\necho \"{sum}  $sources/archive\" | sha256sum -c --quiet\n\
                         mkdir {into}\ntar -xf \"$sources/archive\" {OWN_FILES} -C {into} --strip-components=1",
                        quote(url)
                    )
                } else if let Some(project) = &source.pypi {
                    let (version, sha256) = (source.version.as_deref(), source.sha256.as_deref());
                    let words = [project, version.unwrap_or_default(), sha256.unwrap_or_default()].map(quote);
                    format!(
                        "mkdir {into}\npython3 - {} <<'GET' | tar -xz {OWN_FILES} -C {into} --strip-components=1\n{GET_SDIST}GET",
                        words.join(" ")
                    )
                } else if let Some(svn) = &source.svn {
                    let rev = source.rev.as_deref().unwrap_or("HEAD");
                    format!("svn export --quiet --non-interactive --ignore-externals -r {} -- {} {into}", quote(rev), quote(svn))
                } else {
                    format!("echo 'the source {name} came with the recipe: put it into' {into} && exit 2")
                }
            })
            .collect()
    }

    /// Returns version and SHA-256 of a source in the lock of the run, or `None` if the lock lacks the source.
    fn locked(&self, name: &str) -> Option<(Option<&str>, Option<&str>)> {
        let project = self.lock.project.iter();
        let project = project.map(|project| (&project.name, &project.version, &project.sha256));
        let packages = self.lock.packages.iter();
        let packages = packages.map(|package| (&package.name, &package.version, &package.sha256));
        let (_, version, sha256) = project.chain(packages).find(|(own, _, _)| *own == name)?;
        Some((version.as_deref(), sha256.as_deref()))
    }

    /// Returns the commit that the run checked out of a git source, or `None` if its lock names none.
    fn taken(&self, name: &str) -> Option<&str> {
        self.locked(name)?.0.filter(|rev| is_commit(rev))
    }
}
