//! Sets of Python versions.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A PEP 440 set of versions, such as `>=3.9,<3.15`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specifiers(pub pep440_rs::VersionSpecifiers);

impl Serialize for Specifiers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Specifiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Specifiers).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is not a set of Python versions; write e.g. `>=3.9` or `>=3.9,<3.15`"
            ))
        })
    }
}
