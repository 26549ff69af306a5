//! The lock of a run: what it fetched, version by version. A host reports it, and another host may install it. So it is parsed, and
//! written out again, before it is stored: nothing in it reaches a resolver or a shell that is not of this shape.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most packages of a lock.
const PACKAGES_MOST: usize = 5_000;
const VARIABLES_MOST: usize = 100;
const NAME_MOST: usize = 200;
/// Bytes of an address, or of a revision.
const ADDRESS_MOST: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub packages: Vec<Package>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Origin>,
    /// Variables by which builds learn their version, where tags of the source state it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// One file, or an extra source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    #[serde(default)]
    pub file: Option<String>,
    pub name: String,
    pub role: String,
    #[serde(default)]
    pub sha256: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
}

/// Where the project came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub name: String,
    #[serde(default)]
    pub sha256: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
}

impl Lock {
    /// Reads a lock. Returns `None` if a part of it is not of the shape that fetching writes.
    pub fn parse(text: &str) -> Option<Self> {
        let lock: Self = serde_json::from_str(text).ok()?;
        let fine = lock.packages.len() <= PACKAGES_MOST
            && lock.packages.iter().all(Package::is_sane)
            && lock.project.as_ref().is_none_or(Origin::is_sane)
            && lock.variables.len() <= VARIABLES_MOST
            && lock
                .variables
                .iter()
                .all(|(name, value)| is_variable(name) && is_revision(value));
        fine.then_some(lock)
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Package {
    fn is_sane(&self) -> bool {
        is_name(&self.name)
            && is_name(&self.role)
            && self.version.as_deref().is_none_or(is_revision)
            && self.sha256.as_deref().is_none_or(is_digest)
            && self.file.as_deref().is_none_or(is_file)
    }
}

impl Origin {
    fn is_sane(&self) -> bool {
        let is_address = |text: &str| text.len() <= ADDRESS_MOST && !text.chars().any(char::is_control);
        is_name(&self.name)
            && self.version.as_deref().is_none_or(is_revision)
            && self.sha256.as_deref().is_none_or(is_digest)
            && self.source.as_deref().is_none_or(is_address)
    }
}

fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=NAME_MOST).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(fine)
}

fn is_variable(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    (1..=NAME_MOST).contains(&text.len()) && !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(fine)
}

/// Whether a text is a version or a revision: it is no option, and one word.
fn is_revision(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-+!/".contains(&b);
    text.len() <= NAME_MOST && !text.starts_with('-') && text.bytes().all(fine)
}

fn is_digest(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_file(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-+!".contains(&b);
    text.len() <= 2 * NAME_MOST && !text.starts_with(['-', '.']) && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"project": {"name": "p", "version": "1.0+x", "sha256": "aa", "source": "git:https://example.org/p"},
        "packages": [{"name": "a_b", "version": "1!2.0", "file": "a_b-1!2.0-py3-none-any.whl", "sha256": "bb", "role": "run"},
                     {"name": "q", "version": null, "file": null, "sha256": null, "role": "source"}],
        "variables": {"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_P": "1.0+x"}}"#;

    #[test]
    fn a_lock_is_written_as_it_was_read() {
        let lock = Lock::parse(GOOD).unwrap();
        assert_eq!(lock.variables["SETUPTOOLS_SCM_PRETEND_VERSION_FOR_P"], "1.0+x");
        assert_eq!(Lock::parse(&lock.to_text()), Some(lock));
        assert!(Lock::parse(r#"{"packages": []}"#).is_some());
    }

    #[test]
    fn what_fetching_never_writes_is_no_lock() {
        for (from, to) in [
            ("a_b\"", "a_b\\n--requirement=/proc/self/environ\""),
            ("a_b\"", "--index-url\""),
            ("1!2.0\",", "1; os.system('x')\","),
            ("1!2.0\",", "1\\u0000\","),
            ("1!2.0\",", "--upload-pack=x\","),
            ("a_b-1!2.0-py3", "../../a"),
            ("\"bb\"", "\"not hex\""),
            ("\"run\"", "\"run $(x)\""),
            ("git:https://example.org/p", "a\\u001b]52"),
            ("\"aa\"", "7"),
            ("VERSION_FOR_P\"", "VERSION; reboot\""),
            ("_P\": \"1.0+x", "_P\": \"$(reboot)"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            assert_eq!(Lock::parse(&text), None, "{to}");
        }
        assert_eq!(Lock::parse("x"), None);
    }
}
