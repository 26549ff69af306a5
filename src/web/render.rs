//! Templates, embedded in the binary and read once. Values are escaped; a value that a template
//! names and a page does not have is an error.

use anyhow::{Context, Result, anyhow};
use handlebars::Handlebars;
use serde::Serialize;
use std::sync::LazyLock;

const SOURCES: &[(&str, &str)] = &[
    ("layout", include_str!("templates/layout.hbs")),
    ("badge", include_str!("templates/badge.hbs")),
    ("time", include_str!("templates/time.hbs")),
    ("grid", include_str!("templates/grid.hbs")),
    ("variants", include_str!("templates/variants.hbs")),
    ("pager", include_str!("templates/pager.hbs")),
    ("attempts", include_str!("templates/attempts.hbs")),
    ("matrix", include_str!("templates/matrix.hbs")),
    ("revision", include_str!("templates/revision.hbs")),
    ("standing", include_str!("templates/standing.hbs")),
    ("compare", include_str!("templates/compare.hbs")),
    ("compare_choose", include_str!("templates/compare_choose.hbs")),
    ("run", include_str!("templates/run.hbs")),
    ("image", include_str!("templates/image.hbs")),
    ("project", include_str!("templates/project.hbs")),
    ("recipes", include_str!("templates/recipes.hbs")),
    ("history", include_str!("templates/history.hbs")),
    ("hosts", include_str!("templates/hosts.hbs")),
    ("host", include_str!("templates/host.hbs")),
    ("incident_list", include_str!("templates/incident_list.hbs")),
    ("incidents", include_str!("templates/incidents.hbs")),
    ("incident", include_str!("templates/incident.hbs")),
    ("error", include_str!("templates/error.hbs")),
];

static TEMPLATES: LazyLock<Result<Handlebars<'static>, String>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    for (name, source) in SOURCES {
        templates
            .register_template_string(name, source.trim_end())
            .map_err(|error| error.to_string())?;
    }
    Ok(templates)
});

/// A page as HTML.
pub fn render(template: &str, values: &impl Serialize) -> Result<String> {
    let templates = TEMPLATES
        .as_ref()
        .map_err(|error| anyhow!("failed to read the templates: {error}"))?;
    templates
        .render(template, values)
        .with_context(|| format!("failed to fill the template {template}"))
}
