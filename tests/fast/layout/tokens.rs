//! Rust code as words and signs, without comments, texts and tests.

/// Splits code. `::` is one token, and every other sign is one of its own. Modules and `use` declarations that are
/// for tests only are left out.
pub fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let word = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            if !first.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            length
        });
        rest = &rest[length..];
    }
    without_tests(tokens)
}

/// Bytes of the comment, text or character that the code begins with.
fn skipped(code: &str) -> Option<usize> {
    if code.starts_with("//") {
        return Some(code.find('\n').unwrap_or(code.len()));
    }
    if code.starts_with("/*") {
        return Some(code.find("*/").map_or(code.len(), |end| end + 2));
    }
    let raw = code.strip_prefix("br").or(code.strip_prefix('r'));
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let begin = code.len() - raw.len() + hashes + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            return code[begin..].find(&end).map(|at| begin + at + end.len());
        }
    }
    match code.chars().next()? {
        '"' => closed(code, '"'),
        // a character, or else a lifetime
        '\'' if code.starts_with("'\\") || code.chars().nth(2) == Some('\'') => closed(code, '\''),
        _ => None,
    }
}

/// Bytes up to the sign that closes what the code begins with.
fn closed(code: &str, sign: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in code.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == sign => return Some(at + 1),
            _ => {}
        }
    }
    Some(code.len())
}

fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let ahead = tokens[at..].iter().take(TEST.len()).map(String::as_str);
        if !ahead.eq(TEST) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        at += TEST.len();
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}
