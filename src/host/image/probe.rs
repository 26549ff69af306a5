//! Probes a new image: its interpreter, in a container of its own, reports version, revision and modules.

use crate::domain::job::{BuildSpec, Facts, Report};
use crate::domain::limits::{Limits, Seconds};
use crate::host::log::Log;
use crate::host::phase::{self, PhaseEnd, PhaseLimits};
use crate::host::{Host, Stop};
use crate::runtime::{Container, Network};
use std::collections::BTreeMap;

const SCRIPT: &str = include_str!("probe.py");

/// Returns the part of a revision's id that is compiled in.
pub fn compiled_in(revision: &str) -> &str {
    &revision[..revision.len().min(10)]
}

/// A probe of an image, and the job for which it is made.
pub struct ImageProbe<'a> {
    pub host: &'a Host,
    pub attempt: &'a str,
    pub spec: &'a BuildSpec,
    pub log: &'a Log,
}

impl ImageProbe<'_> {
    /// Returns the image's facts if they match the spec, or else fails with the reason. `revision` is the revision from
    /// which the image was built. It may differ from the spec's if both have equal trees.
    pub async fn ask(&self, reference: &str, revision: &str, report: &mut Report) -> Result<Facts, Stop> {
        let Self {
            host,
            attempt,
            spec,
            log,
        } = *self;
        // through a shell: then a missing interpreter is one that does not start, and not an error of the engine
        let mut command: Vec<String> = ["/bin/sh", "-c", "exec \"$@\"", "sh", &spec.profile.python, "-c", SCRIPT]
            .map(str::to_owned)
            .into();
        command.extend(spec.profile.modules.iter().cloned());
        let limits = Limits::default();
        let container = Container {
            image: reference.to_owned(),
            command,
            user: "1000:1000".into(),
            workdir: "/".into(),
            env: BTreeMap::from([("HOME".to_owned(), "/tmp".to_owned())]),
            network: Network::Loopback,
            volumes: Vec::new(),
            memory: limits.memory,
            pids: limits.pids,
            cpus: limits.cpus,
            labels: host.labels(attempt),
        };
        let plan = PhaseLimits {
            name: "probe",
            timeout: Seconds(120),
            silence: Seconds(60),
            log: limits.log,
            before_kill: None,
            secrets: &host.secrets,
        };
        let ran = phase::run(host.runtime.as_ref(), log, &plan, container).await?;
        report.phases.push(ran.phase);
        let code = match ran.end {
            PhaseEnd::Exited(exit) => Some(exit.code),
            PhaseEnd::TimedOut(_) => None,
        };
        if !ran.end.succeeded() {
            return Err(Stop::image_failed(
                "the interpreter that was built does not start".to_owned(),
                code,
            ));
        }
        let facts = read(&String::from_utf8_lossy(&ran.output)).map_err(|reason| Stop::image_failed(reason, None))?;
        judge(&facts, spec, revision).map_err(|reason| Stop::image_failed(reason, None))?;
        if facts.revision.is_empty() {
            log.say("the interpreter reports no revision; only its version was compared with the tree's")
                .await;
        }
        Ok(facts)
    }
}

fn read(output: &str) -> Result<Facts, String> {
    let mut facts = Facts::default();
    let mut unusable = None;
    let mut whole = false;
    for line in output.lines().filter_map(|line| line.strip_prefix("pybots-probe\t")) {
        let (key, value) = line.split_once('\t').unwrap_or((line, ""));
        match key {
            "sys_version" => facts.sys_version = value.to_owned(),
            "line" => facts.line = value.to_owned(),
            "executable" => facts.executable = value.to_owned(),
            "revision" => facts.revision = value.to_owned(),
            "soabi" => facts.soabi = value.to_owned(),
            "abi_key" => facts.abi_key = Some(value.to_owned()),
            "free_threaded" => facts.free_threaded = value == "1",
            "debug" => facts.debug = value == "1",
            "unusable" => unusable = Some(value),
            "missing" => facts.missing_modules.push(value.to_owned()),
            "end" => whole = true,
            _ => {}
        }
    }
    match unusable {
        _ if !whole => Err("the interpreter that was built did not complete the probe".to_owned()),
        Some(problem) => Err(format!(
            "nothing can be installed, for the interpreter that was built can't import {problem}"
        )),
        None => Ok(facts),
    }
}

fn judge(facts: &Facts, spec: &BuildSpec, revision: &str) -> Result<(), String> {
    if !facts.sys_version.starts_with(&spec.version) {
        return Err(format!(
            "the image reports Python {}, but its tree is {}",
            facts.sys_version, spec.version
        ));
    }
    // an interpreter without a revision says nothing about its tree: CPython has changed three times how it is compiled in
    if !facts.revision.is_empty() && facts.revision.trim_end_matches('+') != compiled_in(revision) {
        return Err(format!(
            "the image reports revision {:?} instead of {}",
            facts.revision,
            compiled_in(revision)
        ));
    }
    for (flag, is) in [("--with-pydebug", facts.debug), ("--disable-gil", facts.free_threaded)] {
        let asked = spec.profile.configure.iter().any(|given| given == flag);
        if asked != is {
            let (not, found) = if asked { ("", "without") } else { ("out", "with") };
            return Err(format!(
                "configured with{not} {flag}, but the interpreter was built {found} it"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    fn spec() -> BuildSpec {
        let profiles = Profiles::load(None).unwrap();
        BuildSpec {
            build_key: "k".into(),
            revision: "0123456789abcdef".into(),
            branch: "trunk".into(),
            version: "3.16.0a0".into(),
            variant: "default".into(),
            profile: profiles.for_version(&"3.16.0a0".parse().unwrap()).unwrap().clone(),
            distribution: profiles.distribution.clone(),
            remote: None,
        }
    }

    const GOOD: &str = "flakiness\npybots-probe\tsys_version\t3.16.0a0 (main:0123456789, now) [GCC]\npybots-probe\tline\t3.16\n\
                        pybots-probe\trevision\t0123456789\npybots-probe\tabi_key\ta1\npybots-probe\tend\t\n";

    #[test]
    fn a_good_image_passes() {
        let facts = read(GOOD).unwrap();
        assert_eq!(facts.line, "3.16");
        assert_eq!(facts.abi_key.as_deref(), Some("a1"));
        assert_eq!(read("pybots-probe\tend\t").unwrap().abi_key, None);
        judge(&facts, &spec(), &spec().revision).unwrap();
    }

    #[test]
    fn a_missing_module_degrades_an_image_unless_nothing_can_be_installed_without_it() {
        let lacking = |line: &str| read(&GOOD.replace("pybots-probe\tend", &format!("{line}\npybots-probe\tend")));
        let degraded = lacking("pybots-probe\tmissing\tssl: no module").unwrap();
        judge(&degraded, &spec(), &spec().revision).unwrap();
        assert_eq!(degraded.missing().collect::<Vec<_>>(), [("ssl", "no module")]);
        let reason = lacking("pybots-probe\tunusable\tjson: no module").unwrap_err();
        assert!(reason.ends_with("can't import json: no module"), "{reason}");
    }

    /// What `sys._git` holds depends on the makefile, which a revision may change.
    #[test]
    fn an_interpreter_that_reports_no_revision_makes_an_image() {
        let facts = read(&GOOD.replace("revision\t0123456789", "revision\t")).unwrap();
        assert_eq!(facts.revision, "");
        judge(&facts, &spec(), &spec().revision).unwrap();
    }

    #[test]
    fn what_is_not_as_asked_is_refused() {
        assert!(read(&GOOD.replace("pybots-probe\tend\t\n", "")).is_err());
        for (from, to, says) in [
            ("3.16.0a0", "3.15.0", "its tree is 3.16.0a0"),
            (
                "pybots-probe\tend",
                "pybots-probe\tdebug\t1\npybots-probe\tend",
                "configured without --with-pydebug, but the interpreter was built with it",
            ),
            ("revision\t0123456789", "revision\tffff", "instead of 0123456789"),
        ] {
            let reason = judge(&read(&GOOD.replace(from, to)).unwrap(), &spec(), &spec().revision).unwrap_err();
            assert!(reason.contains(says), "{reason}");
        }
    }
}
