//! Decides which recipes need no maintainer's approval. Pure.

use crate::domain::package::is_same;
use crate::recipe::Recipe;

/// Returns the reasons why a maintainer should look at a recipe before it is approved. Empty if there are none.
///
/// Limits need no look, because a recipe can only lower those of the settings.
pub fn objections(recipe: &Recipe) -> Vec<String> {
    let mut found = Vec::new();
    let all = std::iter::once(recipe.steps()).chain(recipe.section.iter().map(|section| section.steps()));
    for steps in all {
        let extra = steps.extra_sources.unwrap_or_default();
        if steps
            .source
            .into_iter()
            .chain(extra)
            .any(|source| source.get_ref().pypi.is_none())
        {
            found.push("a source is not a release of the package index");
        }
        if steps.install_network == Some(true) {
            found.push("its installation needs the network");
        }
        if steps.system.is_some_and(|packages| !packages.is_empty()) {
            found.push("it needs packages of the distribution");
        }
    }
    let sources = recipe.steps().source.into_iter();
    let sources = sources.chain(recipe.section.iter().filter_map(|section| section.steps().source));
    let mut names = sources.filter_map(|source| source.get_ref().pypi.as_deref());
    if names.any(|name| !is_same(name, recipe.name.get_ref())) {
        found.push("it tests a project of another name");
    }
    if !recipe.needs.is_empty() {
        found.push("it needs hosts with labels");
    }
    if recipe.tier.as_ref().is_some_and(|tier| *tier.get_ref() == 1) {
        found.push("it claims the first tier");
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::check;

    #[test]
    fn only_releases_in_the_sandbox_are_approved_by_policy() {
        let objections_to = |head: &str| {
            let text = format!("name = \"a\"\n{head}\n[[suite]]\nname = \"s\"\nrun = \"true\"\n");
            objections(&check("a.toml", &text).recipe.unwrap_or_else(|| panic!("{text}")))
        };
        assert_eq!(objections_to("source = { pypi = \"a\" }"), Vec::<String>::new());
        for (head, word) in [
            (
                "source = { git = \"https://example.org/a\", rev = \"v1\" }",
                "not a release",
            ),
            ("source = { pypi = \"a\" }\ninstall_network = true", "network"),
            ("source = { pypi = \"a\" }\nsystem = [\"libxml2-dev\"]", "distribution"),
            ("source = { pypi = \"a\" }\nneeds = [\"gpu\"]", "labels"),
            ("source = { pypi = \"a\" }\ntier = 1", "first tier"),
            ("source = { pypi = \"b\" }", "another name"),
        ] {
            let found = objections_to(head);
            assert!(found.len() == 1 && found[0].contains(word), "{head}: {found:?}");
        }
    }
}
