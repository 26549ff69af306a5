//! Submits recipes: checks them, and stores them as the next version.

use super::find::changed;
use crate::access::{Actor, AuditedChange, record};
use crate::domain::access::{Permission, Reach};
use crate::domain::id::AccountId;
use crate::domain::lookalike::similar;
use crate::domain::package::{is_same, normalized};
use crate::domain::recipe_version::{ProjectState, VersionState};
use crate::domain::refusal::Refusal;
use crate::domain::secrets;
use crate::domain::time::{HOUR_MS, Timestamp};
use crate::enrolment::Token;
use crate::recipe::folder::register;
use crate::recipe::{Registered, check};
use crate::store::submissions::RecipeVersion;
use crate::store::{Store, Tx};
use anyhow::Result;
use serde_json::json;

/// The most versions that one account can submit in an hour.
const PER_HOUR: i64 = 60;
/// The most versions of one account whose trials have not ended.
const TRIALS_MOST: i64 = 20;
/// The number of tries of a submission while other changes of the project interfere.
const TRIES: usize = 3;
/// The most projects of one account.
const PROJECTS_MOST: usize = 200;

/// A submitted recipe.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// The text of the recipe.
    pub text: &'a str,
    /// The number of the newest version that the submitter has seen; 0 for a new project. `None` skips the check.
    pub base: Option<i64>,
    /// The beginning of that version's digest, if the submitter has sent it.
    pub digest: Option<&'a str>,
}

/// Checks a recipe and stores it as the next version of its project, which it registers if need be. Supersedes a
/// version that waits for its trial or its approval.
///
/// Tries again if somebody else changes the project meanwhile, such as by the end of the previous version's trial.
/// Revokes access tokens in a text that it refuses.
pub async fn submit(store: &Store, actor: &Actor, submission: Submission<'_>, now: Timestamp) -> Result<RecipeVersion> {
    for _ in 1..TRIES {
        match once(store, actor, submission, now).await {
            Err(error) if matches!(Refusal::of(&error), Some(Refusal::Stale(_))) => {}
            done => return done,
        }
    }
    once(store, actor, submission, now).await
}

async fn once(store: &Store, actor: &Actor, submission: Submission<'_>, now: Timestamp) -> Result<RecipeVersion> {
    actor.require(Permission::Recipes)?;
    let recipe = match read(submission.text) {
        Ok(recipe) => recipe,
        Err(refusal) => {
            revoke_pasted(store, submission.text, now).await?;
            return Err(refusal.into());
        }
    };
    let project = recipe.recipe.name.get_ref().clone();
    let found = store.registration(&project).await?;
    is_free(store, actor, &project, found.is_some()).await?;
    let newest = store.versions(&project, i64::MAX, 1).await?.pop();
    let number = newest.as_ref().map_or(0, |version| version.number);
    if let Some(base) = submission.base.filter(|base| *base != number) {
        let message = match number {
            0 => format!("{project:?} has no version {base}"),
            _ if base == 0 => {
                format!("there is a project {project:?}, with version {number} of its recipe; edit that one")
            }
            _ => format!(
                "{project:?} has version {number} by now, and you have edited version {base}; compare the two, and submit again"
            ),
        };
        return Err(Refusal::Stale(message).into());
    }
    let digest = newest.as_ref().map_or("", |version| &version.digest);
    if submission.digest.is_some_and(|seen| !digest.starts_with(seen)) {
        let message = format!(
            "version {number} of the recipe of {project:?} is not the text that you have edited; compare the two, and submit again"
        );
        return Err(Refusal::Stale(message).into());
    }
    if let Some(same) = newest
        .as_ref()
        .filter(|version| version.digest == recipe.digest && version.decided_at.is_none())
    {
        let message = format!("version {} has the same text and waits for a decision", same.number);
        return Err(Refusal::Conflict(message).into());
    }
    let mut tx = store.begin().await?;
    match &found {
        Some(registration) => {
            actor.require_for(Permission::Recipes, registration.owner_id.as_ref())?;
            if registration.state == ProjectState::Retired {
                let message = format!("{project:?} is retired; `pybots recipe resume {project}` takes it up again");
                return Err(Refusal::Conflict(message).into());
            }
        }
        None => add_project(store, &mut tx, actor, &project, now).await?,
    }
    if actor.require(Permission::Recipes)? == Reach::Own
        && store.submitted_since(&mut tx, &actor.name, now - HOUR_MS).await? >= PER_HOUR
    {
        let message = format!(
            "{} has submitted {PER_HOUR} versions within the hour; wait a while",
            actor.name
        );
        return Err(Refusal::Conflict(message).into());
    }
    let takes_place = newest
        .as_ref()
        .is_some_and(|version| version.state == VersionState::Trial);
    if !takes_place
        && actor.require(Permission::Recipes)? == Reach::Own
        && store.trials_of(&mut tx, &actor.name).await? >= TRIALS_MOST
    {
        let message = format!(
            "{} has {TRIALS_MOST} versions whose trials have not ended; wait for one",
            actor.name
        );
        return Err(Refusal::Conflict(message).into());
    }
    if let Some(open) = newest.filter(|version| version.state.is_open()) {
        supersede(store, &mut tx, actor, &open, now).await?;
    }
    let version = RecipeVersion {
        project: project.clone(),
        number: number + 1,
        digest: recipe.digest.clone(),
        submitted_by: actor.name.clone(),
        submitted_at: now,
        state: VersionState::Trial,
        trial_run_id: None,
        trial_note: String::new(),
        decided_by: None,
        decided_at: None,
        reason: String::new(),
    };
    if !store.insert_version(&mut tx, &version, &recipe.text).await? {
        return Err(changed(&project).into());
    }
    let change = AuditedChange {
        action: "submit",
        subject: format!("project {project}"),
        before: (number > 0).then(|| json!({ "version": number })),
        after: Some(json!({ "version": version.number, "digest": version.digest })),
    };
    record(store, &mut tx, actor, change, now).await?;
    tx.commit().await?;
    Ok(version)
}

/// Returns the file name of a recipe for messages: the name of its project with `.toml`, or `recipe.toml` if the text
/// has no name that can be read.
fn file_of(text: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    let named = toml::from_str::<Named>(text).ok();
    named.map_or_else(|| "recipe.toml".to_owned(), |named| format!("{}.toml", named.name))
}

/// Checks the text of a recipe, which has no folder beside it, and returns the recipe.
fn read(text: &str) -> Result<Registered, Refusal> {
    let file = file_of(text);
    let checked = check(&file, text);
    if checked.recipe.is_none() {
        let problems = checked.problems.iter();
        return Err(Refusal::Problems(problems.map(|problem| problem.located()).collect()));
    }
    if checked.recipe.is_some_and(|recipe| !recipe.paths().is_empty()) {
        let message =
            "a submitted recipe has no folder beside it, so no source can be a `path`; take `pypi`, `git` or `url`";
        return Err(Refusal::Invalid(message.to_owned()));
    }
    register(&file, text.to_owned(), None).map_err(Refusal::Invalid)
}

/// Revokes access tokens that the text of a recipe contains by mistake, because every reader of the text could use
/// them.
async fn revoke_pasted(store: &Store, text: &str, now: Timestamp) -> Result<()> {
    for secret in secrets::own_tokens(text) {
        let Some((token, account)) = store.token_of(&Token::digest(secret), now).await? else {
            continue;
        };
        let mut tx = store.begin().await?;
        store.revoke_token(&mut tx, &token.id, now).await?;
        let change = AuditedChange {
            action: "revoke token",
            subject: format!("account {}", account.name),
            before: Some(json!({ "id": token.id, "name": token.name })),
            after: Some(json!({ "reason": "it was in a submitted recipe" })),
        };
        record(store, &mut tx, &Actor::policy(), change, now).await?;
        tx.commit().await?;
        tracing::warn!(
            account = account.name,
            token = token.name,
            "a token was in a submitted recipe, and is revoked"
        );
    }
    Ok(())
}

/// Fails if another project has the name, by the name rules of package indexes, or if the folder of recipes has or had
/// it. For a new project, a look-alike is refused too, unless the actor is a maintainer. `has_registration` is true if
/// the name belongs to a submitted recipe.
async fn is_free(store: &Store, actor: &Actor, project: &str, has_registration: bool) -> Result<()> {
    let of_folder = store.folder_names().await?;
    if of_folder.iter().any(|name| name == project) {
        let message = format!(
            "the coordinator's folder of recipes has or had a file for {project:?}, so its results belong to that; ask the operator"
        );
        return Err(Refusal::Conflict(message).into());
    }
    if has_registration {
        return Ok(());
    }
    let all: Vec<String> = of_folder.into_iter().chain(store.registered_names().await?).collect();
    if let Some(same) = all.iter().find(|name| is_same(name, project)) {
        let message = format!(
            "there is a project {same:?}, and names that differ only in case or in `-`, `_` and `.` are the same"
        );
        return Err(Refusal::Conflict(message).into());
    }
    // a maintainer may have both projects on purpose
    if actor.require_all(Permission::Recipes).is_err()
        && let Some(other) = similar(project, all.iter().map(String::as_str))
    {
        let message =
            format!("{project:?} looks like the project {other:?}; ask a maintainer to submit it if both are meant");
        return Err(Refusal::Conflict(message).into());
    }
    Ok(())
}

/// Fails if an owner has the most projects that an account may have. Maintainers may have any number.
pub(super) async fn check_room(store: &Store, actor: &Actor) -> Result<()> {
    let owner: Option<&AccountId> = actor.account.as_ref();
    if owner.is_some() && actor.require(Permission::Recipes)? == Reach::Own {
        let owned = store.registrations(owner, "", PROJECTS_MOST as i64).await?;
        if owned.len() >= PROJECTS_MOST {
            let message = format!(
                "{} owns {PROJECTS_MOST} projects, which is the most; ask a maintainer",
                actor.name
            );
            return Err(Refusal::Conflict(message).into());
        }
    }
    Ok(())
}

async fn add_project(store: &Store, tx: &mut Tx, actor: &Actor, project: &str, now: Timestamp) -> Result<()> {
    check_room(store, actor).await?;
    let names = (project, normalized(project));
    let owner = actor.account.as_ref();
    match store.insert_registration(tx, (names.0, &names.1), owner, now).await? {
        true => Ok(()),
        false => Err(changed(project).into()),
    }
}

async fn supersede(store: &Store, tx: &mut Tx, actor: &Actor, open: &RecipeVersion, now: Timestamp) -> Result<()> {
    let after = RecipeVersion {
        state: VersionState::Superseded,
        decided_by: Some(actor.name.clone()),
        decided_at: Some(now),
        reason: format!("version {} was submitted", open.number + 1),
        ..open.clone()
    };
    match store.set_version(tx, open, &after).await? {
        true => Ok(()),
        false => Err(changed(&open.project).into()),
    }
}
