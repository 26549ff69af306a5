//! Masks secrets in the output of a program, which comes in parts.

use super::login::{MASK, pieces};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::sync::Arc;

/// Texts that nobody but the operator may see: logins and query values of addresses, decoded, and single passwords, the
/// longest first.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[Vec<u8>]>);

impl Secrets {
    pub(super) fn new(mut secrets: Vec<Vec<u8>>) -> Self {
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a password or token that stands in no address.
    pub fn with(self, secret: &str) -> Self {
        let added = Some(secret.as_bytes().to_vec()).filter(|secret| !secret.is_empty());
        Self::new(self.0.iter().cloned().chain(added).collect())
    }

    /// Adds a password that stands in no address, also in the forms that an HTTP header has it: as it is, and encoded as
    /// OAuth 2.0 asks for (RFC 6749, section 2.3.1).
    pub fn with_login(self, user: &str, password: &str) -> Self {
        match password.is_empty() {
            true => self,
            false => self
                .with(password)
                .with(&BASE64_STANDARD.encode(format!("{user}:{password}")))
                .with(&BASE64_STANDARD.encode(format!("{}:{}", form_encoded(user), form_encoded(password)))),
        }
    }

    /// Masks the secrets in a whole text.
    pub fn mask_in(&self, text: &str) -> String {
        let mut mask = StreamMask::new(self);
        let mut masked = mask.take(text.as_bytes());
        masked.extend(mask.finish());
        String::from_utf8_lossy(&masked).into_owned()
    }
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// The most bytes of a line that are held back. This is far more than a secret has, even if each of its characters is
/// written as `%XX`.
const HELD_MOST: usize = 16 << 10;

/// Masks secrets in one stream. A secret may be split between two parts, so the last line is held back until it ends.
/// The length that is held back does not depend on the secrets. Otherwise the timing of the output would show its
/// author how a secret begins.
#[derive(Default)]
pub struct StreamMask {
    secrets: Secrets,
    held: Vec<u8>,
}

impl StreamMask {
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            secrets: secrets.clone(),
            held: Vec::new(),
        }
    }

    /// Takes a part of the stream. Returns the masked text that can be written now.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let text = [&std::mem::take(&mut self.held), bytes].concat();
        let lines = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (masked, rest) = self.masked(&text, lines.max(text.len().saturating_sub(HELD_MOST)));
        self.held = text[rest..].to_vec();
        masked
    }

    /// Returns the text that was held back, masked. Call it at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        self.masked(&text, text.len()).0
    }

    /// Masks the secrets that begin before `until`. Returns the masked text, and the position at which the rest begins.
    fn masked(&self, text: &[u8], until: usize) -> (Vec<u8>, usize) {
        if until == 0 {
            return (Vec::new(), 0);
        }
        let pieces = pieces(text);
        let plain: Vec<u8> = pieces.iter().map(|(byte, _)| *byte).collect();
        let mut masked = Vec::with_capacity(until);
        let (mut at, mut raw_at) = (0, 0);
        while let Some((_, raw)) = pieces.get(at).filter(|_| raw_at < until) {
            let rest = &plain[at..];
            let length = match self.secrets.0.iter().find(|secret| rest.starts_with(secret)) {
                Some(secret) => {
                    masked.extend(MASK.bytes());
                    masked.extend(secret.ends_with(b"@").then_some(b'@'));
                    secret.len()
                }
                None => {
                    masked.extend(*raw);
                    1
                }
            };
            raw_at += pieces[at..at + length].iter().map(|(_, raw)| raw.len()).sum::<usize>();
            at += length;
        }
        (masked, raw_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::Address;

    fn secrets() -> Secrets {
        let addresses = [
            "https://reader:p%40ssw0rd@index.example/simple",
            "http://abcab:abcabd@proxy.example",
        ];
        Secrets::of(&addresses.map(Address::from))
    }

    fn in_parts(text: &[u8], part: usize) -> String {
        let mut mask = StreamMask::new(&secrets());
        let mut all = Vec::new();
        for part in text.chunks(part) {
            all.extend(mask.take(part));
        }
        all.extend(mask.finish());
        String::from_utf8_lossy(&all).into_owned()
    }

    #[test]
    fn secrets_are_masked_wherever_output_is_torn() {
        for (text, masked) in [
            (
                "GET https://reader:p%40ssw0rd@index.example/simple/",
                "GET https://***@index.example/simple/",
            ),
            (
                "PIP_INDEX_URL=https://reader:p@ssw0rd@index.example",
                "PIP_INDEX_URL=https://***@index.example",
            ),
            (
                "password p%40ssw0rd, p@ssw0rd, again P@ssw0rd",
                "password ***, ***, again P@ssw0rd",
            ),
            ("Authorization: Basic cmVhZGVyOnBAc3N3MHJk", "Authorization: Basic ***"),
            // one secret is the beginning of another, and of itself
            ("abcab abcabd abcabcabd abca", "*** *** ***cabd abca"),
            ("100 % of 4% %zz \u{e4} ends in %", "100 % of 4% %zz \u{e4} ends in %"),
        ] {
            for part in [1, 2, 3, 5, 7, 1000] {
                assert_eq!(in_parts(text.as_bytes(), part), masked, "in parts of {part}");
            }
        }
    }

    #[test]
    fn a_secret_of_its_own_is_masked_in_a_whole_text() {
        let secrets = secrets().with("t0ken\"x").with("");
        assert_eq!(
            secrets.mask_in("a t0ken\"x, t0ken%22x and p@ssw0rd\n ü"),
            "a ***, *** and ***\n ü"
        );
        assert_eq!(Secrets::default().mask_in("a text"), "a text");
    }

    #[test]
    fn what_is_held_depends_on_no_secret() {
        let lengths = |text: &[u8]| -> Vec<usize> {
            let mut mask = StreamMask::new(&secrets());
            text.chunks(1).map(|part| mask.take(part).len()).collect()
        };
        assert_eq!(lengths(b"p@ssw0r\nx"), lengths(b"q@ssw0r\nx"));
        let mut mask = StreamMask::new(&secrets());
        assert_eq!(mask.take(b"plain text\nre"), b"plain text\n");
        assert_eq!(mask.take(b"ad"), b"");
        assert_eq!(mask.take(b" on\n"), b"read on\n");
        assert_eq!(mask.take(b"no end"), b"");
        assert_eq!(mask.finish(), b"no end");
        assert_eq!(format!("{:?}", secrets()), format!("Secrets({})", secrets().0.len()));
    }

    #[test]
    fn a_line_without_an_end_is_written_in_parts() {
        let line = format!("{}p%40ssw0rd{}", "x".repeat(HELD_MOST - 4), "y".repeat(HELD_MOST));
        let masked = line.replace("p%40ssw0rd", "***");
        for part in [1000, HELD_MOST, HELD_MOST + 3, 3 * HELD_MOST] {
            assert_eq!(in_parts(line.as_bytes(), part), masked, "in parts of {part}");
        }
        let mut mask = StreamMask::new(&secrets());
        assert_eq!(mask.take(line.as_bytes()).len(), HELD_MOST - 1);
    }
}
