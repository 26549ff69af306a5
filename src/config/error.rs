//! Errors in the settings.

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("failed to read the settings file {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    /// The file has a syntax error, an unknown key or a value of the wrong type. The message gives the place but not
    /// the value, which may contain a login.
    #[error("{0}")]
    Wrong(String),
    #[error("the environment variable {variable} is wrong: {reason}")]
    Environment { variable: String, reason: String },
    /// The types are right, but the values make no sense.
    #[error("{0}")]
    Nonsense(String),
}
