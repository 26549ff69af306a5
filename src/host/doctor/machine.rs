//! Checks the machine: its disks, and the resources that its owner grants.

use super::Diagnosis;
use crate::config::Settings;
use crate::domain::limits::Size;
use crate::runtime::Engine;
use rustix::fs::{Access, access, statvfs};
use std::path::Path;

/// The free space in MiB that the id, the token and the spool need while the coordinator is away.
const DATA_MIB: u64 = 1024;

/// With less memory than this, most suites can't run.
const SMALL: Size = Size(256 << 20);

pub fn disk(settings: &Settings, engine: Option<&Engine>) -> Vec<Diagnosis> {
    let mut diagnoses = Vec::new();
    if let Some(engine) = engine {
        diagnoses.push(engine_disk(settings, engine));
    }
    diagnoses.push(data_folder(&settings.data));
    diagnoses
}

fn engine_disk(settings: &Settings, engine: &Engine) -> Diagnosis {
    let (needed, tidy) = (settings.engine.min_free_gib, settings.retention.min_free_gib);
    let root = &engine.traits.root;
    let given = match settings.host.disk {
        Some(given) => format!("; Pybots may use {given} of it"),
        None => String::new(),
    };
    match engine.free_gib {
        None => Diagnosis::warn(
            "disk",
            format!("the engine keeps its data in {root}, which this process can't see"),
            "jobs do not stop before that disk is full: watch it, or run the host where it can see the folder",
        ),
        Some(free) if free < needed => Diagnosis::fail(
            "disk",
            format!("{free} GiB are free in {root}, and jobs need {needed}"),
            "make room, move the engine's data to a larger disk, or lower `engine.min_free_gib`",
        ),
        Some(free) if free < tidy => Diagnosis::warn(
            "disk",
            format!("{free} GiB are free in {root}; below {tidy}, old images are removed early"),
            "make room, or lower `retention.min_free_gib`",
        ),
        Some(free) => match settings.host.disk {
            Some(given) if given.0 >> 30 <= needed => Diagnosis::fail(
                "disk",
                format!("`host.disk` is {given}, of which {needed} GiB stay free: no job has room"),
                "raise `host.disk`, or lower `engine.min_free_gib`",
            ),
            _ => Diagnosis::ok("disk", format!("{free} GiB are free in {root}{given}")),
        },
    }
}

fn data_folder(data: &Path) -> Diagnosis {
    let shown = data.display();
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    // the folder is made at the first start
    let Some(there) = absolute.ancestors().find(|folder| folder.exists()) else {
        return Diagnosis::fail("data", format!("there is no {shown}"), "set `data`");
    };
    if !there.is_dir() || access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Diagnosis::fail(
            "data",
            format!("nothing can be written to {shown}"),
            "make it writable for this user, or set `data`",
        );
    }
    let free = statvfs(there).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >> 20);
    match free {
        Ok(free) if free < DATA_MIB => Diagnosis::warn(
            "data",
            format!("{free} MiB are free for {shown}"),
            "make room: logs wait here while the coordinator is away",
        ),
        Ok(free) => Diagnosis::ok("data", format!("{} GiB are free for {shown}", free >> 10)),
        Err(error) => Diagnosis::fail("data", format!("failed to look at {shown}: {error}"), "set `data`"),
    }
}

/// Describes the host policy, and compares it with the machine.
pub fn say(settings: &Settings, engine: Option<&Engine>) -> Vec<Diagnosis> {
    let host = &settings.host;
    let all = |names: &std::collections::BTreeSet<String>, what: &str| match names.len() {
        0 => format!("all {what}"),
        _ => format!("{what} {}", names.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    let mut says = format!(
        "takes {}, {}",
        all(&host.projects, "projects"),
        all(&host.branches, "branches")
    );
    if !host.labels.is_empty() {
        says += &format!(", and has {}", all(&host.labels, "labels"));
    }
    says += &match (host.shown_hours(), host.rests(jiff::Timestamp::now())) {
        (None, _) => "; works at any hour".to_owned(),
        (Some(hours), None) => format!("; works {hours}, which includes now"),
        (Some(_), Some(rests)) => format!("; {rests}"),
    };
    let mut diagnoses = vec![Diagnosis::ok("host", says)];
    if let Some(small) = host.memory.filter(|memory| *memory < SMALL) {
        diagnoses.push(Diagnosis::warn(
            "host",
            format!("a run may have {small} of memory, too little for most suites"),
            "raise `host.memory`",
        ));
    }
    let Some(traits) = engine.map(|engine| &engine.traits) else {
        return diagnoses;
    };
    let each = host.memory.unwrap_or(settings.limits.memory);
    let together = each.0.saturating_mul(settings.slots as u64);
    if traits.memory > 0 && together > traits.memory {
        diagnoses.push(Diagnosis::warn(
            "host",
            format!(
                "{} runs of {each} at a time may need more than the machine has, {}",
                settings.slots,
                Size(traits.memory >> 20 << 20)
            ),
            "lower `slots` or `host.memory`",
        ));
    }
    if traits.cpus > 0 && host.cpus > traits.cpus as f64 {
        diagnoses.push(Diagnosis::fail(
            "host",
            format!("`host.cpus` is {}, and the engine has {}", host.cpus, traits.cpus),
            "lower `host.cpus`",
        ));
    }
    diagnoses
}
