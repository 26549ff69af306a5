//! Which module may use which, and why.

pub struct Layer {
    /// A module of the crate. It stands for all modules within it that have no entry of their own.
    pub module: &'static str,
    /// Modules whose items it may name. All of them are further up in the list.
    pub may_use: &'static [&'static str],
    /// No I/O, no clock, no randomness.
    pub is_pure: bool,
    pub reason: &'static str,
}

const fn pure(module: &'static str, may_use: &'static [&'static str], reason: &'static str) -> Layer {
    Layer {
        module,
        may_use,
        is_pure: true,
        reason,
    }
}

const fn layer(module: &'static str, may_use: &'static [&'static str], reason: &'static str) -> Layer {
    Layer {
        module,
        may_use,
        is_pure: false,
        reason,
    }
}

/// From the lowest layer up: each entry names lower ones only. A new arrow needs an entry here, and a reason why it
/// points downwards.
pub const LAYERS: &[Layer] = &[
    pure(
        "domain",
        &[],
        "nouns and rules; everything stands on them, so they stand on nothing",
    ),
    layer("clock", &["domain"], "the only module that asks for the time of day"),
    layer("signal", &[], "waits for signals; knows nothing of Pybots"),
    pure(
        "protocol",
        &["domain"],
        "what hosts and coordinator send each other; neither side's machinery",
    ),
    layer(
        "logfile",
        &[],
        "the format of logs; hosts write it, and the coordinator stores it",
    ),
    pure(
        "screen",
        &["domain", "logfile"],
        "what a terminal would show of a log; pages and commands draw it",
    ),
    pure(
        "verdict",
        &["domain"],
        "rules about results; without tables, so that their tests need no database",
    ),
    pure(
        "recipe",
        &["clock", "domain"],
        "recipes and their check; `clock` gives the end of a day, not the time",
    ),
    layer(
        "recipe::pack",
        &["domain"],
        "packs the source folders of recipes, and notices when they change",
    ),
    layer(
        "recipe::folder",
        &["domain", "recipe", "recipe::pack"],
        "reads recipes and their folders from disk",
    ),
    layer(
        "recipe::reader",
        &["domain", "recipe", "recipe::folder", "recipe::pack"],
        "reads a folder of recipes again and again, and only what changed; compares their names",
    ),
    pure("profile", &["domain"], "the set of build profiles"),
    layer(
        "profile::folder",
        &["domain", "profile"],
        "reads build profiles from disk",
    ),
    pure(
        "plan",
        &["domain", "profile", "recipe"],
        "what to build and run, without a store",
    ),
    layer(
        "config",
        &["domain", "profile", "recipe"],
        "shows mistakes as recipes do, and knows the profiles' variants",
    ),
    layer(
        "runtime",
        &["domain", "logfile"],
        "the contract with a container engine; it knows no jobs",
    ),
    layer(
        "runtime::docker",
        &["domain", "logfile", "runtime"],
        "the only code that speaks to an engine",
    ),
    layer(
        "runtime::fake",
        &["domain", "logfile", "runtime"],
        "a strict stand-in for tests",
    ),
    layer(
        "store",
        &["domain", "logfile", "plan", "verdict"],
        "stores logs and answers, and gives `plan` its revisions",
    ),
    layer(
        "watch",
        &["config", "domain", "store"],
        "new commits become stored revisions",
    ),
    layer(
        "queue",
        &["domain", "protocol", "store"],
        "leases stored jobs, and answers claims in the protocol's types",
    ),
    layer(
        "enrolment",
        &["domain", "store"],
        "registers hosts; needs no queue and no settings",
    ),
    layer(
        "access",
        &["domain", "enrolment", "store"],
        "accounts and sessions, with the same kind of token as hosts",
    ),
    layer(
        "oidc",
        &["config", "domain", "enrolment"],
        "asks the identity provider of the settings who somebody is; knows no accounts, and takes secrets from `enrolment`",
    ),
    layer(
        "submissions",
        &["access", "domain", "enrolment", "recipe", "recipe::folder", "store"],
        "checks what people submit as a file of the folder is checked",
    ),
    layer(
        "decisions",
        &["access", "clock", "domain", "enrolment", "queue", "store"],
        "what people decide, for the API and the pages; `clock` gives the end of a day",
    ),
    layer(
        "incidents",
        &["domain", "store", "verdict"],
        "stored regressions as pages and commands show them",
    ),
    layer(
        "compare",
        &["domain", "store", "verdict"],
        "two stored revisions side by side",
    ),
    layer(
        "investigate",
        &[
            "config", "domain", "plan", "profile", "queue", "recipe", "store", "verdict", "watch",
        ],
        "schedules runs on images by the profiles in force, and reads the mirror; it has a context of its own instead of the coordinator",
    ),
    layer(
        "coordinator",
        &[
            "access",
            "clock",
            "config",
            "domain",
            "investigate",
            "plan",
            "profile",
            "queue",
            "recipe",
            "recipe::folder",
            "recipe::reader",
            "store",
            "submissions",
            "watch",
        ],
        "drives everything that needs the store, in loops; it serves nobody over HTTP",
    ),
    layer(
        "host",
        &[
            "clock",
            "config",
            "domain",
            "logfile",
            "profile",
            "protocol",
            "runtime",
            "runtime::docker",
        ],
        "never touches the database, and knows the coordinator by `protocol` only",
    ),
    layer(
        "reproduce",
        &["config", "domain", "host", "incidents", "store"],
        "an incident as a script for another machine, with the same build steps as `host`",
    ),
    layer(
        "web",
        &[
            "access",
            "clock",
            "compare",
            "decisions",
            "domain",
            "incidents",
            "investigate",
            "enrolment",
            "logfile",
            "oidc",
            "recipe",
            "reproduce",
            "screen",
            "store",
            "submissions",
            "verdict",
            "watch",
        ],
        "pages for people, and the forms by which they log in, submit and decide; the page of a revision reads its patch from the mirror, a run's page reads its results as an investigation does and the known failures of its recipe, and health looks at the mirror",
    ),
    layer(
        "api",
        &[
            "access",
            "clock",
            "compare",
            "coordinator",
            "decisions",
            "domain",
            "enrolment",
            "incidents",
            "logfile",
            "protocol",
            "queue",
            "screen",
            "store",
            "submissions",
            "web",
        ],
        "the calls of hosts, which need the coordinator, and the pages' values as JSON, which need only the store",
    ),
    layer(
        "server",
        &["api", "config", "coordinator", "oidc", "store", "web"],
        "composes everything that is served over HTTP, and serves it as the settings say while the store is there",
    ),
    layer(
        "client",
        &["api", "decisions", "domain", "web"],
        "calls the API with its own types; in this process, it calls the handlers themselves",
    ),
    layer(
        "cli",
        &[
            "access",
            "api",
            "client",
            "clock",
            "compare",
            "config",
            "coordinator",
            "decisions",
            "domain",
            "enrolment",
            "host",
            "incidents",
            "investigate",
            "logfile",
            "oidc",
            "plan",
            "profile",
            "queue",
            "recipe",
            "recipe::folder",
            "recipe::reader",
            "reproduce",
            "runtime",
            "runtime::docker",
            "screen",
            "server",
            "signal",
            "store",
            "verdict",
            "watch",
            "web",
        ],
        "the commands; the top, which may use everything but the fake engine",
    ),
];

/// Files that import each other, all of each circle, and why that is better than to take them apart.
pub const CIRCLES: &[(&[&str], &str)] = &[
    (
        &[
            "coordinator/mod.rs",
            "coordinator/plan.rs",
            "coordinator/recipes.rs",
            "coordinator/trials.rs",
        ],
        "the loop in `mod.rs` runs passes that are given the coordinator",
    ),
    (
        &["domain/retention.rs", "domain/retention/remote.rs"],
        "the rules for an engine ask those for a registry, which judge images of the same types",
    ),
    (
        &[
            "queue/claim.rs",
            "queue/end.rs",
            "queue/mod.rs",
            "queue/requests.rs",
            "queue/sources.rs",
        ],
        "one type, with a file for each group of its methods; it holds the state of those that claim",
    ),
    (
        &[
            "recipe/propose/faults.rs",
            "recipe/propose/faults/interrupted.rs",
            "recipe/propose/faults/network.rs",
            "recipe/propose/faults/plugins.rs",
            "recipe/propose/imports.rs",
            "recipe/propose/mod.rs",
            "recipe/propose/requires.rs",
            "recipe/propose/suite.rs",
            "recipe/propose/trial.rs",
            "recipe/propose/when.rs",
            "recipe/propose/write.rs",
        ],
        "rules take and return the proposal in `mod.rs`, a file for each group of them; `faults.rs` is such a group again",
    ),
    (
        &[
            "runtime/docker/image.rs",
            "runtime/docker/inventory.rs",
            "runtime/docker/mod.rs",
            "runtime/docker/transfer.rs",
        ],
        "one type implements the contract: the trait's methods in `mod.rs` pass on to methods of the type in other files",
    ),
    (
        &[
            "runtime/fake.rs",
            "runtime/fake/expect.rs",
            "runtime/fake/inventory.rs",
            "runtime/fake/registry.rs",
        ],
        "as with the real engine: one type and its trait in one file, its methods in others",
    ),
];
