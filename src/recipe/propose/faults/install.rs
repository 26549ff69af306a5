//! Faults of install: missing sources, builders and packages.

use super::{Faults, last_error};
use crate::domain::outcome::Outcome;
use crate::domain::package::normalized;
use crate::domain::pattern::{all, pattern};
use crate::recipe::propose::suite::DEFAULT_INSTALL;
use crate::recipe::propose::{libraries, requires, write};
use std::collections::BTreeSet;

pattern!(TO_REQUIRE, r#"add `requires = \["([A-Za-z0-9._-]+)"\]`"#);
pattern!(TO_SET, r"set ([A-Z][A-Z0-9_]+) in `env`");
pattern!(NO_HEADER, r"fatal error: ([\w./+-]+\.h(?:pp)?): No such file");
pattern!(
    NO_LIBRARY,
    r"(?:cannot find -l|library files could not be found for )([\w.+-]+)"
);
pattern!(NO_DEVELOPMENT, r"\b(lib\w+) development packages");
pattern!(NO_PROGRAM, r"install runs `([\w.+-]+)`");
pattern!(
    NOT_FOUND,
    r"(?m)^(?:/bin/)?sh: (?:\d+: )?([\w.-]+): (?:command )?not found"
);
pattern!(
    NO_PKG_CONFIG,
    r"(?i)(?:did not find|no such file or directory: |unable to find|could not run) '?(pkg-config|pkgconf)"
);
/// Installs the project and ignores `tool.uv.sources`.
const NO_SOURCES: &str = "uv pip install --no-sources .";
/// Distributions that build Rust code, and can bring their own tool chain.
const BUILDERS_OF_RUST: [&str; 3] = ["maturin", "puccinialin", "setuptools-rust"];

impl Faults<'_> {
    pub(super) fn install(&mut self, reason: &str) {
        for name in all(&TO_REQUIRE, reason) {
            self.require(&name, "the build of the project asks for it".to_owned());
        }
        // the text alone is no proof: any build can print it
        if reason.contains("Rust tool chain")
            && !self.proposal.install_network
            && let Some(builder) = self.builder_of_rust()
        {
            self.proposal.install_network = true;
            self.say(
                "install_network = true",
                format!("{builder}, which builds the project, needs a Rust tool chain and crates"),
            );
        }
        self.packages_of_builds(reason);
        for variable in all(&TO_SET, self.observed.log) {
            if !self.proposal.env.contains_key(&variable) {
                self.proposal.env.insert(variable.clone(), "0.0".to_owned());
                self.say(
                    format!("env = {{ {variable} = \"0.0\" }}"),
                    "the build takes its version from tags, which a build does not have",
                );
            }
        }
        if self.observed.log.contains("`tool.uv.sources`") {
            self.without_sources();
        }
        // the failure may be in what the tests require, and not in the project
        let is_built = matches!(self.observed.outcome, Outcome::SetupFailed { .. });
        if self.reasons.is_empty()
            && is_built
            && let Some(last) = self.proposal.others.pop()
        {
            self.proposal.others.clear();
            let error = last_error(self.observed.log).unwrap_or_default();
            self.take(last, format!("install fails with what was required before: {error}"));
        }
    }

    /// Makes install ignore the sources that the project names for other packages.
    fn without_sources(&mut self) {
        let mut install = self
            .proposal
            .install
            .clone()
            .unwrap_or_else(|| vec![DEFAULT_INSTALL.to_owned()]);
        let Some(line) = install.iter_mut().find(|line| *line == DEFAULT_INSTALL) else {
            return;
        };
        *line = NO_SOURCES.to_owned();
        self.say(
            format!("install = {}", write::list(&install)),
            "the source names packages of its repository (`tool.uv.sources`), which are not in it",
        );
        self.proposal.install = Some(install);
    }

    /// Adds the Debian packages of headers, libraries and programs that a build lacks.
    fn packages_of_builds(&mut self, reason: &str) {
        let log = self.observed.log;
        let mut wanted: Vec<(&str, String)> = Vec::new();
        for header in all(&NO_HEADER, log) {
            wanted.extend(libraries::of_header(&header).map(|package| (package, header)));
        }
        for text in [log, reason] {
            for library in all(&NO_LIBRARY, text).into_iter().chain(all(&NO_DEVELOPMENT, text)) {
                wanted.extend(libraries::of_library(&library).map(|package| (package, library)));
            }
            let programs = [&NO_PROGRAM, &NOT_FOUND, &NO_PKG_CONFIG];
            for program in programs.into_iter().flat_map(|pattern| all(pattern, text)) {
                wanted.extend(libraries::of_program(&program).map(|package| (package, program)));
            }
        }
        for (package, what) in wanted {
            if !self.proposal.system.iter().any(|other| other == package) {
                self.proposal.system.push(package.to_owned());
                let why = format!("the build does not find `{}`", write::line(&what));
                self.say(format!("system = [\"{package}\"]"), why);
            }
        }
    }

    /// Returns the distribution in the project's `[build-system] requires` that builds Rust code.
    fn builder_of_rust(&self) -> Option<&'static str> {
        let requires = &self.survey.build.requires;
        let required: BTreeSet<String> = requires
            .iter()
            .map(|line| normalized(&requires::of_requirement(line)))
            .collect();
        BUILDERS_OF_RUST.into_iter().find(|builder| required.contains(*builder))
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::outcome::Outcome;
    use crate::domain::suite::Source;
    use crate::recipe::propose::{Observed, Survey, corrected, propose};

    #[test]
    fn packages_of_debian_are_found_by_what_a_build_does_not_find() {
        let build = serde_json::json!({ "build": { "installs": true } });
        let survey: Survey = serde_json::from_value(build).unwrap();
        let (proposal, _) = propose(
            &survey,
            "demo",
            Source::of_git("https://example.org/demo", "0123456789"),
        );
        for (log, package) in [
            ("a.c:15:10: fatal error: ffi.h: No such file or directory", "libffi-dev"),
            (
                "/usr/bin/ld: cannot find -lyaml: No such file or directory",
                "libyaml-dev",
            ),
            (
                "The headers or library files could not be found for jpeg,",
                "libjpeg-dev",
            ),
            (
                "make sure the libxml2 and libxslt development packages are installed.",
                "libxslt1-dev",
            ),
            ("sh: 1: pg_config: not found", "libpq-dev"),
        ] {
            let outcome = Outcome::SetupFailed {
                reason: "install ended with exit code 1".to_owned(),
                exit_code: Some(1),
            };
            let observed = Observed {
                outcome: &outcome,
                tests: None,
                phase: "install",
                log,
            };
            let (after, _) = corrected(&proposal, &survey, &observed).unwrap();
            let text = after.text(&[]);
            assert!(text.contains(&format!("system = [\"{package}\"]")), "{log}: {text}");
        }
        // a line that removes the source stays
        let mut compiled = proposal.clone();
        compiled.install = Some(vec!["uv pip install .".to_owned(), "rm -r demo".to_owned()]);
        let outcome = Outcome::SetupFailed {
            reason: "install ended with exit code 1".to_owned(),
            exit_code: Some(1),
        };
        let mut observed = Observed {
            outcome: &outcome,
            tests: None,
            phase: "install",
            log: "`other` references a workspace in `tool.uv.sources`",
        };
        for (before, expected) in [
            (&proposal, "install = [\"uv pip install --no-sources .\"]"),
            (
                &compiled,
                "install = [\"uv pip install --no-sources .\", \"rm -r demo\"]",
            ),
        ] {
            let (after, _) = corrected(before, &survey, &observed).unwrap();
            assert!(after.text(&[]).lines().any(|line| line == expected));
        }
        // only packages in a table of Pybots, because the text of a log is not trusted
        let outcome = Outcome::RecipeError {
            reason: "install runs `evil`, which the image does not have".to_owned(),
        };
        observed.outcome = &outcome;
        observed.log = "sh: 1: evil: not found\nfatal error: evil.h: No such file or directory";
        assert!(corrected(&proposal, &survey, &observed).is_none());
    }
}
