//! The only access to stdout and stderr. Much of the output quotes other people: subjects, messages, errors of servers.
//! A terminal obeys control characters in it, so this module lets through only text, and colours if they are enabled.
//! [`super::log_lines`] does the same for logs.

use crate::domain::address::Secrets;
use crate::domain::secrets::masked;
use crate::domain::text::is_odd;
use crate::screen::clean;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

/// Does the same as `print!`, but ends the process quietly if the reader of stdout is gone (`| head`).
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::print(&format!($($text)*)) };
}

/// Does the same as `println!`, with the same exception as [`out!`].
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::output::print(&(format!($($text)*) + "\n")) };
}

/// Does the same as `eprintln!`, but continues if the reader of stderr is gone.
macro_rules! errln {
    ($($text:tt)*) => { $crate::cli::output::report(&(format!($($text)*) + "\n")) };
}

/// Whether output has colours.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Colours {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

static CHOSEN: OnceLock<Colours> = OnceLock::new();

/// Sets the choice of `--color`. Only the first call in a process counts.
pub fn choose(colours: Colours) {
    let _ = CHOSEN.set(colours);
}

/// Returns whether output to `stream` has colours.
pub fn has_colours(stream: &impl IsTerminal) -> bool {
    match CHOSEN.get().copied().unwrap_or_default() {
        Colours::Always => true,
        Colours::Never => false,
        Colours::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Prints text on stdout.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    let text = clean(text, has_colours(&out));
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints text on stderr.
pub fn report(text: &str) {
    let mut out = std::io::stderr();
    let text = clean(text, has_colours(&out));
    // without a reader of stderr, the command goes on
    let _ = out.write_all(text.as_bytes());
}

/// Prints a script on stdout. A file or another program gets each byte unchanged.
pub fn script(text: &str) {
    let mut out = std::io::stdout();
    if out.is_terminal() {
        print(text);
    } else {
        written(out.write_all(text.as_bytes()));
    }
}

/// Prints a value as JSON on stdout. Characters that could control a terminal are escaped.
pub fn json(value: &(impl Serialize + ?Sized)) -> Result<()> {
    let json = serde_json::to_string_pretty(value)?;
    written(writeln!(std::io::stdout(), "{}", escaped(&json)));
    Ok(())
}

/// Escapes control characters in JSON. They can only occur in strings, where the escape stands for the same character.
fn escaped(json: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| is_odd(c) && c != '\n';
    if !json.contains(is_escaped) {
        return json.into();
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_escaped(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text.into()
}

/// Ends the process if stdout could not be written: with exit code 0 if the reader is gone, otherwise with 2.
fn written(result: std::io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            report(&format!("error: failed to write the result: {error}\n"));
            std::process::exit(2);
        }
    }
}

/// The secrets in the settings.
static SECRETS: OnceLock<Secrets> = OnceLock::new();

/// Masks these secrets in the log and in errors from now on.
pub fn hide(secrets: Secrets) {
    // only a second call in one process fails
    let _ = SECRETS.set(secrets);
}

/// Masks the secrets of the settings, and all text that looks like a secret.
pub fn without_secrets(text: &str) -> String {
    match SECRETS.get().filter(|secrets| !secrets.is_empty()) {
        Some(secrets) => masked(&secrets.mask_in(text)).into_owned(),
        None => masked(text).into_owned(),
    }
}

/// Stderr for the log of the process. Masks secrets, because other people may read the log.
pub struct CleanStderr;

impl Write for CleanStderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        report(&without_secrets(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_holds_no_secret() {
        let token = format!("pybots_{}", "0123456789abcdef".repeat(4));
        hide(Secrets::default().with("s3cr%t word"));
        let line = without_secrets(&format!("failed: s3cr%t word, s3cr%25t%20word; https://x/?a={token}&b"));
        assert!(!line.contains(&token) && line.ends_with("&b"), "{line}");
        assert!(line.starts_with("failed: ***, ***; https"), "{line}");
    }

    #[test]
    fn json_means_the_same_and_controls_nothing() {
        let value = serde_json::json!({"subject": "fix \u{9b}2J \u{202e}x \u{1b}]52;c;x\u{7}\n ü"});
        let json = serde_json::to_string_pretty(&value).unwrap();
        let shown = escaped(&json);
        assert!(!shown.contains(|c| is_odd(c) && c != '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
