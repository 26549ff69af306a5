//! `pybots check FILE..`: checks recipe files.

use crate::recipe::folder::{Beside, check_beside};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks each file and prints its problems. The exit code is 1 if a file has one.
pub fn run(files: &[PathBuf]) -> Result<ExitCode> {
    let colour = super::output::has_colours(&std::io::stderr());
    let mut wrong = 0;
    for file in files {
        let shown = file.display().to_string();
        let problems = match std::fs::read(file) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => check_beside(&shown, &text, Beside::of(file).as_ref())
                    .problems
                    .iter()
                    .map(|problem| problem.draw(colour))
                    .collect(),
                Err(_) => vec![format!("{shown} is not UTF-8; save it as UTF-8\n")],
            },
            Err(error) => vec![format!("{shown} can't be read: {error}\n")],
        };
        if problems.is_empty() {
            outln!("{shown}: ok");
        } else {
            wrong += 1;
            for problem in problems {
                errln!("{problem}");
            }
        }
    }
    if wrong > 0 {
        errln!("{wrong} of {} recipes can't be registered", files.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
