//! Finds the rows of submitted recipes, and checks reasons, for all actions.

use crate::domain::id::AccountId;
use crate::domain::refusal::Refusal;
use crate::store::Store;
use crate::store::submissions::{RecipeVersion, Registration};
use anyhow::Result;
use serde_json::{Value, json};

/// The most characters of a reason.
const REASON_MOST: usize = 500;

/// Returns the registration of a project. Fails if its recipe was not submitted.
pub async fn registration(store: &Store, project: &str) -> Result<Registration> {
    let unknown = || Refusal::NotFound(format!("no recipe of a project {project:?} was submitted"));
    Ok(store.registration(project).await?.ok_or_else(unknown)?)
}

/// Returns a version of a recipe. Fails if there is none with that number.
pub async fn version(store: &Store, project: &str, number: i64) -> Result<RecipeVersion> {
    let unknown = || Refusal::NotFound(format!("the recipe of {project:?} has no version {number}"));
    Ok(store.version(project, number).await?.ok_or_else(unknown)?)
}

/// Checks a reason, which pages show.
pub(super) fn check_reason(reason: &str) -> Result<(), Refusal> {
    let is_good = reason.chars().count() <= REASON_MOST && !reason.chars().any(crate::domain::text::is_odd);
    match is_good {
        true => Ok(()),
        false => Err(Refusal::Invalid(format!(
            "a reason has {REASON_MOST} characters at most, on one line"
        ))),
    }
}

pub(super) fn changed(project: &str) -> Refusal {
    Refusal::Stale(format!(
        "somebody else has just changed {project:?}; look at it, and try again"
    ))
}

/// Returns the names of the project's owner, and of the account to which the owner hands it over.
pub async fn owners(store: &Store, registration: &Registration) -> Result<[Option<String>; 2]> {
    let name = async |id: &Option<AccountId>| match id {
        Some(id) => store.account_name(id).await,
        None => Ok(None),
    };
    Ok([
        name(&registration.owner_id).await?,
        name(&registration.next_owner_id).await?,
    ])
}

/// Returns a registration in the form in which the audit log shows it.
pub(super) fn shown(registration: &Registration) -> Value {
    json!({
        "owner": registration.owner_id, "next_owner": registration.next_owner_id, "state": registration.state.name(),
        "reason": registration.reason, "version": registration.version,
    })
}
