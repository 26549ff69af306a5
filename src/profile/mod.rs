//! The set of build profiles.

mod folder;

use crate::domain::DEFAULT_VARIANT;
use crate::domain::nearest::nearest;
use crate::domain::profile::{Distribution, Profile};
use crate::domain::version::PythonVersion;
use std::collections::BTreeSet;

/// All build profiles, and the distribution that they build on.
#[derive(Clone, Debug)]
pub struct Profiles {
    pub distribution: Distribution,
    profiles: Vec<Profile>,
}

impl Profiles {
    pub fn for_version(&self, version: &PythonVersion) -> Option<&Profile> {
        self.profiles.iter().find(|profile| version.is_in(&profile.when.0))
    }

    /// Checks that a variant is the default one, or that at least one profile has it. The error suggests a similar name
    /// and lists all variants.
    pub fn knows_variant(&self, name: &str) -> Result<(), String> {
        let named = self.profiles.iter().flat_map(|profile| profile.variant.keys());
        let names: BTreeSet<&str> = named.map(String::as_str).chain([DEFAULT_VARIANT]).collect();
        if names.contains(name) {
            return Ok(());
        }
        let names: Vec<&str> = names.into_iter().collect();
        let help = match nearest(name, &names) {
            Some(near) => format!("did you mean {near:?}? There are"),
            None => "there are".to_owned(),
        };
        Err(format!(
            "no build profile has a variant {name:?}; {help}: {}",
            names.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::digest;
    use crate::domain::profile::build_key;

    #[test]
    fn built_in_profiles_cover_the_lines() {
        let profiles = Profiles::load(None).unwrap();
        for (version, name) in [
            ("2.5", "2.5"),
            ("2.5.6", "2.5"),
            ("2.6", "2.7"),
            ("2.7", "2.7"),
            ("2.7.18", "2.7"),
            ("3.9.2", "3"),
            ("3.11.2", "3"),
            ("3.12.0", "3.12"),
            ("3.16.0a0", "3.12"),
        ] {
            let version: PythonVersion = version.parse().unwrap();
            assert_eq!(profiles.for_version(&version).unwrap().name, name, "{version}");
        }
        assert!(profiles.for_version(&"1.5.2".parse().unwrap()).is_none());
    }

    #[test]
    fn an_error_about_a_variant_lists_all_variants() {
        let profiles = Profiles::load(None).unwrap();
        assert_eq!(profiles.knows_variant("default"), Ok(()));
        assert_eq!(profiles.knows_variant("free-threaded"), Ok(()));
        let typo = profiles.knows_variant("debgu").unwrap_err();
        assert!(
            typo.contains("did you mean \"debug\"? There are: debug, default"),
            "{typo}"
        );
        let other = profiles.knows_variant("sideways").unwrap_err();
        assert!(other.contains("; there are: debug, default, free-threaded"), "{other}");
    }

    #[test]
    fn a_gap_explains_and_changes_no_build() {
        let text = "name = \"x\"\nwhen = \">=2.6,<3\"\n[[gap]]\nwhen = \"<2.7\"\nmodules = [\"_ssl\", \"_sha*\"]\nreason = \"r\"";
        let profile: Profile = toml::from_str(text).unwrap();
        let (old, new) = ("2.6.9".parse().unwrap(), "2.7.18".parse().unwrap());
        assert_eq!(profile.gap("_ssl", &old), Some("r"));
        assert_eq!(profile.gap("_sha512", &old), Some("r"));
        assert_eq!(profile.gap("zlib", &old), None);
        assert_eq!(profile.gap("_ssl", &new), None);
        assert!(profile.as_variant(DEFAULT_VARIANT, &new).unwrap().gap.is_empty());
    }

    #[test]
    fn a_module_that_is_required_is_no_gap() {
        for profile in Profiles::load(None).unwrap().profiles {
            for gap in &profile.gap {
                let both = gap.modules.iter().find(|name| profile.modules.contains(name));
                assert_eq!(both, None, "{}", profile.name);
            }
        }
    }

    #[test]
    fn the_key_follows_every_input() {
        let profiles = Profiles::load(None).unwrap();
        let profile = profiles.for_version(&"3.14.0".parse().unwrap()).unwrap();
        let key = |tree: &str, profile: &Profile, variant: &str, platform: &str| {
            build_key(tree, profile, &profiles.distribution, variant, platform)
        };
        let base = key("t", profile, "default", "linux/amd64");
        assert_eq!(base, key("t", profile, "default", "linux/amd64"));
        assert_ne!(base, key("u", profile, "default", "linux/amd64"));
        assert_ne!(base, key("t", profile, "debug", "linux/amd64"));
        assert_ne!(base, key("t", profile, "default", "linux/arm64"));
        let mut other = profile.clone();
        other.configure.push("--with-pydebug".into());
        assert_ne!(base, key("t", &other, "default", "linux/amd64"));
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
