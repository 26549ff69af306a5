//! Errors of a login by the identity provider.

/// Why a login by the provider fails. The reasons go to the log, and contain no code, token or secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the identity provider does not answer: {0}")]
    Away(String),
    #[error("the answer of the identity provider can't be used: {0}")]
    Unusable(String),
    #[error("the ID token does not hold: {0}")]
    Token(&'static str),
    #[error("the file of `oidc.client_secret_file` can't be used: {0}")]
    Secret(String),
}
