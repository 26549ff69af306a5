//! Tokens and keys that people paste by mistake where everybody can read them. Each kind has a form of its own, by
//! which it is found. [`FORMS`] is the one list of these forms.

use std::borrow::Cow;
use std::ops::Range;

/// The form of a kind of secret.
pub struct SecretForm {
    /// The kind, for messages: `a token of GitHub`.
    pub what: &'static str,
    begins: &'static [u8],
    /// Returns how many of the bytes after the beginning belong to the secret, or `None` if this is no secret.
    rest: fn(&[u8]) -> Option<usize>,
}

/// All forms that are searched for. A secret that looks like a word or a hash has no form.
pub static FORMS: [SecretForm; 14] = [
    form("a token of Pybots", "pybots_", |rest| run(rest, is_hex, 64)),
    form("a token of GitHub", "ghp_", github),
    form("a token of GitHub", "gho_", github),
    form("a token of GitHub", "ghu_", github),
    form("a token of GitHub", "ghs_", github),
    form("a token of GitHub", "ghr_", github),
    form("a token of GitHub", "github_pat_", |rest| run(rest, is_word, 22)),
    form("a token of GitLab", "glpat-", |rest| run(rest, is_dashed, 20)),
    form("a token of the package index", "pypi-AgEI", |rest| {
        run(rest, is_dashed, 16)
    }),
    form("a token of the package index", "pypi-AgEN", |rest| {
        run(rest, is_dashed, 16)
    }),
    form("an access key of AWS", "AKIA", aws),
    form("an access key of AWS", "ASIA", aws),
    form("a token of Slack", "xox", slack),
    form("a private key", "-----BEGIN ", private_key),
];

const fn form(what: &'static str, begins: &'static str, rest: fn(&[u8]) -> Option<usize>) -> SecretForm {
    SecretForm {
        what,
        begins: begins.as_bytes(),
        rest,
    }
}

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSecret {
    /// The kind of the secret; see [`SecretForm::what`].
    pub what: &'static str,
    /// The range of its bytes in the text, which begins and ends between characters.
    pub range: Range<usize>,
}

/// Returns the secrets in a text, in the order of the text. Of secrets that overlap, only the first is listed. The time
/// is linear in the length of the text.
pub fn find(text: &[u8]) -> Vec<FoundSecret> {
    let mut found = Vec::new();
    for form in &FORMS {
        let mut from = 0;
        while let Some(at) = position(&text[from..], form.begins).map(|at| from + at) {
            let rest = at + form.begins.len();
            // a secret is skipped as a whole; otherwise few bytes were read
            from = match (form.rest)(&text[rest..]) {
                Some(length) => {
                    let (what, range) = (form.what, at..rest + length);
                    found.push(FoundSecret { what, range });
                    rest + length
                }
                None => rest,
            };
        }
    }
    found.sort_by_key(|one| one.range.start);
    let mut end = 0;
    found.retain(|one| {
        let is_apart = one.range.start >= end;
        end = end.max(one.range.end);
        is_apart
    });
    found
}

/// Returns the tokens of Pybots in a text, also those within another secret.
pub fn own_tokens(text: &str) -> Vec<&str> {
    let (mut tokens, mut from) = (Vec::new(), 0);
    let own = &FORMS[0];
    while let Some(at) = position(&text.as_bytes()[from..], own.begins).map(|at| from + at) {
        let rest = at + own.begins.len();
        from = rest + (own.rest)(&text.as_bytes()[rest..]).unwrap_or(0);
        tokens.extend(text.get(at..from).filter(|_| from > rest));
    }
    tokens
}

/// Replaces each byte of the secrets in a text, except line ends, by an asterisk, so that positions in the text stay
/// the same.
pub fn masked(text: &str) -> Cow<'_, str> {
    let found = find(text.as_bytes());
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    for FoundSecret { range, .. } in found {
        masked.push_str(text.get(from..range.start).unwrap_or_default());
        let stars = text.get(range.clone()).unwrap_or_default().bytes();
        masked.extend(stars.map(|byte| if byte == b'\n' { '\n' } else { '*' }));
        from = range.end;
    }
    masked.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(masked)
}

/// Returns the first position of bytes in a text, or `None` if the text does not contain them.
fn position(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| *byte == first)?;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Returns the length of the run of matching bytes at the beginning, or `None` if it is shorter than `least`.
fn run(rest: &[u8], is_part: fn(u8) -> bool, least: usize) -> Option<usize> {
    let length = rest.iter().take_while(|byte| is_part(**byte)).count();
    (length >= least).then_some(length)
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_dashed(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn github(rest: &[u8]) -> Option<usize> {
    run(rest, |byte| byte.is_ascii_alphanumeric(), 36)
}

fn aws(rest: &[u8]) -> Option<usize> {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    // in a longer run of such bytes, the beginning is a coincidence
    run(&rest[..rest.len().min(17)], is_part, 16).filter(|length| *length == 16)
}

/// The bytes of a Slack token, after the letter of its kind, that decide whether it is one.
const SLACK_LEAST: usize = 11;

fn slack(rest: &[u8]) -> Option<usize> {
    let (_, rest) = rest.split_first().filter(|(kind, _)| b"abeoprs".contains(kind))?;
    let head = &rest[..rest.len().min(SLACK_LEAST)];
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    run(head, is_part, SLACK_LEAST)?;
    // a number follows the kind, and words do not begin with one
    let is_one = head[0] == b'-' && head[1].is_ascii_digit();
    is_one.then(|| run(rest, is_part, 0).map(|length| length + 1))?
}

/// The most bytes that are searched for the words `PRIVATE KEY`. Words such as `RSA` or `OPENSSH` may precede them.
const KEY_WORDS_MOST: usize = 40;

fn private_key(rest: &[u8]) -> Option<usize> {
    let line = &rest[..rest.len().min(KEY_WORDS_MOST)];
    let length = run(
        line,
        |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ',
        1,
    )?;
    position(&line[..length], b"PRIVATE KEY")?;
    // up to the end of the key, or to the end of the text
    let end = position(rest, b"-----END ").map(|end| end + b"-----END ".len());
    Some(end.unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Vec<(&'static str, String)> {
        let long = "aB3dE5fG7h".repeat(8);
        vec![
            ("a token of Pybots", format!("pybots_{}", "0123456789abcdef".repeat(4))),
            ("a token of GitHub", format!("ghp_{}", &long[..36])),
            ("a token of GitHub", format!("ghs_{}", &long[..36])),
            (
                "a token of GitHub",
                format!("github_pat_{}_{}", &long[..22], &long[..59]),
            ),
            ("a token of GitLab", format!("glpat-{}", &long[..20])),
            ("a token of the package index", format!("pypi-AgEIcHlwaS5vcmc{long}")),
            ("a token of the package index", format!("pypi-AgENdGVzdC5weXBp{long}")),
            ("an access key of AWS", format!("AKIA{}", "QWERTYUIOP234567")),
            ("a token of Slack", format!("xoxb-{}", "123456789012-abcdefABCDEF")),
            (
                "a private key",
                format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{long}\n-----END "),
            ),
        ]
    }

    #[test]
    fn each_form_is_found_where_it_stands() {
        for (what, secret) in secrets() {
            for (before, after) in [("", ""), ("é run = \"export T=", "\"\n"), ("x_", " ")] {
                let text = format!("{before}{secret}{after}");
                let range = before.len()..before.len() + secret.len();
                assert_eq!(find(text.as_bytes()), [FoundSecret { what, range }], "{text}");
                let masked = masked(&text);
                assert_eq!(masked.len(), text.len());
                assert!(masked.starts_with(before) && masked.ends_with(after), "{masked}");
                assert!(!masked.contains(&secret[..12]) && masked.contains("*****"), "{masked}");
                assert_eq!(masked.matches('\n').count(), text.matches('\n').count());
            }
        }
        let all: String = secrets().iter().map(|(_, secret)| format!("{secret} ")).collect();
        assert_eq!(find(all.as_bytes()).len(), secrets().len());
    }

    #[test]
    fn own_tokens_are_found_within_other_secrets() {
        let token = &secrets()[0].1;
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{token}\n-----END RSA PRIVATE KEY-----");
        assert_eq!(own_tokens(&key), [token]);
        assert_eq!(own_tokens(&format!("pybots_ {token}{token}")), [token, token]);
        assert_eq!(own_tokens("pybots_tests"), Vec::<&str>::new());
    }

    #[test]
    fn hashes_and_words_are_no_secrets() {
        for text in [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "RECORD,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0",
            "0123456789abcdef0123456789abcdef01234567",
            "pybots_tests pybots_0123 pybots-lane-0123456789abcdef01234567",
            "ghp_token github_pat_TOKEN glpat-TOKEN pypi-AgEI.. AKIA.. xoxb-.. xoxo-hugs-and-kisses-2024",
            "pypi-attestations pypi-AgEnt",
            "AKIAQWERTYUIOP234567QWERTYUIOP",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN",
            "",
        ] {
            assert_eq!(find(text.as_bytes()), [], "{text}");
            assert_eq!(masked(text), text);
        }
    }

    /// A stranger chooses the text, and every form begins in it again and again.
    #[test]
    fn the_time_is_linear() {
        for form in &FORMS {
            let begins = std::str::from_utf8(form.begins).unwrap();
            for text in [begins.repeat(20_000), format!("{begins}A PRIVATE KEY ").repeat(10_000)] {
                let start = std::time::Instant::now();
                assert_eq!(masked(&text).len(), text.len());
                assert!(start.elapsed().as_secs() < 2, "{begins}");
            }
        }
    }
}
