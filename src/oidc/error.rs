//! Why a login by the provider fails.

/// Why somebody can't be logged in by the provider. The reasons are for the log; they have no code, no token and no secret.
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
