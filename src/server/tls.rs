//! TLS: the certificate and its key, which are read again when their files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error as Cause, ServerConfig};

/// The most bytes of a file. The longest chain of certificates has a few kilobytes.
const FILE_MOST: u64 = 1 << 20;

/// The time between two checks of the files.
const LOOK: Duration = Duration::from_secs(30);

/// Why the server can't use TLS. No message quotes the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("failed to read {path} (`{setting}`): {error}")]
    Unreadable {
        setting: &'static str,
        path: String,
        error: std::io::Error,
    },
    #[error("{path} (`{setting}`) has more than 1 MiB; is it the right file?")]
    TooLarge { setting: &'static str, path: String },
    #[error("{0} (`http.tls_certificate`) has no certificate in PEM, which begins with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate(String),
    #[error(
        "{0} (`http.tls_key`) has no private key in PEM, which begins with `-----BEGIN PRIVATE KEY-----`; one with a passphrase can't be used"
    )]
    NoKey(String),
    #[error(
        "the key in {key} (`http.tls_key`) does not belong to the certificate in {certificate} (`http.tls_certificate`)"
    )]
    NotAPair { certificate: String, key: String },
    #[error("{certificate} and {key} (`http.tls_certificate`, `http.tls_key`) can't be used: {cause}")]
    Unusable {
        certificate: String,
        key: String,
        cause: Cause,
    },
}

/// The server's certificate and key, with the files that hold them.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    look: Duration,
    shown: Mutex<Shown>,
}

struct Shown {
    pair: Pair,
    acceptor: TlsAcceptor,
}

/// The contents of the two files.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the two files.
    pub async fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pair = read(certificate, key).await?;
        let acceptor = acceptor(&pair, certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            look: LOOK,
            shown: Mutex::new(Shown { pair, acceptor }),
        })
    }

    /// Sets the time between two checks of the files.
    pub fn looking_every(mut self, look: Duration) -> Self {
        self.look = look;
        self
    }

    /// Returns the acceptor with the newest certificate.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.acceptor.clone()
    }

    /// Loads a new certificate when the files change. Keeps the old one if the new one can't be used.
    pub(super) async fn follow(&self) {
        let mut problems = Problems::default();
        loop {
            tokio::time::sleep(self.look).await;
            match self.renew().await {
                Ok(false) => problems = Problems::default(),
                Ok(true) => {
                    problems = Problems::default();
                    tracing::info!("the certificate has changed; new connections get the new one");
                }
                Err(error) => {
                    if let Some(problem) = problems.note(error.to_string()) {
                        tracing::warn!("the certificate stays as it was: {problem}");
                    }
                }
            }
        }
    }

    /// Reads the files again. Returns whether they changed.
    async fn renew(&self) -> Result<bool, TlsError> {
        let pair = read(&self.certificate, &self.key).await?;
        if self.shown.lock().unwrap_or_else(PoisonError::into_inner).pair == pair {
            return Ok(false);
        }
        let acceptor = acceptor(&pair, &self.certificate, &self.key)?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Shown { pair, acceptor };
        Ok(true)
    }
}

/// The problem at the last check. Two files are not replaced at the same moment, so a problem is logged at its second
/// check, and only once.
#[derive(Default)]
struct Problems {
    last: Option<String>,
    is_logged: bool,
}

impl Problems {
    /// Records a problem. Returns it if it has to be logged now.
    fn note(&mut self, problem: String) -> Option<&str> {
        if self.last.as_ref() != Some(&problem) {
            self.last = Some(problem);
            self.is_logged = false;
            return None;
        }
        let is_new = !std::mem::replace(&mut self.is_logged, true);
        self.last.as_deref().filter(|_| is_new)
    }
}

async fn read(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    Ok(Pair {
        certificate: read_file("http.tls_certificate", certificate).await?,
        key: read_file("http.tls_key", key).await?,
    })
}

async fn read_file(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let shown = || path.display().to_string();
    let unreadable = |error| TlsError::Unreadable {
        setting,
        path: shown(),
        error,
    };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut text = Vec::new();
    let read = file.take(FILE_MOST + 1).read_to_end(&mut text).await;
    if read.map_err(unreadable)? as u64 > FILE_MOST {
        return Err(TlsError::TooLarge { setting, path: shown() });
    }
    Ok(text)
}

fn acceptor(pair: &Pair, certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let names = (certificate.display().to_string(), key.display().to_string());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| TlsError::NoCertificate(names.0.clone()))?;
    let private = PrivateKeyDer::from_pem_slice(&pair.key).map_err(|_| TlsError::NoKey(names.1.clone()))?;
    let unusable = |cause| {
        let (certificate, key) = names.clone();
        match cause {
            Cause::InconsistentKeys(_) => TlsError::NotAPair { certificate, key },
            cause => TlsError::Unusable {
                certificate,
                key,
                cause,
            },
        }
    };
    // explicit, because the dependencies of this program bring several providers, and rustls chooses none of them by
    // itself
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_logged_once_and_not_while_files_are_replaced() {
        let mut problems = Problems::default();
        let mut note = |problem: &str| problems.note(problem.to_owned()).map(str::to_owned);
        assert_eq!(note("a"), None);
        assert_eq!(note("b"), None);
        assert_eq!(note("b"), Some("b".to_owned()));
        assert_eq!(note("b"), None);
        assert_eq!(note("a"), None);
        assert_eq!(note("a"), Some("a".to_owned()));
    }
}
