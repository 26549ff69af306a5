//! A revision becomes an image build, and its image runs. Pure: [`crate::coordinator`] stores it.

use crate::domain::job::{BuildSpec, Facts, ImageUnderTest, RunSpec};
use crate::domain::limits::Limits;
use crate::domain::version::PythonVersion;
use crate::profile::{Distribution, Profile, Profiles, build_key};
use crate::recipe::{Choice, Registered, choose};
use crate::store::revisions::Revision;

/// The profile by which a variant of a revision is built, or why it can't be.
pub fn profile(revision: &Revision, profiles: &Profiles, variant: &str) -> Result<Profile, String> {
    let version = version(revision)?;
    let Some(profile) = profiles.for_version(&version) else {
        return Err(format!(
            "no build profile is for Python {}; add one under images/",
            version.line()
        ));
    };
    profile.as_variant(variant, &version)
}

/// What is built from a revision by its profile. `inputs` is the digest of the files that the build reads.
pub fn build(
    revision: &Revision,
    profile: Profile,
    distribution: &Distribution,
    inputs: &str,
    variant: &str,
    platform: &str,
) -> Result<BuildSpec, String> {
    Ok(BuildSpec {
        build_key: build_key(inputs, &profile, distribution, variant, platform),
        revision: revision.sha.clone(),
        branch: revision.branch.clone(),
        version: version(revision)?.full,
        variant: variant.to_owned(),
        profile,
        distribution: distribution.clone(),
        remote: None,
    })
}

/// What one project does on one image: a run, or the reason why not.
pub fn run(
    project: &Registered,
    revision: &Revision,
    build: &BuildSpec,
    facts: &Facts,
    cap: &Limits,
) -> Result<RunSpec, String> {
    let version = version(revision)?;
    match choose(
        &project.recipe,
        &project.folders,
        &revision.branch,
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
            env: chosen.env,
            suites: chosen.suites,
            limits: chosen.limits,
            labels: chosen.needs,
        }),
    }
}

/// Of jobs that are alike, the one of the newest check-in is next. A check-in from the future is one of `now`: what
/// comes after it is not to count as old.
pub fn priority(revision: &Revision, now: i64) -> i64 {
    revision.committed_at.min(now)
}

fn version(revision: &Revision) -> Result<PythonVersion, String> {
    match revision.version.as_deref().map(str::parse) {
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
        assert_eq!(priority(&revision(None, 5), 10), 5);
        assert_eq!(priority(&revision(None, 99), 10), 10);
    }

    fn revision(version: Option<&str>, committed_at: i64) -> Revision {
        Revision {
            id: "r".into(),
            branch_id: "b".into(),
            branch: "trunk".into(),
            seq: 1,
            sha: "0123456789".into(),
            tree: "t".into(),
            author: "a".into(),
            subject: "s".into(),
            committed_at,
            version: version.map(str::to_owned),
            left_at: None,
            label: None,
        }
    }

    #[test]
    fn what_cannot_be_built_says_why() {
        let profiles = Profiles::load(None).unwrap();
        let profile = |version, variant| profile(&revision(version, 0), &profiles, variant);
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
