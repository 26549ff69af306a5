//! Chains of errors as people read them.

use std::error::Error;

/// Texts of libraries that only name the part of the library through which an error came.
const MACHINERY: [&str; 6] = [
    "error sending request",
    "client error (",
    "error trying to connect",
    "tcp connect error",
    "Error in the hyper legacy client",
    "connection error",
];

/// Returns the causes of an error as one text, from the outermost to the root. Leaves out causes that only name parts
/// of libraries: of "error sending request for url (..): client error (Connect): tcp connect error: Connection refused"
/// the last one stays. If no other cause is left, the root stays. The caller adds what it tried.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut last = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let text = error.to_string();
        // many errors end with the text of their source
        if let Some(before) = texts.last_mut()
            && before.ends_with(&text)
        {
            continue;
        }
        last.clone_from(&text);
        if !MACHINERY.iter().any(|machinery| text.starts_with(machinery)) {
            texts.push(text);
        }
    }
    match texts.is_empty() {
        true => last,
        false => texts.join(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: String,
        source: Option<Box<Layer>>,
    }

    fn chain(texts: &[&str]) -> Layer {
        let (first, rest) = texts.split_first().unwrap();
        Layer {
            text: (*first).to_owned(),
            source: (!rest.is_empty()).then(|| Box::new(chain(rest))),
        }
    }

    #[test]
    fn only_causes_stay() {
        let refused = "Connection refused (os error 111)";
        for (texts, expected) in [
            (
                &[
                    "error sending request for url (http://u:p@h/)",
                    "client error (Connect)",
                    "tcp connect error",
                    refused,
                ][..],
                refused,
            ),
            (
                &[
                    "Error in the hyper legacy client: client error (Connect)",
                    "client error (Connect)",
                    "No such file or directory (os error 2)",
                ],
                "No such file or directory (os error 2)",
            ),
            (
                &["failed to read: no such file", "no such file"],
                "failed to read: no such file",
            ),
            (&["outer", "inner"], "outer: inner"),
            // better than nothing
            (&["error sending request"], "error sending request"),
        ] {
            assert_eq!(causes(&chain(texts)), expected);
        }
    }
}
