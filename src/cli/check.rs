//! `pybots check FILE..`: checks recipe files.

use crate::clock::now;
use crate::recipe::folder::{Beside, check_beside};
use crate::recipe::{MORE_PROBLEMS, Problem, advice, schema};
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Check {
    /// Recipe files.
    #[arg(required_unless_present = "schema", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the JSON Schema of recipes, for editors.
    #[arg(long, conflicts_with = "files")]
    schema: bool,
}

impl Check {
    /// Checks each file. Prints its problems, or advice if it has none. The exit code is 1 if a file has a problem.
    pub fn run(&self) -> Result<ExitCode> {
        if self.schema {
            outln!("{:#}", schema());
            return Ok(ExitCode::SUCCESS);
        }
        let colour = super::output::has_colours(&std::io::stderr());
        let mut wrong = 0;
        for file in &self.files {
            let shown = file.display().to_string();
            let notes = match check(file, &shown, colour) {
                Ok(advice) => {
                    outln!("{shown}: ok");
                    advice
                }
                Err(problems) => {
                    wrong += 1;
                    problems
                }
            };
            for note in notes {
                errln!("{note}");
            }
        }
        if wrong > 0 {
            errln!("{wrong} of {} recipes can't be registered", self.files.len());
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns advice about a valid recipe, or the problems of an invalid one as the error.
fn check(file: &Path, shown: &str, colour: bool) -> Result<Vec<String>, Vec<String>> {
    let draw = |problems: Vec<Problem>| problems.iter().map(|problem| problem.draw(colour)).collect();
    let bytes = std::fs::read(file).map_err(|error| vec![format!("{shown} can't be read: {error}\n")])?;
    let text = String::from_utf8(bytes).map_err(|_| vec![format!("{shown} is not UTF-8; save it as UTF-8\n")])?;
    let checked = check_beside(shown, &text, Beside::of(file).as_ref());
    match checked.recipe {
        Some(recipe) => Ok(draw(advice(shown, &text, &recipe, now()))),
        None => {
            let mut drawn = draw(checked.problems);
            drawn.extend(checked.has_more.then(|| MORE_PROBLEMS.to_owned()));
            Err(drawn)
        }
    }
}
