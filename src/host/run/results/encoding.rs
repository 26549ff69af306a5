//! The text of an XML file, whose first bytes or declaration name its encoding.

use encoding_rs::{Encoding, UTF_8};
use std::borrow::Cow;

/// The bytes at the start of a file that may hold the declaration.
const DECLARATION_MOST: usize = 200;

/// Returns the text of a file. Bytes that are invalid in its encoding become `\u{fffd}`. The error names an encoding
/// that is unknown.
pub fn text(xml: &[u8]) -> Result<Cow<'_, str>, String> {
    let encoding = match Encoding::for_bom(xml) {
        Some((encoding, _)) => encoding,
        None => declared(xml)?,
    };
    Ok(encoding.decode(xml).0)
}

/// Returns the encoding that the declaration names, or UTF-8 if there is no declaration.
fn declared(xml: &[u8]) -> Result<&'static Encoding, String> {
    let head = String::from_utf8_lossy(&xml[..xml.len().min(DECLARATION_MOST)]);
    let declaration = head
        .trim_start()
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split_once("?>"));
    let Some((_, value)) = declaration.and_then(|(declaration, _)| declaration.split_once("encoding")) else {
        return Ok(UTF_8);
    };
    let value = value.trim_start().trim_start_matches('=').trim_start();
    let label = value.trim_start_matches(['"', '\'']);
    let label = label.split(['"', '\'']).next().unwrap_or_default();
    // a file that says this in single bytes is not in UTF-16
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding.is_ascii_compatible() => Ok(encoding),
        Some(_) => Ok(UTF_8),
        None => {
            let label: String = label.chars().take(40).collect();
            Err(format!("its encoding {label:?} is unknown"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_that_the_file_names() {
        let latin = b"<?xml version='1.0' encoding=\"ISO-8859-1\"?><a>\xe4</a>";
        assert!(text(latin).unwrap().ends_with("<a>\u{e4}</a>"));
        let mut wide = vec![0xff, 0xfe];
        wide.extend("<a>\u{e4}</a>".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(text(&wide).unwrap(), "<a>\u{e4}</a>");
        assert_eq!(text("<a>\u{e4}</a>".as_bytes()).unwrap(), "<a>\u{e4}</a>");
        assert_eq!(text(b"\xef\xbb\xbf<a/>").unwrap(), "<a/>");
        assert_eq!(text(b"<a>\xff</a>").unwrap(), "<a>\u{fffd}</a>");
        let unknown = text(b"<?xml version='1.0' encoding='klingon'?><a/>").unwrap_err();
        assert_eq!(unknown, "its encoding \"klingon\" is unknown");
        let long = format!("<?xml version='1.0' encoding='{}'?><a/>", "\u{12}".repeat(150));
        assert!(text(long.as_bytes()).unwrap_err().len() < 300);
    }
}
