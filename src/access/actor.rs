//! The person or program that makes a change, and its permissions.

use crate::domain::access::{Permission, Permissions, Reach, Role, Roles};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::refusal::Refusal;
use crate::store::accounts::Account;
use crate::store::tokens::AccessToken;

/// The one who makes a change: an account with one of its tokens, a person on the coordinator's machine, or the
/// coordinator itself by a rule of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `None` for a person on the coordinator's machine, and for the coordinator itself.
    pub account: Option<AccountId>,
    pub name: String,
    pub mail: String,
    pub roles: Roles,
    /// The permissions that the token carries. The actor has one of them only if a role of the account grants it too.
    pub permissions: Permissions,
    pub token: Option<TokenId>,
    /// The client's network address; empty on the coordinator's machine.
    pub address: String,
}

impl Actor {
    /// Returns the actor for a person on the coordinator's machine. It has all permissions, since that person can write
    /// to the database anyway.
    pub fn local(name: &str) -> Self {
        Self {
            account: None,
            name: name.to_owned(),
            mail: String::new(),
            roles: [Role::Operator].into_iter().collect(),
            permissions: Permissions::all(),
            token: None,
            address: String::new(),
        }
    }

    /// Returns the actor for changes that the coordinator makes by a rule of its settings.
    pub fn policy() -> Self {
        Self::local("policy")
    }

    pub(super) fn of(account: Account, token: &AccessToken, address: &str) -> Self {
        Self {
            account: Some(account.id),
            name: account.name,
            mail: account.mail,
            roles: account.roles,
            permissions: token.permissions.clone(),
            token: Some(token.id.clone()),
            address: address.to_owned(),
        }
    }

    /// Returns the reach of a permission, or `None` if the actor does not have the permission.
    pub fn reach(&self, permission: Permission) -> Option<Reach> {
        let carries = self.permissions.0.contains(&permission);
        self.roles.reach(permission).filter(|_| carries)
    }

    /// Fails unless the actor has the permission, at least for what belongs to its account. Returns the reach of the
    /// permission.
    pub fn require(&self, permission: Permission) -> Result<Reach, Refusal> {
        self.reach(permission).ok_or_else(|| self.lacks(permission))
    }

    /// Fails unless the actor has the permission for everything.
    pub fn require_all(&self, permission: Permission) -> Result<(), Refusal> {
        match self.require(permission)? {
            Reach::All => Ok(()),
            Reach::Own => Err(self.lacks(permission)),
        }
    }

    /// Fails unless the actor has the permission for the belongings of this account. `None` stands for a thing without
    /// an owner.
    pub fn require_for(&self, permission: Permission, owner: Option<&AccountId>) -> Result<(), Refusal> {
        match self.require(permission)? {
            Reach::All => Ok(()),
            Reach::Own if owner.is_some() && owner == self.account.as_ref() => Ok(()),
            Reach::Own => Err(Refusal::NotAllowed(format!(
                "this belongs to another account; {} may change only its own",
                self.name
            ))),
        }
    }

    fn lacks(&self, permission: Permission) -> Refusal {
        let why = match self.roles.reach(permission) {
            None => {
                let granting = Role::ALL.iter().filter(|role| role.reach(permission).is_some());
                let roles: Vec<&str> = granting.map(|role| role.name()).collect();
                format!("the account {} has none of the roles {}", self.name, roles.join(", "))
            }
            Some(Reach::Own) => format!("the account {} has `{permission}` for its own things only", self.name),
            Some(Reach::All) => "this access token does not carry it; issue one that does".to_owned(),
        };
        Refusal::NotAllowed(format!("this needs the permission `{permission}`: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_give_what_the_account_lacks_nor_the_account_what_the_token_lacks() {
        let actor = |roles: &str, permissions: &str| Actor {
            account: Some("1".into()),
            roles: roles.parse().unwrap(),
            permissions: permissions.parse().unwrap(),
            ..Actor::local("ann")
        };
        let owner = actor("owner", "recipes approvals");
        assert_eq!(owner.require(Permission::Recipes), Ok(Reach::Own));
        assert!(
            owner
                .require(Permission::Approvals)
                .unwrap_err()
                .to_string()
                .contains("none of the roles maintainer")
        );
        let narrow = actor("maintainer", "jobs");
        narrow.require_all(Permission::Jobs).unwrap();
        assert!(
            narrow
                .require(Permission::Recipes)
                .unwrap_err()
                .to_string()
                .contains("does not carry it")
        );
        // an owner may change its own recipes only, not those of others or of nobody
        owner.require_for(Permission::Recipes, Some(&"1".into())).unwrap();
        for other in [Some(AccountId::from("2")), None] {
            owner.require_for(Permission::Recipes, other.as_ref()).unwrap_err();
        }
        owner.require_all(Permission::Recipes).unwrap_err();
        Actor::local("x").require_for(Permission::Recipes, None).unwrap();
    }
}
