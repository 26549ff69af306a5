//! `pybots host doctor`: checks whether this machine can work as a host.

use super::credentials::kept;
use crate::config::{Loaded, SettingsError};
use crate::host::doctor::{Diagnosis, Enrolment, Severity, examine};
use anyhow::Result;
use std::process::ExitCode;

/// Checks everything that a host needs. The exit code is 1 if a check fails.
pub async fn run(loaded: &Loaded, server: Option<String>, token: Option<String>, json: bool) -> Result<ExitCode> {
    let data = &loaded.settings.data;
    let enrolment = Enrolment {
        server: server.or_else(|| kept(data, "server")),
        token: token.or_else(|| kept(data, "token")),
    };
    let mut diagnoses = vec![settings_found(loaded)];
    diagnoses.extend(examine(&loaded.settings, &enrolment).await);
    show(&diagnoses, json)
}

/// Reports settings that can't be used. No other check is possible then.
pub fn without_settings(error: &SettingsError, json: bool) -> Result<ExitCode> {
    let diagnosis = Diagnosis::fail("settings", error.to_string(), "correct the settings file");
    show(&[diagnosis], json)
}

fn settings_found(loaded: &Loaded) -> Diagnosis {
    let says = match &loaded.file {
        Some(file) => format!("read from {}; `pybots config` prints them", file.display()),
        None => "no settings file, so the defaults apply; `--config FILE` names one".to_owned(),
    };
    Diagnosis {
        check: "settings",
        state: Severity::Ok,
        says,
        remedy: None,
    }
}

/// Prints a line for each diagnosis, and its remedy below it. The exit code is 1 if a check failed.
fn show(diagnoses: &[Diagnosis], json: bool) -> Result<ExitCode> {
    if json {
        crate::cli::output::json(diagnoses)?;
    } else {
        for diagnosis in diagnoses {
            outln!(
                "{:<4}  {:<11}  {}",
                diagnosis.state,
                diagnosis.check,
                diagnosis.says.trim()
            );
            if let Some(remedy) = &diagnosis.remedy {
                outln!("{:19}-> {remedy}", "");
            }
        }
    }
    let failed = diagnoses.iter().any(|diagnosis| diagnosis.state == Severity::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
