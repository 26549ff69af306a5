//! Bars on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Work of a known or unknown number of steps.
pub struct Progress {
    bar: Option<ProgressBar>,
    said: String,
}

impl Progress {
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // the template is a constant that its test reads
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            said: String::new(),
        }
    }

    /// `done` of `all` (0: not known), and what goes on.
    pub fn at(&mut self, done: u64, all: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(all.max(done));
                bar.set_position(done);
                bar.set_message(text.to_owned());
            }
            None => {
                let line = if all == 0 {
                    text.to_owned()
                } else {
                    format!("{done}/{all} {text}")
                };
                if line != self.said {
                    eprintln!("{line}");
                    self.said = line;
                }
            }
        }
    }

    /// Writes something else without tearing the bar.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Whether a person watches; elsewhere what is written aside says enough.
    pub fn shows(&self) -> bool {
        self.bar.is_some()
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "{spinner} [{elapsed_precise}] {bar:30.cyan/blue} {pos}/{len} {wide_msg}";

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_one() {
        assert!(indicatif::ProgressStyle::with_template(super::TEMPLATE).is_ok());
    }
}
