//! The one way to stdout and stderr. Much of what commands print was written by strangers: subjects, messages, errors of
//! servers. A terminal obeys what it reads, so nothing reaches it here but text, and colours where they are wanted.
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

/// Does what `print!` does, but ends the process quietly if the reader of stdout has gone (`| head`).
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::print(&format!($($text)*)) };
}

/// Does what `println!` does, with the same exception as [`out!`].
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::output::print(&(format!($($text)*) + "\n")) };
}

/// Does what `eprintln!` does, and goes on if the reader of stderr has gone.
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

/// Sets what `--color` says. Counts once in a process.
pub fn choose(colours: Colours) {
    let _ = CHOSEN.set(colours);
}

/// Whether what is written there has colours.
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
    // a command goes on if nobody reads what it says meanwhile
    let _ = out.write_all(text.as_bytes());
}

/// Prints a script on stdout: for a file or another program, each byte as it is.
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

/// They can only be in strings of the JSON, where an escape is the same character.
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

/// Ends the process if stdout could not be written: with exit code 0 if the reader has gone, otherwise with 2.
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

/// What the settings hold that nobody else may read.
static SECRETS: OnceLock<Secrets> = OnceLock::new();

/// Keeps secrets out of the log and out of errors from now on.
pub fn hide(secrets: Secrets) {
    // only a second call in one process fails
    let _ = SECRETS.set(secrets);
}

/// Masks the secrets of the settings, and what looks like a secret.
pub fn without_secrets(text: &str) -> String {
    match SECRETS.get().filter(|secrets| !secrets.is_empty()) {
        Some(secrets) => masked(&secrets.mask_in(text)).into_owned(),
        None => masked(text).into_owned(),
    }
}

/// Stderr for the process's own log. Others read it, so no secret gets there.
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
