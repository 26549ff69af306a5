//! `pybots account`, `pybots token` and `pybots audit`: manage accounts and access tokens, and print the audit log.

use super::server::ServerOption;
use super::table;
use crate::api::v1::types::{AccountBody, AccountChangeBody, AccountView, AuditView, TokenBody, TokenView};
use crate::clock::show;
use crate::config::Settings;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
pub struct AccountCommand {
    #[command(flatten)]
    server: ServerOption,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: AccountAction,
}

#[derive(Subcommand)]
enum AccountAction {
    /// Show the account that the commands use, and its permissions.
    Me,
    /// List the accounts.
    List,
    /// Add an account. `pybots token issue --account NAME` then gives it a token.
    Add {
        name: String,
        /// Mail address.
        #[arg(long, default_value = "")]
        mail: String,
        /// A role: owner, host-owner, maintainer or operator. Can be repeated.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Change the mail address or the roles of an account.
    Change {
        name: String,
        /// Mail address.
        #[arg(long)]
        mail: Option<String>,
        /// A role of the account. Replaces its earlier roles. Can be repeated.
        #[arg(long = "role", value_name = "ROLE", conflicts_with = "no_role")]
        roles: Option<Vec<String>>,
        /// Remove all roles.
        #[arg(long)]
        no_role: bool,
    },
    /// Disable an account. Its tokens and sessions end for good.
    Disable { name: String },
    /// Enable a disabled account. It needs a new token.
    Enable { name: String },
    /// Show an account, with its identities.
    Show { name: String },
    /// Remove the identities of an account. Sessions that began with them end.
    Unlink { name: String },
}

impl AccountCommand {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        let client = self.server.client(settings, None).await?;
        let (name, change) = match self.action {
            AccountAction::Me => {
                let me = client.me().await?;
                match self.json {
                    true => super::output::json(&me)?,
                    false => outln!(
                        "{}\nroles: {}\npermissions: {}",
                        me.account,
                        me.roles.join(" "),
                        me.permissions.join(" ")
                    ),
                }
                return Ok(ExitCode::SUCCESS);
            }
            AccountAction::List => {
                let all = client.accounts().await?;
                match self.json {
                    true => super::output::json(&all)?,
                    false => out!("{}", accounts(&all)),
                }
                return Ok(ExitCode::SUCCESS);
            }
            AccountAction::Add { name, mail, roles } => {
                let body = AccountBody { name, mail, roles };
                shown(&client.add_account(&body).await?);
                return Ok(ExitCode::SUCCESS);
            }
            AccountAction::Change {
                name,
                mail,
                roles,
                no_role,
            } => {
                let roles = if no_role { Some(Vec::new()) } else { roles };
                let change = AccountChangeBody {
                    mail,
                    roles,
                    disabled: None,
                };
                (name, change)
            }
            AccountAction::Disable { name } => (name, disabled(true)),
            AccountAction::Enable { name } => (name, disabled(false)),
            AccountAction::Show { name } => {
                let account = client.account(&name).await?;
                match self.json {
                    true => super::output::json(&account)?,
                    false => {
                        shown(&account);
                        identities(&account);
                    }
                }
                return Ok(ExitCode::SUCCESS);
            }
            AccountAction::Unlink { name } => {
                shown(&client.unlink_account(&name).await?);
                return Ok(ExitCode::SUCCESS);
            }
        };
        shown(&client.change_account(&name, &change).await?);
        Ok(ExitCode::SUCCESS)
    }
}

fn disabled(disabled: bool) -> AccountChangeBody {
    AccountChangeBody {
        disabled: Some(disabled),
        ..AccountChangeBody::default()
    }
}

fn shown(account: &AccountView) {
    let state = if account.disabled { ", disabled" } else { "" };
    let mail = match account.mail.as_str() {
        "" => String::new(),
        mail => format!(" <{mail}>"),
    };
    outln!("{}{mail}: roles {}{state}", account.name, listed(&account.roles));
}

fn identities(account: &AccountView) {
    for identity in &account.identities {
        outln!(
            "{} at {}, linked {}, last login {}",
            identity.subject,
            identity.issuer,
            show(identity.linked_at),
            identity.used_at.map_or("never".to_owned(), show)
        );
    }
}

fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(" "),
    }
}

fn accounts(all: &[AccountView]) -> String {
    let row = |account: &AccountView| {
        let state = if account.disabled { "disabled" } else { "active" };
        vec![
            account.name.clone(),
            listed(&account.roles),
            state.to_owned(),
            account.mail.clone(),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table::plain(&["account", "roles", "state", "mail"], &rows)
}

#[derive(Args)]
pub struct TokenCommand {
    #[command(flatten)]
    server: ServerOption,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: TokenAction,
}

#[derive(Subcommand)]
enum TokenAction {
    /// List the newest access tokens of an account.
    List {
        /// The account. The default is your own.
        #[arg(long)]
        account: Option<String>,
    },
    /// Issue an access token, and print it. It is not shown again.
    Issue {
        /// Name of the token, which says what it is for.
        name: String,
        /// The account that gets the token. The default is your own.
        #[arg(long)]
        account: Option<String>,
        /// A permission: recipes, approvals, incidents, jobs, hosts, accounts or audit. Can be repeated. The default is
        /// every permission that both you and the account have.
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Option<Vec<String>>,
        /// Days until the token expires, 366 at most.
        #[arg(long, default_value_t = 90)]
        days: i64,
    },
    /// Revoke an access token. Sessions that began with it end.
    Revoke {
        /// Id of the token, as `pybots token list` shows it.
        id: String,
    },
}

impl TokenCommand {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        let client = self.server.client(settings, None).await?;
        match self.action {
            TokenAction::List { account } => {
                let all = client.tokens(account.as_deref()).await?;
                match self.json {
                    true => super::output::json(&all)?,
                    false => out!("{}", tokens(&all)),
                }
            }
            TokenAction::Issue {
                name,
                account,
                permissions,
                days,
            } => {
                let body = TokenBody {
                    name,
                    account,
                    permissions,
                    days: Some(days),
                };
                let token = client.issue_token(&body).await?;
                match self.json {
                    true => super::output::json(&token)?,
                    false => {
                        errln!(
                            "may: {}; expires {}; not shown again:",
                            listed(&token.permissions),
                            show(token.expires_at)
                        );
                        outln!("{}", token.secret.unwrap_or_default());
                    }
                }
            }
            TokenAction::Revoke { id } => {
                client.revoke_token(&id).await?;
                outln!("{id} is revoked");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tokens(all: &[TokenView]) -> String {
    let row = |token: &TokenView| {
        let ends = match token.revoked_at {
            Some(at) => format!("revoked {}", show(at)),
            None => format!("expires {}", show(token.expires_at)),
        };
        let used = token.used_at.map_or("never".to_owned(), show);
        vec![
            token.id.clone(),
            token.name.clone(),
            listed(&token.permissions),
            ends,
            used,
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table::plain(&["id", "name", "permissions", "end", "last used"], &rows)
}

#[derive(Args)]
pub struct AuditCommand {
    #[command(flatten)]
    server: ServerOption,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print only changes of this subject, such as `project flask` or `account ann`.
    #[arg(long)]
    subject: Option<String>,
    /// Number of entries, newest first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100))]
    last: i64,
}

impl AuditCommand {
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let client = self.server.client(settings, None).await?;
        let all = client.audit(self.subject.as_deref(), self.last).await?;
        match self.json {
            true => super::output::json(&all)?,
            false => out!("{}", audit(&all)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn audit(all: &[AuditView]) -> String {
    let row = |entry: &AuditView| {
        let from = if entry.address.is_empty() {
            "here"
        } else {
            &entry.address
        };
        vec![
            show(entry.at),
            entry.account.clone(),
            from.to_owned(),
            entry.action.clone(),
            entry.subject.clone(),
            entry.after.to_string(),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table::plain(&["time", "account", "from", "action", "subject", "after"], &rows)
}
