//! `[registry]`: the container registry through which images travel between hosts.

use crate::domain::login::Login;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// On the coordinator, the place of images. On a host, the login of its engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrySettings {
    /// `HOST[:PORT]/PATH`. If empty, images are not transferred between hosts.
    pub repository: String,
    /// The user. Empty if the registry needs no login.
    pub user: String,
    /// A file with the password or token.
    pub password_file: PathBuf,
}

impl RegistrySettings {
    /// Checks the values. The error says what to write instead.
    pub(super) fn sane(&self) -> Result<(), String> {
        let RegistrySettings {
            repository,
            user,
            password_file,
        } = self;
        if !repository.is_empty() && !is_repository(repository) {
            return Err(format!(
                "`registry.repository` can't be {repository:?}; write it as HOST[:PORT]/PATH in lower case, without scheme, login and tag: `registry.example.org/pybots/cpython`"
            ));
        }
        if user.is_empty() != password_file.as_os_str().is_empty() {
            return Err("set both `registry.user` and `registry.password_file`, or neither".to_owned());
        }
        if !user.is_empty() && repository.is_empty() {
            return Err(
                "`registry.user` needs `registry.repository`: the login is used for that repository only".to_owned(),
            );
        }
        Ok(())
    }

    /// Returns the repository, or `None` if images are not transferred.
    pub fn repository(&self) -> Option<&str> {
        Some(self.repository.as_str()).filter(|name| !name.is_empty())
    }

    /// Returns the login for a repository, or `None` if these settings have no login for it. The coordinator decides
    /// from which repository a host pulls, but the host sends its login only to the repository in its own settings.
    /// Fails if the password file can't be read.
    pub fn login(&self, repository: &str) -> std::io::Result<Option<Login>> {
        if self.user.is_empty() || self.repository != repository {
            return Ok(None);
        }
        let explained = |error: std::io::Error| {
            let path = self.password_file.display();
            std::io::Error::new(
                error.kind(),
                format!("failed to read {path}: {error}; correct `registry.password_file`"),
            )
        };
        let password = std::fs::read_to_string(&self.password_file).map_err(explained)?;
        Ok(Some(Login {
            user: self.user.clone(),
            password: password.trim().to_owned(),
        }))
    }
}

/// Returns whether a name consists of a host and a path. As in container engines, the first part is a host only if it
/// has a dot or a port, or is `localhost`.
fn is_repository(name: &str) -> bool {
    let Some((host, path)) = name.split_once('/') else {
        return false;
    };
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let fits = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    let host_fits = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    is_host && host_fits && path.split('/').all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_host_and_a_path() {
        for good in [
            "127.0.0.1:5000/pybots/cpython",
            "localhost/x",
            "registry.example.org/a/b.c",
            "[::1]:5000/x",
        ] {
            assert!(is_repository(good), "{good}");
        }
        for bad in [
            "",
            "pybots/cpython",
            "https://r.example.org/x",
            "me:secret@r.example.org/x",
            "r.example.org/x:tag",
            "r.example.org/",
            "r.example.org/Big",
        ] {
            assert!(!is_repository(bad), "{bad}");
        }
    }

    #[test]
    fn a_login_is_for_one_repository_and_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let settings = RegistrySettings {
            repository: "r.example.org/x".into(),
            user: "me".into(),
            password_file: file.path().into(),
        };
        settings.sane().unwrap();
        let login = settings.login("r.example.org/x").unwrap().unwrap();
        assert_eq!(login.password, "secret");
        assert_eq!(format!("{login:?}"), "Login(\"me\")");
        assert_eq!(settings.login("evil.example.org/x").unwrap(), None);
        let lacking = RegistrySettings {
            password_file: PathBuf::new(),
            ..settings.clone()
        };
        assert!(lacking.sane().is_err());
        let nowhere = RegistrySettings {
            repository: String::new(),
            ..settings
        };
        assert!(nowhere.sane().is_err());
    }
}
