//! The stored form of types of the domain: ids and names as text, times as milliseconds, truth values as 0 or 1, and
//! structured values as JSON.

use crate::domain::access::{Permissions, Roles};
use crate::domain::host::{Capabilities, HostState, Labels};
use crate::domain::id::*;
use crate::domain::job::{Facts, JobSpec, Phase, Report};
use crate::domain::outcome::Outcome;
use crate::domain::project::ProjectTags;
use crate::domain::recipe_version::{ProjectState, VersionState};
use crate::domain::results::Summary;
use crate::domain::state::{AttemptState, ImageState, JobKind, JobState, Repetition, Request};
use crate::domain::streak::FailureStreak;
use crate::domain::time::Timestamp;
use crate::verdict::Cell;
use serde::{Deserialize, Serialize};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Type};

/// Stores a type as another one: the first function writes it, the second reads it and may refuse.
macro_rules! stored {
    ($type:ty as $stored:ty, $write:expr, $read:expr) => {
        impl<DB: Database> Type<DB> for $type
        where
            $stored: Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <$stored as Type<DB>>::type_info()
            }

            fn compatible(info: &DB::TypeInfo) -> bool {
                <$stored as Type<DB>>::compatible(info)
            }
        }

        impl<'q, DB: Database> Encode<'q, DB> for $type
        where
            $stored: Encode<'q, DB>,
        {
            fn encode_by_ref(&self, buffer: &mut <DB as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let write: fn(&$type) -> Result<$stored, BoxDynError> = $write;
                <$stored as Encode<'q, DB>>::encode(write(self)?, buffer)
            }
        }

        impl<'r, DB: Database> Decode<'r, DB> for $type
        where
            $stored: Decode<'r, DB>,
        {
            fn decode(value: <DB as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
                let read: fn($stored) -> Result<$type, BoxDynError> = $read;
                read(<$stored as Decode<'r, DB>>::decode(value)?)
            }
        }
    };
}

macro_rules! ids {
    ($($type:ty),+ $(,)?) => {
        $(stored!($type as String, |id| Ok(id.as_str().to_owned()), |text| Ok(text.into()));)+
    };
}

macro_rules! text {
    ($($type:ty),+ $(,)?) => {
        $(stored!($type as String, |value| Ok(value.to_string()), |text| Ok(text.parse()?));)+
    };
}

macro_rules! json {
    ($($type:ty),+ $(,)?) => {
        $(stored!($type as String, |value| Ok(serde_json::to_string(value)?), |text| Ok(serde_json::from_str(&text)?));)+
    };
}

ids!(
    BranchId, RevisionId, ImageId, RunId, JobId, JobGroupId, AttemptId, HostId
);
ids!(InvestigationId, RegressionId, IncidentId, NoteId);
ids!(AccountId, TokenId);
text!(
    AttemptState,
    Cell,
    HostState,
    ImageState,
    JobKind,
    JobState,
    Labels,
    Permissions,
    ProjectState,
    Repetition,
    Request,
    Roles,
    VersionState
);
json!(
    Capabilities,
    Ending,
    Facts,
    FailureStreak,
    JobSpec,
    Outcome,
    ProjectTags,
    Report
);

/// The part of a report that a cell needs. Skipping the rest of the report's text is faster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ending {
    pub outcome: Outcome,
    pub phases: Vec<Phase>,
    #[serde(default)]
    pub limit: Option<String>,
    #[serde(default)]
    pub summary: Option<Summary>,
}

stored!(Timestamp as i64, |time| Ok(time.as_millis()), |ms| Ok(
    Timestamp::from_millis(ms)
));

/// A truth value. A field `bool` of a row with a derived `FromRow` is read with `#[sqlx(try_from = "Flag")]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(pub bool);

stored!(Flag as i64, |flag| Ok(i64::from(flag.0)), |number| match number {
    0 => Ok(Flag(false)),
    1 => Ok(Flag(true)),
    other => Err(format!("a truth value is 0 or 1, not {other}").into()),
});

impl From<Flag> for bool {
    fn from(flag: Flag) -> bool {
        flag.0
    }
}
