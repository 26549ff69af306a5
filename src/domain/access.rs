//! Access rights: roles, the permissions that each role grants, and the reach of a permission. `docs/access.md` has the
//! same table.

use super::names::names;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use utoipa::ToSchema;

/// The role of an account, which grants permissions. An account can have several roles. An account without a role can
/// only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Role {
    /// Submits recipes, and manages the projects that belong to the account.
    Owner,
    /// Registers hosts, and manages the hosts that belong to the account.
    HostOwner,
    /// Approves recipes, and decides about incidents, jobs and all projects.
    Maintainer,
    /// Manages accounts and all hosts, and may do everything else.
    Operator,
}

names!(
    Role,
    "role": Owner = "owner",
    HostOwner = "host-owner",
    Maintainer = "maintainer",
    Operator = "operator",
);

/// A group of actions. Roles grant permissions to accounts, and an access token carries some of its account's
/// permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Permission {
    /// To submit recipes; to pause, resume, retire and hand over projects.
    Recipes,
    /// To approve and refuse versions of recipes.
    Approvals,
    /// To waive, assign, report and close incidents.
    Incidents,
    /// To cancel and rerun jobs.
    Jobs,
    /// To register hosts; to drain, resume and remove them, and to replace their tokens.
    Hosts,
    /// To create, change and disable accounts.
    Accounts,
    /// To read the audit log.
    Audit,
}

names!(
    Permission,
    "permission": Recipes = "recipes",
    Approvals = "approvals",
    Incidents = "incidents",
    Jobs = "jobs",
    Hosts = "hosts",
    Accounts = "accounts",
    Audit = "audit",
);

/// The reach of a permission: whether it holds for everything, or only for what belongs to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Only what belongs to the account.
    Own,
    /// Everything.
    All,
}

impl Role {
    /// Returns the reach of a permission that the role grants, or `None` if the role does not grant it.
    pub fn reach(self, permission: Permission) -> Option<Reach> {
        use Permission::*;
        match (self, permission) {
            (Role::Operator, _) => Some(Reach::All),
            (Role::Maintainer, Recipes | Approvals | Incidents | Jobs | Audit) => Some(Reach::All),
            (Role::Owner, Recipes) | (Role::HostOwner, Hosts) => Some(Reach::Own),
            _ => None,
        }
    }
}

/// A set of names in one column or one field, separated by spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names<T: Ord>(pub BTreeSet<T>);

impl<T: Ord> Default for Names<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<T: Ord> FromIterator<T> for Names<T> {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl<T: Ord + fmt::Display> fmt::Display for Names<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(T::to_string).collect();
        f.write_str(&names.join(" "))
    }
}

impl<T: Ord + FromStr> FromStr for Names<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.split_whitespace().map(str::parse).collect()
    }
}

impl<T: Ord + fmt::Display> Names<T> {
    /// Returns the names as a list, for JSON.
    pub fn list(&self) -> Vec<String> {
        self.0.iter().map(T::to_string).collect()
    }
}

pub type Roles = Names<Role>;
pub type Permissions = Names<Permission>;

impl Roles {
    /// Returns the widest reach of a permission that these roles grant, or `None` if none of them grants it.
    pub fn reach(&self, permission: Permission) -> Option<Reach> {
        self.0.iter().filter_map(|role| role.reach(permission)).max()
    }

    /// Returns all permissions that these roles grant.
    pub fn permissions(&self) -> Permissions {
        let all = Permission::ALL.iter().copied();
        all.filter(|permission| self.reach(*permission).is_some()).collect()
    }
}

impl Permissions {
    /// Returns all permissions. An access token with all of them may do whatever its account may.
    pub fn all() -> Self {
        Permission::ALL.iter().copied().collect()
    }
}

/// The default for the most wrong access tokens that one address may send in a minute.
pub const WRONG_TOKENS_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// The default for the most changes that one account may make in a minute.
pub const CHANGES_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(119);

/// The most characters in the name of an account.
const NAME_MOST: usize = 40;

/// Checks the name of an account. Names have one spelling, so that no two look the same. The error says what to write.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_good = !name.is_empty()
        && name.len() <= NAME_MOST
        && name.chars().all(fits)
        && !name.starts_with('-')
        && !name.ends_with('-');
    match is_good {
        true => Ok(()),
        false => Err(format!(
            "an account can't be called {:?}; take up to {NAME_MOST} lower-case letters, digits and `-`",
            name.chars().take(NAME_MOST).collect::<String>()
        )),
    }
}

/// Returns a name for an account that resembles a text of a stranger. Returns `None` if the text has nothing that a
/// name may contain. The name leaves room for a number.
pub fn name_from(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let spelled: String = text
        .chars()
        .take(NAME_MOST - 4)
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    let parts: Vec<&str> = spelled.split('-').filter(|part| !part.is_empty()).collect();
    let name = parts.join("-");
    check_name(&name).is_ok().then_some(name)
}

/// The most bytes in a mail address, by RFC 5321.
const MAIL_MOST: usize = 254;

/// Checks that a text can be a mail address: one `@`, and nothing that could end a header. The error says what to
/// write.
pub fn check_mail(mail: &str) -> Result<(), String> {
    let halves = mail.split_once('@');
    let is_half = |half: &str| {
        !half.is_empty()
            && half
                .chars()
                .all(|c| c.is_ascii_graphic() && !"<>,;:\"()[]\\@".contains(c))
    };
    match halves.is_some_and(|(local, domain)| is_half(local) && is_half(domain)) && mail.len() <= MAIL_MOST {
        true => Ok(()),
        false => Err(format!(
            "{:?} is not a mail address; write one such as `name@example.org`",
            mail.chars().take(100).collect::<String>()
        )),
    }
}

/// The answer to a person without an account who logs in by the identity provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NewAccounts {
    /// The login is refused. An operator adds the account.
    #[default]
    Refuse,
    /// The person gets an account without a role.
    Create,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of docs/access.md.
    #[test]
    fn roles_grant_what_the_table_says() {
        use Permission::*;
        use Reach::{All, Own};
        let table = [
            // owner, host owner, maintainer, operator
            (Recipes, [Some(Own), None, Some(All), Some(All)]),
            (Approvals, [None, None, Some(All), Some(All)]),
            (Incidents, [None, None, Some(All), Some(All)]),
            (Jobs, [None, None, Some(All), Some(All)]),
            (Hosts, [None, Some(Own), None, Some(All)]),
            (Accounts, [None, None, None, Some(All)]),
            (Audit, [None, None, Some(All), Some(All)]),
        ];
        assert_eq!(table.len(), Permission::ALL.len());
        for (permission, row) in table {
            let found: Vec<_> = Role::ALL.iter().map(|role| role.reach(permission)).collect();
            assert_eq!(found, row, "{permission}");
        }
    }

    #[test]
    fn an_account_has_the_most_that_one_of_its_roles_grants() {
        let roles: Roles = "owner maintainer".parse().unwrap();
        assert_eq!(roles.to_string(), "owner maintainer");
        assert_eq!(roles.reach(Permission::Recipes), Some(Reach::All));
        assert_eq!(roles.reach(Permission::Hosts), None);
        assert_eq!(Roles::default().permissions(), Permissions::default());
        let operator: Roles = "operator".parse().unwrap();
        assert_eq!(operator.permissions(), Permissions::all());
        assert_eq!("king".parse::<Roles>().unwrap_err(), "there is no role \"king\"");
    }

    #[test]
    fn names_have_one_spelling() {
        for good in ["a", "ann-2", "0x", &"a".repeat(NAME_MOST)] {
            check_name(good).unwrap();
        }
        for bad in [
            "",
            "Ann",
            "-a",
            "a-",
            "a b",
            "a_b",
            "ä",
            "a\n",
            &"a".repeat(NAME_MOST + 1),
        ] {
            assert!(check_name(bad).unwrap_err().contains("lower-case"), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_made_of_what_a_stranger_says() {
        for (text, name) in [
            ("ann", Some("ann")),
            ("Ann B. \u{202e}Miller", Some("ann-b-miller")),
            ("--x--", Some("x")),
            ("ä", None),
            ("", None),
            (&"y".repeat(99), Some(&*"y".repeat(NAME_MOST - 4))),
        ] {
            assert_eq!(name_from(text).as_deref(), name, "{text:?}");
        }
    }

    #[test]
    fn a_mail_address_holds_no_header_and_no_second_address() {
        for good in ["a@example.org", "ann.b+pybots@mail.example.org"] {
            check_mail(good).unwrap();
        }
        let long = format!("{}@example.org", "a".repeat(MAIL_MOST));
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b\nbcc: x@y",
            "a@b,c@d",
            "<a@b>",
            &long,
        ] {
            assert!(check_mail(bad).unwrap_err().contains("mail address"), "{bad:?}");
        }
    }
}
