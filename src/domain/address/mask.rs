//! Masks secrets in the output of a program, which comes in parts.

use super::login::{MASK, pieces};
use std::fmt;
use std::sync::Arc;

/// Texts that nobody but the operator may see: the logins of addresses, decoded, the longest first.
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
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Masks secrets in one stream. A secret may be torn between two parts, so bytes that may begin one are held until more come.
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

    /// Returns what can be written now.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let text = [&std::mem::take(&mut self.held), bytes].concat();
        let torn = torn_escape(&text);
        let (masked, rest) = self.masked(&text[..text.len() - torn], true);
        self.held = text[rest..].to_vec();
        masked
    }

    /// Returns what was held. Nothing follows.
    pub fn finish(&mut self) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        self.masked(&text, false).0
    }

    /// Returns the masked text, and where the part begins that may be the beginning of a secret, if more follows.
    fn masked(&self, text: &[u8], more: bool) -> (Vec<u8>, usize) {
        let pieces = pieces(text);
        let plain: Vec<u8> = pieces.iter().map(|(byte, _)| *byte).collect();
        let mut masked = Vec::with_capacity(text.len());
        let (mut at, mut raw_at) = (0, 0);
        while let Some((_, raw)) = pieces.get(at) {
            let rest = &plain[at..];
            if more
                && self
                    .secrets
                    .0
                    .iter()
                    .any(|secret| secret.len() > rest.len() && secret.starts_with(rest))
            {
                return (masked, raw_at);
            }
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

/// The length of the beginning of a `%XX` at the end of a text.
fn torn_escape(text: &[u8]) -> usize {
    match text {
        [.., b'%'] => 1,
        [.., b'%', code] if code.is_ascii_hexdigit() => 2,
        _ => 0,
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
    fn what_may_be_a_secret_is_held_and_nothing_else() {
        let mut mask = StreamMask::new(&secrets());
        assert_eq!(mask.take(b"plain text\nre"), b"plain text\n");
        assert_eq!(mask.take(b"ad on"), b"read on");
        assert_eq!(mask.finish(), b"");
        let mut nothing = StreamMask::new(&Secrets::default());
        assert_eq!(nothing.take(b"reader:p@ss"), b"reader:p@ss");
        assert_eq!(format!("{:?}", secrets()), format!("Secrets({})", secrets().0.len()));
    }
}
