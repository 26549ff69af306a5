//! Digests of several parts.

use sha2::{Digest, Sha256};

/// Returns the SHA-256 of parts, in hex. Each part is preceded by its length, so that no two sequences of parts have
/// the same input.
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// Returns whether a text can be a SHA-256: 64 hexadecimal digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
