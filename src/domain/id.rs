//! Ids of stored rows, a type for each table, so that no function takes the id of a run for the id of a job. An id is
//! opaque text: a UUID of version 7 for every row that [`crate::store::new_id`] named.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(id: &str) -> Result<Self, Infallible> {
                Ok(Self(id.to_owned()))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// Lets callers look up a key of this type by its text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    )+};
}

ids! {
    /// The id of a watched branch.
    BranchId,
    /// The id of a revision on one branch.
    RevisionId,
    /// The id of an image, whether it is built already or not.
    ImageId,
    /// The id of a run: one project's suites on one image.
    RunId,
    JobId,
    /// The id of a job group: jobs that the same hosts can take. It consists of everything that these jobs have in
    /// common.
    JobGroupId,
    /// The id of an attempt: one try at a job.
    AttemptId,
    HostId,
    InvestigationId,
    RegressionId,
    /// The id of an incident in the database. Pages show the incident's number instead.
    IncidentId,
    /// The id of a note: an entry in the history of an incident.
    NoteId,
    AccountId,
    /// The id of an access token, which is not its secret.
    TokenId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn an_id_is_its_text_in_json_and_in_maps() {
        let id = RunId::from("018f");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"018f\"");
        assert_eq!(serde_json::from_str::<RunId>("\"018f\"").unwrap(), id);
        assert_eq!(id, "018f");
        assert_eq!(format!("{id:>6}"), "  018f");
        assert_eq!(HashMap::from([(id, 1)]).get("018f"), Some(&1));
    }
}
