//! An image that projects show on their own pages: whether their tests pass on a branch of CPython.

use super::error::{Error, HandlerResult};
use super::route::{Query, Web};
use super::wording;
use crate::domain::DEFAULT_VARIANT;
use crate::verdict::Cell;
use warp::Reply;
use warp::http::header::{self, HeaderValue};

/// The width of a character in pixels, for text of 11 pixels.
const CHARACTER: usize = 7;
const PADDING: usize = 12;

/// `/badge/PROJECT.svg`: responds with the newest result on a branch, which is `?branch=NAME`, or the first watched one.
pub async fn svg(file: String, web: Web, query: Query) -> HandlerResult {
    let name = file.strip_suffix(".svg").ok_or_else(Error::not_found)?;
    let mut found = web.store.project_page(name).await?.ok_or_else(Error::not_found)?;
    let watched = web.store.watched_branches().await?;
    let mut branches = watched.into_iter().map(|branch| branch.name);
    let branch = match query.get("branch") {
        Some(asked) => branches.find(|name| name == asked),
        None => branches.next(),
    };
    let branch = branch.ok_or_else(Error::not_found)?;
    found.matrix.keep_variant(DEFAULT_VARIANT);
    let rows = found.matrix.rows.iter().filter(|row| row.branch == branch);
    let mut states = rows.filter_map(|row| row.cells.first()?.as_ref().map(|cell| cell.state));
    let state = states.find(|state| state.is_decided());
    let mut response = image(&format!("CPython {branch}"), state).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    // pages of other sites show it
    let everywhere = HeaderValue::from_static("cross-origin");
    headers.insert("cross-origin-resource-policy", everywhere);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}

/// Draws a badge. `state` is `None` if there is no result yet.
fn image(label: &str, state: Option<Cell>) -> String {
    let word = wording::state_badge(state).word;
    // dark enough for white text
    let colour = match state {
        Some(Cell::Pass) => "#17693a",
        Some(Cell::Fail) => "#b32626",
        Some(Cell::Flaky) => "#7a4b00",
        _ => "#566070",
    };
    let width = |text: &str| text.chars().count() * CHARACTER + PADDING;
    let (left, right) = (width(label), width(&word));
    let label = handlebars::html_escape(label);
    let all = left + right;
    let (middle_left, middle_right) = (left / 2, left + right / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all}\" height=\"20\" role=\"img\" aria-label=\"{label}: {word}\">\
         <title>{label}: {word}</title><rect width=\"{all}\" height=\"20\" rx=\"3\" fill=\"#3d4552\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" rx=\"3\" fill=\"{colour}\"/>\
         <g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\" text-anchor=\"middle\">\
         <text x=\"{middle_left}\" y=\"14\">{label}</text><text x=\"{middle_right}\" y=\"14\">{word}</text></g></svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_the_state_in_a_word() {
        let passing = image("CPython 3.14", Some(Cell::Pass));
        assert!(
            passing.contains("aria-label=\"CPython 3.14: pass\"") && passing.contains("#17693a"),
            "{passing}"
        );
        assert!(image("CPython 3.14", None).contains("no run"));
        let odd = image("<b> & \"x\"", Some(Cell::Fail));
        assert!(
            odd.contains("&lt;b&gt; &amp; &quot;x&quot;: fail") && !odd.contains("<b>"),
            "{odd}"
        );
    }
}
