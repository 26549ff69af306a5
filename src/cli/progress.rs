//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use super::output;
use crate::domain::text::plain;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Shows the progress of a task.
pub struct Progress {
    bar: Option<ProgressBar>,
    last_line: String,
}

impl Progress {
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // a test checks the template, so this can't fail
            let template = match output::has_colours(&std::io::stderr()) {
                true => TEMPLATE.to_owned(),
                false => TEMPLATE.replace(COLOURS, ""),
            };
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            last_line: String::new(),
        }
    }

    /// Shows a text, and that `done` of `all` steps are finished. `all` is 0 if their number is not available.
    pub fn at(&mut self, done: u64, all: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(all.max(done));
                bar.set_position(done);
                bar.set_message(plain(text));
            }
            None => {
                let line = if all == 0 {
                    text.to_owned()
                } else {
                    format!("{done}/{all} {text}")
                };
                if line != self.last_line {
                    errln!("{line}");
                    self.last_line = line;
                }
            }
        }
    }

    /// Calls `write`, which writes to the terminal, without damaging the bar.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Returns whether there is a bar, because stderr is a terminal.
    pub fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    /// Removes the bar.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "{spinner} [{elapsed_precise}] {bar:30.cyan/blue} {pos}/{len} {wide_msg}";
const COLOURS: &str = ".cyan/blue";

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_valid() {
        for template in [super::TEMPLATE, &super::TEMPLATE.replace(super::COLOURS, "")] {
            assert!(indicatif::ProgressStyle::with_template(template).is_ok());
        }
    }
}
