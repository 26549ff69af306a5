//! A login: at a container registry, or at the server of a repository.

use std::fmt;

/// A user and a password or token. `Debug` leaves the password out, so that no log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.user)
    }
}
