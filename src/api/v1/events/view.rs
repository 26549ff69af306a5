//! The fields of an event in the API.

use crate::store::events::{About, Event, EventKind};
use serde::Serialize;
use utoipa::ToSchema;

/// The fields of one server-sent event.
#[derive(Serialize, ToSchema)]
pub struct StreamedEvent {
    /// Digits. Send them as `Last-Event-ID` to continue after this event.
    pub id: String,
    /// `ready`, `reset` or an `EventKind`.
    pub event: String,
    /// An `EventView` as JSON; `{}` in `ready` and `reset`.
    pub data: String,
}

/// The data of an event. Its kind is the name of the server-sent event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventView {
    /// When the event happened, in milliseconds since 1970, UTC.
    pub at: i64,
    #[schema(value_type = EventKind)]
    pub kind: &'static str,
    /// The branches that the event is about.
    pub branches: Vec<String>,
    /// The projects that the event is about. Empty for a revision.
    pub projects: Vec<String>,
    /// The id of the run that has finished.
    #[schema(required = true)]
    pub run: Option<String>,
    /// The hash of the run's revision, or of the revision that was seen.
    #[schema(required = true)]
    pub revision: Option<String>,
    /// The variant of the run.
    #[schema(required = true)]
    pub variant: Option<String>,
    /// The platform of the run.
    #[schema(required = true)]
    pub platform: Option<String>,
    /// The number of the incident.
    #[schema(required = true)]
    pub incident: Option<i64>,
}

impl EventView {
    /// Returns `None` if the API does not show the subject of the event.
    pub fn of(event: Event) -> Option<Self> {
        let view = Self {
            at: event.at.as_millis(),
            kind: event.kind.name(),
            branches: Vec::new(),
            projects: Vec::new(),
            run: None,
            revision: None,
            variant: None,
            platform: None,
            incident: None,
        };
        Some(match event.about? {
            About::Run {
                id,
                project,
                branch,
                revision,
                variant,
                platform,
            } => Self {
                branches: vec![branch],
                projects: vec![project],
                run: Some(id),
                revision: Some(revision),
                variant: Some(variant),
                platform: Some(platform),
                ..view
            },
            About::Incident {
                number,
                branches,
                projects,
            } => Self {
                branches,
                projects,
                incident: Some(number),
                ..view
            },
            About::Revision { branch, revision } => Self {
                branches: vec![branch],
                revision: Some(revision),
                ..view
            },
        })
    }
}
