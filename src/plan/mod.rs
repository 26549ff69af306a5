//! The rules that plan the image build of a revision, and the runs on its image. [`crate::coordinator`] stores the
//! results.

use crate::domain::job::{BuildSpec, Facts, ImageUnderTest, RunSpec};
use crate::domain::limits::Limits;
use crate::domain::profile::{Distribution, Profile, build_key};
use crate::domain::time::Timestamp;
use crate::domain::version::PythonVersion;
use crate::profile::Profiles;
use crate::recipe::{Choice, Registered, choose};

/// The part of a revision that planning reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit<'a> {
    pub sha: &'a str,
    pub branch: &'a str,
    /// The version in its tree, such as `3.16.0a0`. `None` if the tree has none.
    pub version: Option<&'a str>,
    pub committed_at: Timestamp,
}

/// Returns the profile that builds a variant of a revision. The error says why none does.
pub fn profile<'a>(revision: impl Into<Commit<'a>>, profiles: &Profiles, variant: &str) -> Result<Profile, String> {
    let version = version(revision.into())?;
    let Some(profile) = profiles.for_version(&version) else {
        return Err(format!(
            "no build profile is for Python {}; add one under images/",
            version.line()
        ));
    };
    profile.as_variant(variant, &version)
}

/// Returns the build of a revision by its profile. `inputs` is the digest of the files that the build reads. Fails if
/// the revision has no version of Python.
pub fn build<'a>(
    revision: impl Into<Commit<'a>>,
    profile: Profile,
    distribution: &Distribution,
    inputs: &str,
    variant: &str,
    platform: &str,
) -> Result<BuildSpec, String> {
    let revision = revision.into();
    Ok(BuildSpec {
        build_key: build_key(inputs, &profile, distribution, variant, platform),
        revision: revision.sha.to_owned(),
        branch: revision.branch.to_owned(),
        version: version(revision)?.full,
        variant: variant.to_owned(),
        profile,
        distribution: distribution.clone(),
        remote: None,
    })
}

/// Returns the run of a project on an image. The error is the reason why the recipe skips it, or that the revision has
/// no version of Python.
pub fn run<'a>(
    project: &Registered,
    revision: impl Into<Commit<'a>>,
    build: &BuildSpec,
    facts: &Facts,
    cap: &Limits,
) -> Result<RunSpec, String> {
    let revision = revision.into();
    let version = version(revision)?;
    match choose(
        &project.recipe,
        &project.folders,
        revision.branch,
        &version,
        &build.variant,
        cap,
    ) {
        Choice::Skip(reason) => Err(reason),
        Choice::Run(chosen) => Ok(RunSpec {
            project: chosen.fetch.project.clone(),
            image: ImageUnderTest {
                reference: build.reference(),
                build: build.clone(),
                facts: facts.clone(),
            },
            distribution: build.distribution.clone(),
            fetch: chosen.fetch,
            system: chosen.system,
            install: chosen.install,
            install_network: chosen.install_network,
            wheels_anew: false,
            env: chosen.env,
            suites: chosen.suites,
            limits: chosen.limits,
            labels: chosen.needs.into(),
        }),
    }
}

/// Returns the priority of a revision's jobs, its time in milliseconds: in each group, the jobs of the newest revision
/// are next. A revision from the future counts as one of `now`, so that later revisions do not count as older.
pub fn priority<'a>(revision: impl Into<Commit<'a>>, now: Timestamp) -> i64 {
    revision.into().committed_at.min(now).as_millis()
}

fn version(revision: Commit<'_>) -> Result<PythonVersion, String> {
    match revision.version.map(str::parse) {
        Some(Ok(version)) => Ok(version),
        _ => Err("its tree has no Include/patchlevel.h that says which Python it is".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DEFAULT_VARIANT;

    #[test]
    fn nothing_is_newer_than_now() {
        let now = Timestamp::from_millis(10);
        assert_eq!(priority(revision(None, 5), now), 5);
        assert_eq!(priority(revision(None, 99), now), 10);
    }

    fn revision(version: Option<&str>, committed_at: i64) -> Commit<'_> {
        Commit {
            sha: "0123456789",
            branch: "trunk",
            version,
            committed_at: Timestamp::from_millis(committed_at),
        }
    }

    #[test]
    fn the_error_says_why_nothing_can_be_built() {
        let profiles = Profiles::load(None).unwrap();
        let profile = |version, variant| profile(revision(version, 0), &profiles, variant);
        assert!(profile(None, DEFAULT_VARIANT).unwrap_err().contains("patchlevel.h"));
        let old = profile(Some("1.5.2"), DEFAULT_VARIANT).unwrap_err();
        assert!(old.contains("no build profile is for Python 1.5"), "{old}");
        let threaded = profile(Some("3.12.1"), "free-threaded").unwrap_err();
        assert!(threaded.contains("for Python >=3.13"), "{threaded}");
        let unknown = profile(Some("3.14.0"), "sideways").unwrap_err();
        assert!(unknown.contains("no variant \"sideways\""), "{unknown}");
        assert_eq!(profile(Some("3.14.0"), DEFAULT_VARIANT).unwrap().name, "3.12");
        let debug = profile(Some("3.14.0"), "debug").unwrap();
        assert!(debug.configure.contains(&"--with-pydebug".to_owned()));
    }
}
