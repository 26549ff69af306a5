//! Templates, which are embedded in the binary and parsed once. Values are escaped. A name that a template uses and its
//! context lacks is an error, also in `{{#if}}` and `{{#unless}}`.

use anyhow::{Context, Result, anyhow};
use handlebars::{
    Context as Data, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable,
};
use serde::Serialize;
use std::sync::LazyLock;

/// The context of a page's template.
pub trait Template: Serialize {
    /// The name of the file in `templates/`, without `.hbs`.
    const NAME: &'static str;
}

const SOURCES: &[(&str, &str)] = &[
    ("layout", include_str!("templates/layout.hbs")),
    ("badge", include_str!("templates/badge.hbs")),
    ("time", include_str!("templates/time.hbs")),
    ("home", include_str!("templates/home.hbs")),
    ("grid", include_str!("templates/grid.hbs")),
    ("variants", include_str!("templates/variants.hbs")),
    ("plot", include_str!("templates/plot.hbs")),
    ("pager", include_str!("templates/pager.hbs")),
    ("attempts", include_str!("templates/attempts.hbs")),
    ("matrix", include_str!("templates/matrix.hbs")),
    ("patch", include_str!("templates/patch.hbs")),
    ("revision", include_str!("templates/revision.hbs")),
    ("run_verdict", include_str!("templates/run_verdict.hbs")),
    ("search", include_str!("templates/search.hbs")),
    ("compare", include_str!("templates/compare.hbs")),
    ("compare_choose", include_str!("templates/compare_choose.hbs")),
    ("run", include_str!("templates/run.hbs")),
    ("image", include_str!("templates/image.hbs")),
    ("project", include_str!("templates/project.hbs")),
    ("recipes", include_str!("templates/recipes.hbs")),
    ("login", include_str!("templates/login.hbs")),
    ("account", include_str!("templates/account.hbs")),
    ("submit", include_str!("templates/submit.hbs")),
    ("recipe_versions", include_str!("templates/recipe_versions.hbs")),
    ("recipe_version", include_str!("templates/recipe_version.hbs")),
    ("failing", include_str!("templates/failing.hbs")),
    ("test_history", include_str!("templates/test_history.hbs")),
    ("history", include_str!("templates/history.hbs")),
    ("hosts", include_str!("templates/hosts.hbs")),
    ("host", include_str!("templates/host.hbs")),
    ("queue", include_str!("templates/queue.hbs")),
    ("incident_list", include_str!("templates/incident_list.hbs")),
    ("incidents", include_str!("templates/incidents.hbs")),
    ("incident", include_str!("templates/incident.hbs")),
    ("reference", include_str!("templates/reference.hbs")),
    ("error", include_str!("templates/error.hbs")),
];

static TEMPLATES: LazyLock<Result<Handlebars<'static>, String>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates.register_helper("if", Box::new(Condition { wanted: true }));
    templates.register_helper("unless", Box::new(Condition { wanted: false }));
    for (name, source) in SOURCES {
        templates
            .register_template_string(name, source.trim_end())
            .map_err(|error| error.to_string())?;
    }
    Ok(templates)
});

/// `{{#if}}` or `{{#unless}}`. The library's own versions treat a misspelt name as false, also in strict mode.
struct Condition {
    wanted: bool,
}

impl HelperDef for Condition {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        data: &'rc Data,
        context: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let missing = || RenderErrorReason::ParamNotFoundForIndex("if", 0);
        let value = helper.param(0).ok_or_else(missing)?;
        if value.is_value_missing() {
            return Err(RenderError::strict_error(value.relative_path()));
        }
        let branch = match value.value().is_truthy(false) == self.wanted {
            true => helper.template(),
            false => helper.inverse(),
        };
        match branch {
            Some(template) => template.render(registry, data, context, out),
            None => Ok(()),
        }
    }
}

/// Renders a page as HTML.
pub fn render(template: &str, values: &impl Serialize) -> Result<String> {
    let templates = TEMPLATES
        .as_ref()
        .map_err(|error| anyhow!("failed to parse the templates: {error}"))?;
    templates
        .render(template, values)
        .with_context(|| format!("failed to render the template {template}"))
}

#[cfg(test)]
mod contexts;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod verdict_tests;

#[cfg(test)]
mod api_tests;

#[cfg(test)]
mod sources_tests;
