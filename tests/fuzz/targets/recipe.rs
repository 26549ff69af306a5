//! Any text as a recipe: either it is good, or each problem has a place in it, and the report stays short.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pybots_fuzz::domain::time::Timestamp;

fuzz_target!(|data: &[u8]| {
    // as the reader of a folder does
    let text = String::from_utf8_lossy(data).replace('\0', "\u{fffd}");
    let checked = pybots_fuzz::recipe::check("demo.toml", &text);
    assert_eq!(checked.recipe.is_none(), !checked.problems.is_empty());
    for problem in &checked.problems {
        assert!(problem.span().start <= text.len(), "a problem lies outside of the text");
    }
    let shown = checked.plain();
    assert!(shown.len() < 1 << 20, "a report of {} bytes", shown.len());
    if let Some(recipe) = checked.recipe {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let advice = pybots_fuzz::recipe::advice("demo.toml", &text, &recipe, now);
        assert!(advice.iter().all(|one| one.span().start <= text.len()));
    }
});
