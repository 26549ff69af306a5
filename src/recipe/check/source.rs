//! Rejects a source that can't be fetched in the form in which it is written.

use super::{Checker, is_plain_path};
use crate::domain::address::Address;
use crate::domain::digest::is_sha256;
use crate::domain::suite::Source;
use toml::Spanned;

impl Checker<'_> {
    pub(super) fn source(&mut self, source: &Spanned<Source>) {
        let Source {
            name: _,
            pypi,
            version,
            sha256,
            git,
            svn,
            rev,
            url,
            path,
            subfolder,
            submodules,
        } = source.get_ref();
        let kinds = [pypi, git, svn, url, path].iter().filter(|kind| kind.is_some()).count();
        let span = source.span();
        if kinds != 1 {
            let help = "name exactly one of `pypi`, `git`, `svn`, `url`, `path`";
            return self.say(span, "a source comes from one place", help);
        }
        if sha256.as_deref().is_some_and(|sha256| !is_sha256(sha256)) {
            self.say(
                span.clone(),
                "`sha256` is not a SHA-256 digest",
                "64 hexadecimal digits, as the package index shows them",
            );
        }
        if pypi.is_some() && version.is_some() != sha256.is_some() {
            self.say(
                span.clone(),
                "`version` and `sha256` go together",
                "give both to pin a release, or neither for the newest",
            );
        }
        let is_version = |text: &str| text.parse::<pep440_rs::Version>().is_ok();
        if pypi.is_some() && version.as_deref().is_some_and(|version| !is_version(version)) {
            self.say(
                span.clone(),
                "`version` is not a version",
                "as the package index shows it, e.g. `1.4.2`",
            );
        }
        if url.is_some() && sha256.is_none() {
            self.say(
                span.clone(),
                "an archive's URL needs its `sha256`",
                "so that what runs is what you checked",
            );
        }
        if (git.is_some() || svn.is_some()) && rev.is_none() {
            self.say(
                span.clone(),
                "`rev` is missing",
                "name the commit, tag or revision to take",
            );
        }
        if rev.as_deref().is_some_and(|rev| rev.starts_with('-')) {
            self.say(span.clone(), "`rev` is not a revision", "a commit, a tag or a branch");
        }
        for (key, address) in [("git", git), ("svn", svn), ("url", url)] {
            let Some(address) = address.as_deref() else { continue };
            if Address::from(address).has_login() {
                self.say(
                    span.clone(),
                    format!("`{key}` holds a login, and everybody can read a recipe"),
                    "remove the login; files that need one can be a `path` source, which brings them with the recipe",
                );
            }
            // an archive may have a query, because its digest proves the content
            if key != "url" && Address::from(address).has_query() {
                self.say(
                    span.clone(),
                    format!("`{key}` has a query, in which a token may stand, and everybody can read a recipe"),
                    "remove what follows `?`; files that need a token can be a `path` source, which brings them with the recipe",
                );
            }
            let schemes = ["https://", "http://", "git://", "svn://"];
            if !schemes.iter().any(|scheme| address.starts_with(scheme)) {
                self.say(
                    span.clone(),
                    format!("`{}` is not an address to fetch from", Address::from(address)),
                    "https://, http://, git:// or svn://",
                );
            }
        }
        if submodules.is_some() && git.is_none() {
            let help = "remove it: only a `git` source has submodules";
            self.say(span.clone(), "`submodules` is for git sources", help);
        }
        if subfolder.as_deref().is_some_and(|folder| !is_plain_path(folder)) {
            self.say(
                span.clone(),
                "`subfolder` is not the path of a folder within the source",
                "name the folder of the project, such as `python` or `packages/core`; no name in the path begins with a dot",
            );
        }
        if path.as_deref().is_some_and(|path| !is_plain_path(path)) {
            self.say(
                span,
                "`path` is not the path of a folder below the project's own",
                "name a folder below `NAME/`, such as `src`; no name in the path begins with a dot",
            );
        }
    }
}
