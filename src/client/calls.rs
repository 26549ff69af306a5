//! The methods of the client, one for each call of the API.

use super::{Client, NOTHING};
use crate::api::v1::types::*;
use crate::decisions::{HostMove, IncidentDecision, JobMove};
use anyhow::{Result, bail};
use url::form_urlencoded::byte_serialize;
use warp::http::Method;

/// The most parts that a list may have. Each part has up to 100 items.
const PARTS_MOST: usize = 1_000;

/// Encodes a name as one segment of a path.
fn part(name: &str) -> String {
    // `+` means a space in queries only
    byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

impl Client {
    pub async fn me(&self) -> Result<MeView> {
        self.get("me").await
    }

    pub async fn submit(&self, text: &str, base: Option<i64>) -> Result<VersionView> {
        let body = SubmitBody {
            text: text.to_owned(),
            base,
        };
        self.post("recipes", &body).await
    }

    /// Returns the versions in an open state: `trial` or `waiting`.
    pub async fn open_versions(&self, state: &str) -> Result<Vec<VersionView>> {
        self.all(&format!("recipes?state={}", part(state))).await
    }

    /// Returns all projects whose recipes were submitted.
    pub async fn projects(&self) -> Result<Vec<RegistrationView>> {
        self.all("projects").await
    }

    pub async fn project(&self, name: &str) -> Result<RegistrationView> {
        self.get(&format!("projects/{}", part(name))).await
    }

    /// Returns all versions of a project, newest first.
    pub async fn versions(&self, project: &str) -> Result<Vec<VersionView>> {
        self.all(&format!("projects/{}/versions", part(project))).await
    }

    pub async fn version(&self, project: &str, number: i64) -> Result<VersionView> {
        self.get(&format!("projects/{}/versions/{number}", part(project))).await
    }

    pub async fn diff(&self, project: &str, from: Option<i64>, to: i64) -> Result<DiffView> {
        let from = from.map(|from| format!("?from={from}")).unwrap_or_default();
        self.get(&format!("projects/{}/versions/{to}/diff{from}", part(project)))
            .await
    }

    pub async fn decide_version(&self, project: &str, number: i64, decision: &VersionDecision) -> Result<VersionView> {
        let path = format!("projects/{}/versions/{number}/decision", part(project));
        self.post(&path, decision).await
    }

    pub async fn move_project(&self, project: &str, action: &str, reason: &str) -> Result<RegistrationView> {
        let body = ProjectMoveBody {
            action: action.to_owned(),
            reason: reason.to_owned(),
        };
        self.post(&format!("projects/{}/state", part(project)), &body).await
    }

    pub async fn hand_over(&self, project: &str, to: &str) -> Result<RegistrationView> {
        let body = HandOverBody { to: to.to_owned() };
        self.post(&format!("projects/{}/owner", part(project)), &body).await
    }

    /// Accepts or withdraws a hand-over. `action` is `accept` or `withdraw`.
    pub async fn answer_hand_over(&self, project: &str, action: &str) -> Result<RegistrationView> {
        let body = HandOverAnswerBody {
            action: action.to_owned(),
        };
        self.post(&format!("projects/{}/hand-over", part(project)), &body).await
    }

    pub async fn accounts(&self) -> Result<Vec<AccountView>> {
        self.all("accounts").await
    }

    pub async fn add_account(&self, account: &AccountBody) -> Result<AccountView> {
        self.post("accounts", account).await
    }

    pub async fn account(&self, name: &str) -> Result<AccountView> {
        self.get(&format!("accounts/{}", part(name))).await
    }

    /// Removes the identities of an account.
    pub async fn unlink_account(&self, name: &str) -> Result<AccountView> {
        let path = format!("accounts/{}/identities", part(name));
        self.call(Method::DELETE, &path, NOTHING).await
    }

    pub async fn change_account(&self, name: &str, change: &AccountChangeBody) -> Result<AccountView> {
        let path = format!("accounts/{}", part(name));
        self.call(Method::PATCH, &path, Some(change)).await
    }

    /// Returns the newest tokens of an account, or of the caller's own account if `account` is `None`. The server
    /// limits their number.
    pub async fn tokens(&self, account: Option<&str>) -> Result<Vec<TokenView>> {
        let of = account
            .map(|account| format!("?account={}", part(account)))
            .unwrap_or_default();
        let page: Page<TokenView> = self.get(&format!("tokens{of}")).await?;
        Ok(page.items)
    }

    pub async fn issue_token(&self, token: &TokenBody) -> Result<TokenView> {
        self.post("tokens", token).await
    }

    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("tokens/{}", part(id)), NOTHING)
            .await
    }

    /// Returns the newest entries of the audit log, at most `most`. With a `subject`, only entries about that subject
    /// are returned.
    pub async fn audit(&self, subject: Option<&str>, most: i64) -> Result<Vec<AuditView>> {
        let of = subject
            .map(|subject| format!("&subject={}", part(subject)))
            .unwrap_or_default();
        let page: Page<AuditView> = self.get(&format!("audit?limit={most}{of}")).await?;
        Ok(page.items)
    }

    pub async fn decide_incident(&self, number: i64, decision: &IncidentDecision) -> Result<Effect> {
        self.post(&format!("incidents/{number}/decision"), decision).await
    }

    pub async fn move_job(&self, id: &str, request: JobMove) -> Result<Effect> {
        let path = format!("jobs/{}/{request}", part(id));
        self.call(Method::POST, &path, NOTHING).await
    }

    pub async fn hosts(&self) -> Result<Vec<HostView>> {
        let page: Page<HostView> = self.get("hosts").await?;
        Ok(page.items)
    }

    pub async fn add_host(&self, host: &HostBody) -> Result<HostView> {
        self.post("hosts", host).await
    }

    pub async fn move_host(&self, name: &str, action: HostMove) -> Result<HostView> {
        let path = format!("hosts/{}/{action}", part(name));
        self.call(Method::POST, &path, NOTHING).await
    }

    /// Returns the items of all parts of a list. Fails if it has more than [`PARTS_MOST`] parts.
    async fn all<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut after = String::new();
        for _ in 0..PARTS_MOST {
            let page: Page<T> = self.get(&format!("{path}{after}")).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => {
                    let joint = if path.contains('?') { '&' } else { '?' };
                    after = format!("{joint}after={}", part(&next));
                }
                None => return Ok(all),
            }
        }
        bail!("the coordinator sends a list that does not end")
    }
}
