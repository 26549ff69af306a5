//! `pybots host doctor`.

use super::kept_before;
use crate::config::{Loaded, SettingsError};
use crate::host::doctor::{Enrolment, Finding, State, examine};
use anyhow::Result;
use std::process::ExitCode;

pub async fn run(loaded: &Loaded, server: Option<String>, token: Option<String>, json: bool) -> Result<ExitCode> {
    let data = &loaded.settings.data;
    let enrolment = Enrolment {
        server: server.or_else(|| kept_before(data, "server")),
        token: token.or_else(|| kept_before(data, "token")),
    };
    let mut findings = vec![settings_found(loaded)];
    findings.extend(examine(&loaded.settings, &enrolment).await);
    show(&findings, json)
}

/// Without settings nothing else can be looked at.
pub fn without_settings(error: &SettingsError, json: bool) -> Result<ExitCode> {
    let finding = Finding::fail("settings", error.to_string(), "correct the settings file");
    show(&[finding], json)
}

fn settings_found(loaded: &Loaded) -> Finding {
    let says = match &loaded.file {
        Some(file) => format!("as {} says; `pybots config` shows them", file.display()),
        None => "no settings file: the defaults hold (`--config FILE` names one)".to_owned(),
    };
    Finding {
        check: "settings",
        state: State::Ok,
        says,
        remedy: None,
    }
}

/// A line for each, and below it what to do. The exit code is 1 if anything fails.
fn show(findings: &[Finding], json: bool) -> Result<ExitCode> {
    if json {
        outln!("{}", serde_json::to_string_pretty(findings)?);
    } else {
        for finding in findings {
            outln!("{:<4}  {:<11}  {}", finding.state, finding.check, finding.says.trim());
            if let Some(remedy) = &finding.remedy {
                outln!("{:19}-> {remedy}", "");
            }
        }
    }
    let failed = findings.iter().any(|finding| finding.state == State::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
