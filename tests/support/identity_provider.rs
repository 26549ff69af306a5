//! Identity providers for tests: a small one that can lie, and Canaille, a real one.

use super::here;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreHmacKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use warp::http::{StatusCode, header};
use warp::{Filter, Reply};

pub const SECRET: &str = "the-secret-of-the-client";

/// How the small provider answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Good,
    Fails,
    Slow,
    Garbage,
    Huge,
    Redirects,
    /// It calls itself otherwise.
    AnotherIssuer,
}

/// How an ID token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signed {
    #[default]
    ByKey,
    /// With the algorithm `none`.
    Not,
    /// With what the coordinator knows too.
    BySecret,
}

/// A key that signs ID tokens.
#[derive(Clone)]
pub struct Key {
    id: &'static str,
    pem: String,
}

impl Key {
    pub fn new(id: &'static str) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        Self {
            id,
            pem: key.serialize_pem(),
        }
    }

    fn signing(&self) -> CoreEdDsaPrivateSigningKey {
        CoreEdDsaPrivateSigningKey::from_ed25519_pem(&self.pem, Some(JsonWebKeyId::new(self.id.to_owned()))).unwrap()
    }

    /// A signed token with these claims.
    fn token(&self, claims: &Value, how: Signed) -> String {
        let algorithm = match how {
            Signed::ByKey => "EdDSA",
            Signed::Not => "none",
            Signed::BySecret => "HS256",
        };
        let head = json!({ "alg": algorithm, "kid": self.id, "typ": "JWT" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(claims));
        let text = signed.as_bytes();
        let signature = match how {
            Signed::ByKey => self.signing().sign(&CoreJwsSigningAlgorithm::EdDsa, text).unwrap(),
            Signed::Not => Vec::new(),
            Signed::BySecret => {
                let key = CoreHmacKey::new(SECRET);
                key.sign(&CoreJwsSigningAlgorithm::HmacSha256, text).unwrap()
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What the small provider does next.
pub struct State {
    pub mood: Mood,
    /// The keys that it publishes.
    pub published: Vec<Key>,
    /// The key by which it signs.
    pub signs: Key,
    pub how: Signed,
    /// What it says about the person to whoever has the access token. If it says nothing, it has no address for that.
    pub info: Option<Value>,
    /// Whether it takes the secret of the client in the form only.
    pub takes_forms: bool,
    /// Claims that replace the right ones; `null` removes one.
    pub claims: Value,
    /// How often it described itself.
    pub asked: usize,
    nonce: String,
    challenge: String,
}

impl State {
    /// It signs by another key from now on, and publishes that one only.
    pub fn signs_by_and_publishes(&mut self, key: Key) {
        self.published = vec![key.clone()];
        self.signs = key;
    }
}

/// A small provider. It takes any code again, and says what a test wants.
pub struct Provider {
    pub issuer: String,
    pub state: Arc<Mutex<State>>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = Key::new("first");
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Good,
            published: vec![key.clone()],
            signs: key,
            how: Signed::ByKey,
            info: None,
            takes_forms: false,
            claims: json!({}),
            asked: 0,
            nonce: String::new(),
            challenge: String::new(),
        }));
        tokio::spawn(
            warp::serve(routes(issuer.clone(), state.clone()))
                .incoming(listener)
                .run(),
        );
        Self { issuer, state }
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// How often it described itself.
    pub fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// What its page for logins does: it takes the address to which the coordinator sent the browser, and returns the one to which the
    /// browser goes back.
    pub fn logs_in(&self, address: &str) -> String {
        let url = url::Url::parse(address).unwrap();
        let fields: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert!(address.starts_with(&format!("{}/authorize?", self.issuer)), "{address}");
        assert_eq!(fields["response_type"], "code");
        assert_eq!(fields["code_challenge_method"], "S256");
        assert!(fields["scope"].split(' ').any(|scope| scope == "openid"), "{address}");
        self.set(|state| {
            state.nonce = fields["nonce"].clone();
            state.challenge = fields["code_challenge"].clone();
        });
        format!(
            "{}?code=the-code-itself&state={}",
            fields["redirect_uri"], fields["state"]
        )
    }
}

fn routes(
    issuer: String,
    state: Arc<Mutex<State>>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone {
    let described = warp::path!(".well-known" / "openid-configuration").then({
        let (issuer, state) = (issuer.clone(), state.clone());
        move || {
            let (mood, has_info, takes_forms) = {
                let mut state = state.lock().unwrap();
                state.asked += 1;
                (state.mood, state.info.is_some(), state.takes_forms)
            };
            let issuer = issuer.clone();
            async move {
                let mut body = json!({
                    "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
                    "response_types_supported": ["code"], "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["EdDSA"],
                });
                if has_info {
                    body["userinfo_endpoint"] = json!(format!("{issuer}/userinfo"));
                }
                if takes_forms {
                    body["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
                }
                match mood {
                    Mood::Fails => return StatusCode::BAD_GATEWAY.into_response(),
                    Mood::Slow => tokio::time::sleep(Duration::from_secs(60)).await,
                    Mood::Garbage => return "<html>hello</html>".into_response(),
                    Mood::Huge => return "x".repeat(1 << 20).into_response(),
                    Mood::Redirects => {
                        return warp::reply::with_header(StatusCode::FOUND, header::LOCATION, "http://127.0.0.1:1/")
                            .into_response();
                    }
                    Mood::AnotherIssuer => body["issuer"] = json!("http://127.0.0.1:1"),
                    Mood::Good => {}
                }
                warp::reply::json(&body).into_response()
            }
        }
    });
    let keys = warp::path!("keys").map({
        let state = state.clone();
        move || {
            let state = state.lock().unwrap();
            let keys: Vec<_> = state
                .published
                .iter()
                .map(|key| key.signing().as_verification_key())
                .collect();
            warp::reply::json(&json!({ "keys": keys })).into_response()
        }
    });
    let info = warp::path!("userinfo")
        .and(warp::header::<String>("authorization"))
        .map({
            let state = state.clone();
            move |authorization: String| {
                assert_eq!(authorization, "Bearer the-access-token");
                let state = state.lock().unwrap();
                warp::reply::json(state.info.as_ref().unwrap()).into_response()
            }
        });
    let token = warp::path!("token")
        .and(warp::post())
        .and(warp::header::optional::<String>("authorization"))
        .and(warp::body::form())
        .map(move |authorization: Option<String>, form: BTreeMap<String, String>| {
            let state = state.lock().unwrap();
            let login = base64::engine::general_purpose::STANDARD.encode(format!("pybots:{SECRET}"));
            let sent = form.get("client_secret").map(String::as_str);
            match state.takes_forms {
                true => assert_eq!((authorization, sent), (None, Some(SECRET))),
                false => assert_eq!((authorization, sent), (Some(format!("Basic {login}")), None)),
            }
            assert_eq!(form["code"], "the-code-itself");
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
            if challenge != state.challenge {
                let refusal = json!({ "error": "invalid_grant", "error_description": form["code"] });
                return warp::reply::with_status(warp::reply::json(&refusal), StatusCode::BAD_REQUEST).into_response();
            }
            let now = pybots::clock::now().as_millis() / 1000;
            let mut claims = json!({
                "iss": issuer, "sub": "subject-of-ann", "aud": "pybots", "iat": now, "exp": now + 300, "nonce": state.nonce,
                "email": "ann@example.org", "email_verified": true, "preferred_username": "Ann",
            });
            for (name, value) in state.claims.as_object().unwrap() {
                claims[name] = value.clone();
            }
            claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            warp::reply::json(&json!({
                "access_token": "the-access-token", "token_type": "Bearer", "id_token": state.signs.token(&claims, state.how),
            }))
            .into_response()
        });
    described.or(keys).unify().or(info).unify().or(token).unify()
}

/// Canaille, with the people `ann` and `bob`.
pub struct Canaille {
    pub issuer: String,
    process: Child,
}

impl Canaille {
    /// `None` if this machine does not have it.
    pub fn start(callback: &str) -> Option<Self> {
        let python = std::env::var_os("PYBOTS_TEST_CANAILLE")
            .map_or_else(|| here().join("target/canaille/bin/python"), PathBuf::from);
        if !python.exists() {
            println!(
                "SKIPPED: a login by a real identity provider, for Canaille is not installed in target/canaille (scripts/setup installs it)"
            );
            return None;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut process = Command::new(python)
            .arg(here().join("tests/support/identity_provider.py"))
            .args([&port.to_string(), callback, SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n", "Canaille does not start");
        Some(Self {
            issuer: format!("http://127.0.0.1:{port}"),
            process,
        })
    }
}

impl Drop for Canaille {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
