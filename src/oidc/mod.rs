//! Logins by an identity provider (OpenID Connect), which authenticates people. Implements the authorization code flow
//! with PKCE, and checks the ID token. [`crate::access`] chooses the account of the person.

mod directory;
mod error;
mod http;
mod pending;

pub use error::ProviderError;
pub use pending::{LOGIN_MS, PendingLogin};

use crate::config::OidcSettings;
use crate::domain::access::{NewAccounts, check_mail};
use crate::domain::text::is_odd;
use crate::domain::time::Timestamp;
use anyhow::{Context, Result, bail};
use directory::Directory;
use http::{CallError, Http};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenClaims, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::{
    AccessTokenHash, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, TokenResponse, UserInfoError,
};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// The path to which the provider redirects browsers.
pub const CALLBACK: &str = "/login/oidc/callback";

/// The most bytes of the file with the client's secret.
const SECRET_MOST: u64 = 4096;
/// The most bytes of a code.
const CODE_MOST: usize = 4096;
/// The most characters of a subject, by OpenID Connect.
const SUBJECT_MOST: usize = 255;
/// The most ended logins to remember, so that none ends twice.
const SPENT_MOST: usize = 10_000;

/// A person whom the provider has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    pub issuer: String,
    /// The provider's identifier of the person, which never changes.
    pub subject: String,
    /// A valid mail address that the provider has verified, or `None`.
    pub mail: Option<String>,
    /// The name that the person prefers. Empty if the provider does not state one.
    pub name: String,
}

/// The client of the coordinator's identity provider.
pub struct Provider {
    settings: OidcSettings,
    /// The address to which the provider redirects browsers.
    callback: String,
    http: Http,
    directory: Directory,
    spent: Mutex<BTreeMap<String, Timestamp>>,
}

type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

impl Provider {
    /// Builds the client, or returns `None` if the settings name no provider. `url` is the address at which people
    /// reach the coordinator.
    pub fn new(settings: &OidcSettings, url: &str) -> Option<Self> {
        settings.is_on().then(|| Self {
            settings: settings.clone(),
            callback: format!("{}{CALLBACK}", url.trim_end_matches('/')),
            http: Http::new(settings.is_plain()),
            directory: Directory::default(),
            spent: Mutex::default(),
        })
    }

    /// Sets the time limit of each call.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.http = self.http.with_timeout(timeout);
        self
    }

    /// Sets the shortest time between two refreshes of the keys because none fits a token.
    pub fn asking_for_keys_every(mut self, time: Duration) -> Self {
        self.directory = self.directory.asking_for_keys_every(time);
        self
    }

    /// Returns the name of the provider for people.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    pub fn new_accounts(&self) -> NewAccounts {
        self.settings.accounts
    }

    /// Returns the address at the provider to which the browser goes for the login. Fails if the provider does not
    /// answer or names an address without TLS.
    pub async fn begin(&self, login: &PendingLogin) -> Result<String, ProviderError> {
        let metadata = self.directory.get(&self.http, self.issuer()).await?;
        let verifier = PkceCodeVerifier::new(login.verifier());
        let (state, nonce) = (CsrfToken::new(login.state()), Nonce::new(login.nonce()));
        let (url, ..) = self
            .client(&metadata, None)?
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, move || nonce)
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        // the browser must reach that address over TLS
        self.http.check(&url)?;
        Ok(url.into())
    }

    /// Marks a login as ended. Returns `false` if it had ended before. Forgets the oldest mark if [`SPENT_MOST`] logins
    /// ended recently.
    pub fn spend(&self, login: &PendingLogin, now: Timestamp) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= SPENT_MOST {
            // logins that have expired need no mark
            spent.retain(|_, at| *at > now - 2 * LOGIN_MS);
        }
        if spent.len() >= SPENT_MOST {
            let oldest = spent.iter().min_by_key(|(_, at)| **at).map(|(mark, _)| mark.clone());
            oldest.and_then(|mark| spent.remove(&mark));
        }
        spent.insert(login.mark(), now).is_none()
    }

    /// Exchanges the code of a login for the person who logged in at the provider. Asks the provider for the mail
    /// address if the ID token has none, and for its keys again if none fits the token.
    pub async fn finish(&self, code: &str, login: &PendingLogin) -> Result<Vouched, ProviderError> {
        if code.is_empty() || code.len() > CODE_MOST {
            return Err(ProviderError::Unusable("it sends no code that can be one".to_owned()));
        }
        let metadata = self.directory.get(&self.http, self.issuer()).await?;
        let secret = self
            .secret()
            .await
            .map_err(|error| ProviderError::Secret(format!("{error:#}")))?;
        let mut client = self.client(&metadata, Some(secret.clone()))?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|_| ProviderError::Unusable("it names no address for codes".to_owned()))?
            .set_pkce_verifier(PkceCodeVerifier::new(login.verifier()))
            .request_async(&self.http)
            .await
            .map_err(refused)?;
        let token = answer.id_token().ok_or(ProviderError::Token("there is none"))?;
        let nonce = Nonce::new(login.nonce());
        let mut verified = verify(&client, token, &answer, &nonce);
        if matches!(verified, Err(Wrong::Key(_))) {
            let metadata = self.directory.renewed(&self.http, self.issuer()).await?;
            client = self.client(&metadata, Some(secret))?;
            verified = verify(&client, token, &answer, &nonce);
        }
        let claims = verified.map_err(|wrong| ProviderError::Token(wrong.reason()))?;
        self.vouched(&client, &claims, &answer).await
    }

    async fn vouched(
        &self,
        client: &Client,
        claims: &CoreIdTokenClaims,
        answer: &CoreTokenResponse,
    ) -> Result<Vouched, ProviderError> {
        let subject = claims.subject().as_str();
        if subject.is_empty() || subject.chars().count() > SUBJECT_MOST || subject.chars().any(is_odd) {
            return Err(ProviderError::Token("its subject is none"));
        }
        let mut mail = claims.email().cloned();
        let mut is_verified = claims.email_verified();
        let mut name = claims.preferred_username().cloned();
        if mail.is_none() {
            // some providers return the mail address only from the userinfo endpoint
            let request = client.user_info(answer.access_token().clone(), Some(claims.subject().clone()));
            if let Ok(request) = request {
                let info: Result<CoreUserInfoClaims, _> = request.request_async(&self.http).await;
                let info = info.map_err(|error| match error {
                    UserInfoError::Request(error) => error.into(),
                    _ => ProviderError::Unusable("its answer about the person can't be read".to_owned()),
                })?;
                mail = info.email().cloned();
                is_verified = info.email_verified();
                name = name.or(info.preferred_username().cloned());
            }
        }
        let mail = mail.map(|mail| mail.as_str().to_owned());
        Ok(Vouched {
            issuer: self.issuer().to_owned(),
            subject: subject.to_owned(),
            mail: mail.filter(|mail| is_verified == Some(true) && check_mail(mail).is_ok()),
            name: name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        })
    }

    fn client(&self, metadata: &CoreProviderMetadata, secret: Option<ClientSecret>) -> Result<Client, ProviderError> {
        let callback = RedirectUrl::new(self.callback.clone());
        let callback = callback.map_err(|_| ProviderError::Unusable("`http.url` is no address".to_owned()))?;
        let id = ClientId::new(self.settings.client_id.clone());
        let methods = metadata.token_endpoint_auth_methods_supported();
        let takes = |method| methods.is_none_or(|methods| methods.contains(&method));
        let by_header =
            takes(CoreClientAuthMethod::ClientSecretBasic) || !takes(CoreClientAuthMethod::ClientSecretPost);
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, secret);
        Ok(client.set_redirect_uri(callback).set_auth_type(match by_header {
            true => AuthType::BasicAuth,
            false => AuthType::RequestBody,
        }))
    }

    /// Reads the client's secret at each use, so that the file can be replaced while the coordinator runs.
    pub async fn secret(&self) -> Result<ClientSecret> {
        let path = &self.settings.client_secret_file;
        let file = tokio::fs::File::open(path).await;
        let file = file.with_context(|| format!("failed to read {}", path.display()))?;
        let mut text = String::new();
        let read = file.take(SECRET_MOST + 1).read_to_string(&mut text).await;
        // an error message could quote the file
        if read.is_err() || text.len() as u64 > SECRET_MOST {
            bail!("{} is not a short text", path.display());
        }
        match text.trim() {
            "" => bail!("{} is empty", path.display()),
            secret => Ok(ClientSecret::new(secret.to_owned())),
        }
    }
}

/// Why an ID token is invalid.
enum Wrong {
    /// No key fits. The provider may have published another one since the last refresh.
    Key(&'static str),
    Other(&'static str),
}

impl Wrong {
    fn reason(&self) -> &'static str {
        match self {
            Wrong::Key(reason) | Wrong::Other(reason) => reason,
        }
    }
}

/// The allowed signatures, all by a key of the provider. A signature by the client's secret would prove only that the
/// signer has the secret.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

fn verify(
    client: &Client,
    token: &CoreIdToken,
    answer: &CoreTokenResponse,
    nonce: &Nonce,
) -> Result<CoreIdTokenClaims, Wrong> {
    let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
    let claims = token.claims(&verifier, nonce).map_err(|error| match error {
        ClaimsVerificationError::SignatureVerification(error) => match error {
            SignatureVerificationError::NoMatchingKey => Wrong::Key("the provider publishes no key for it"),
            // a provider may give a new key no name, or the name of an old one
            SignatureVerificationError::AmbiguousKeyId(_) | SignatureVerificationError::CryptoError(_) => {
                Wrong::Key("its signature is wrong")
            }
            SignatureVerificationError::DisallowedAlg(_) | SignatureVerificationError::UnsupportedAlg(_) => {
                Wrong::Other("its algorithm is not allowed")
            }
            _ => Wrong::Other("it has no signature that can be checked"),
        },
        ClaimsVerificationError::Expired(_) => Wrong::Other("it has expired"),
        ClaimsVerificationError::InvalidAudience(_) => Wrong::Other("it is for another audience"),
        ClaimsVerificationError::InvalidIssuer(_) => Wrong::Other("it is of another issuer"),
        ClaimsVerificationError::InvalidNonce(_) => Wrong::Other("its nonce belongs to another login"),
        _ => Wrong::Other("its claims can't be used"),
    })?;
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = token
            .signing_alg()
            .map_err(|_| Wrong::Other("its algorithm can't be read"))?;
        let key = token
            .signing_key(&verifier)
            .map_err(|_| Wrong::Other("its key can't be used"))?;
        let found = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
        if found.ok().as_ref() != Some(expected) {
            return Err(Wrong::Other("it belongs to another access token"));
        }
    }
    Ok(claims.clone())
}

/// Returns why the provider rejects a code. Quotes nothing of its response, which could contain the code.
fn refused<T: openidconnect::ErrorResponse>(error: RequestTokenError<CallError, T>) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => error.into(),
        RequestTokenError::ServerResponse(_) => {
            ProviderError::Unusable("it refuses the code, or the client's id and secret".to_owned())
        }
        _ => ProviderError::Unusable("its answer to the code can't be read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::Token;

    #[test]
    fn a_login_ends_once_and_the_memory_of_it_is_bounded() {
        let settings = OidcSettings {
            issuer: "https://login.example.org".into(),
            ..OidcSettings::default()
        };
        let provider = Provider::new(&settings, "https://pybots.example.org/").unwrap();
        assert_eq!(provider.callback, "https://pybots.example.org/login/oidc/callback");
        let at = Timestamp::from_millis;
        let login = |now| PendingLogin::new(&Token::new().unwrap(), "/", now);
        let first = login(at(0));
        assert!(provider.spend(&first, at(0)));
        assert!(!provider.spend(&first, at(1)));
        for now in (1..=i64::try_from(SPENT_MOST).unwrap()).map(at) {
            assert!(provider.spend(&login(now), now));
        }
        assert_eq!(provider.spent.lock().unwrap().len(), SPENT_MOST);
        assert!(Provider::new(&OidcSettings::default(), "").is_none());
    }
}
