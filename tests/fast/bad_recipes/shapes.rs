//! Generates good recipes, as the keys of docs/recipes.md allow them.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use toml::{Table, Value};

/// A recipe of a project `demo`.
pub fn recipe() -> impl Strategy<Value = Table> {
    let about = (
        text(),
        of(homepage()),
        vec(text(), 0..3),
        of(1_i64..=3),
        vec("[a-z]{1,8}", 0..3),
    );
    let limited = (
        versions(),
        of(vec(line(), 1..3)),
        vec(exclude(), 0..3),
        vec(known_failure(), 0..3),
    );
    let steps = (source(), suites(), keys());
    (about, limited, steps, vec((versions(), keys()), 0..3)).prop_map(|(about, limited, steps, sections)| {
        let (summary, homepage, owners, tier, needs) = about;
        let (when, branches, excludes, failures) = limited;
        let (source, suites, keys) = steps;
        let mut recipe = table([("name", Some("demo".into())), ("summary", Some(summary))]);
        recipe.extend(table([
            ("homepage", homepage),
            ("owners", Some(owners.into())),
            ("tier", tier.map(Value::from)),
            ("needs", Some(needs.into())),
            ("when", Some(when)),
            ("branches", branches.map(Value::from)),
            ("exclude", Some(excludes.into())),
            ("known_failure", Some(failures.into())),
            ("source", Some(source)),
            ("suite", Some(suites)),
        ]));
        recipe.extend(keys);
        let section = |(when, keys): (Value, Table)| {
            let mut section = keys;
            section.insert("when".to_owned(), when);
            Value::from(section)
        };
        let sections: Vec<Value> = sections.into_iter().map(section).collect();
        recipe.insert("section".to_owned(), sections.into());
        recipe
    })
}

fn table<const N: usize>(keys: [(&str, Option<Value>); N]) -> Table {
    let keys = keys.into_iter();
    keys.filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn text() -> impl Strategy<Value = Value> {
    "[a-zA-Z0-9éß✓ '\"\\\\.,#\n\t]{0,30}".prop_map(Value::from)
}

fn line() -> impl Strategy<Value = Value> {
    "[a-zA-Z0-9 ./=_-]{1,30}".prop_map(Value::from)
}

fn homepage() -> impl Strategy<Value = Value> {
    "https?://[a-z]{1,9}\\.example(/[a-z?=#]{0,9})?".prop_map(Value::from)
}

/// The oldest of them has every mode.
fn versions() -> impl Strategy<Value = Value> {
    prop_oneof![
        (7_u8..20).prop_map(|minor| format!(">=3.{minor}")),
        (7_u8..12, 12_u8..20).prop_map(|(from, to)| format!(">=3.{from},<3.{to}")),
        Just(">=3.7,!=3.9.*".to_owned()),
    ]
    .prop_map(Value::from)
}

fn sha256() -> impl Strategy<Value = Value> {
    "[0-9a-f]{64}".prop_map(Value::from)
}

fn source() -> impl Strategy<Value = Value> {
    let place = prop_oneof![
        Just(table([("pypi", Some("thing".into()))])),
        ("[0-9]\\.[0-9]{1,2}", sha256()).prop_map(|(version, sha256)| table([
            ("pypi", Some("thing".into())),
            ("version", Some(version.into())),
            ("sha256", Some(sha256)),
        ])),
        ("[a-z0-9]{1,12}", of(any::<bool>())).prop_map(|(rev, submodules)| table([
            ("git", Some("https://example.org/thing.git".into())),
            ("rev", Some(rev.into())),
            ("submodules", submodules.map(Value::from)),
        ])),
        (1_u32..9999).prop_map(|rev| table([
            ("svn", Some("svn://example.org/thing/trunk".into())),
            ("rev", Some(rev.to_string().into())),
        ])),
        sha256().prop_map(|sha256| table([
            ("url", Some("https://example.org/thing-1.tar.gz".into())),
            ("sha256", Some(sha256)),
        ])),
        Just(table([("path", Some("demo/src".into()))])),
    ];
    (place, of("[a-z]{1,5}(/[a-z]{1,5})?")).prop_map(|(mut place, subfolder)| {
        place.extend(table([("subfolder", subfolder.map(Value::from))]));
        place.into()
    })
}

fn suites() -> impl Strategy<Value = Value> {
    let suite = (
        "[a-zA-Z0-9 .=/_\n-]{0,40}",
        of("[a-z]{1,9}\\.xml"),
        vec(
            prop_oneof![Just("-X dev"), Just("-W error"), Just("-O"), Just("-X utf8")],
            0..2,
        ),
    );
    vec(suite, 1..4).prop_map(|suites| {
        let suite = |(number, (run, report, modes)): (usize, (String, Option<String>, Vec<&str>))| {
            Value::from(table([
                ("name", Some(format!("s{number}").into())),
                ("run", Some(format!("python {run}").into())),
                ("report", report.map(Value::from)),
                ("modes", Some(modes.into())),
            ]))
        };
        suites.into_iter().enumerate().map(suite).collect::<Vec<_>>().into()
    })
}

/// Keys of a run that a recipe and a section may have beside source and suites.
fn keys() -> impl Strategy<Value = Table> {
    let requirement = prop_oneof![
        Just("pytest>=8"),
        Just(".[test]"),
        Just("a[b,c]==1.*; python_version < \"3.9\""),
        Just("x"),
    ];
    let lists = (
        of(vec(
            "[a-z][a-z0-9.+-]{0,8}[a-z0-9]".prop_filter("apt reads it as an expression", |name| !name.contains(".+")),
            0..3,
        )),
        of(vec(requirement, 0..3)),
        of(vec("[a-z]{1,8}", 0..3)),
        of(vec(line(), 0..3)),
    );
    let others = (
        of(any::<bool>()),
        of(btree_map("[A-Z][A-Z0-9_]{0,8}E", text(), 0..3)),
        of(limits()),
        of(prop_oneof![Just("2025-12-03"), Just("2024-02-29")]),
    );
    (lists, others).prop_map(|((system, requires, groups, install), (network, env, limits, as_of))| {
        let env = env.map(|env| Value::from(Table::from_iter(env)));
        table([
            ("system", system.map(Value::from)),
            ("requires", requires.map(Value::from)),
            ("groups", groups.map(Value::from)),
            ("install", install.map(Value::from)),
            ("install_network", network.map(Value::from)),
            ("env", env),
            ("limits", limits),
            ("as_of", as_of.map(|day| Value::Datetime(day.parse().unwrap()))),
        ])
    })
}

fn limits() -> impl Strategy<Value = Value> {
    let time = || of("[1-9][0-9]?[mh]");
    let size =
        || of("[1-9][0-9]{0,2}(MiB|GiB)".prop_filter("too small", |size| size.len() > 4 || size.ends_with("GiB")));
    (time(), size(), of(100_i64..1000), of(prop_oneof![Just(0.5), Just(2.0)])).prop_map(
        |(timeout, memory, pids, cpus)| {
            let limits = table([
                ("timeout", timeout.map(Value::from)),
                ("memory", memory.map(Value::from)),
                ("pids", pids.map(Value::from)),
                ("cpus", cpus.map(Value::from)),
            ]);
            limits.into()
        },
    )
}

fn exclude() -> impl Strategy<Value = Value> {
    (line(), text()).prop_map(|(variant, reason)| table([("variant", Some(variant)), ("reason", Some(reason))]).into())
}

fn known_failure() -> impl Strategy<Value = Value> {
    (line(), text(), "20[2-9][0-9]-0[1-9]-[12][0-8]").prop_map(|(test, reason, day)| {
        table([
            ("test", Some(test)),
            ("reason", Some(reason)),
            ("expires", Some(Value::Datetime(day.parse().unwrap()))),
        ])
        .into()
    })
}
