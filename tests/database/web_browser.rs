//! The pages in a real browser: every kind of page is accessible by the rules of axe-core, light and dark, wide and on a
//! phone, and none is wider than the window.

use super::web::site;
use crate::support::browser::{Browser, axe};
use crate::support::databases;
use serde_json::json;
use std::collections::BTreeMap;

/// Two pages of each kind that links lead to, from the home page on.
async fn kinds(site: &super::web::Site) -> Vec<String> {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open = vec!["/".to_owned()];
    while let Some(path) = open.pop() {
        let text = site.page(&path).await;
        for link in text.split("href=\"").skip(1) {
            let link = link.split('"').next().unwrap().replace("&amp;", "&");
            let is_page = link.starts_with('/') && !link.starts_with("/api/") && !link.contains(['?', '#', '.']);
            let kind = link.split('/').nth(1).unwrap_or_default().to_owned() + &link.matches('/').count().to_string();
            let of_kind = kinds.entry(kind).or_default();
            // a raw log is no page, and Markdown is none
            if is_page
                && of_kind.len() < 2
                && !of_kind.contains(&link)
                && !link.ends_with("/log")
                && !link.ends_with("/markdown")
            {
                of_kind.push(link.clone());
                open.push(link);
            }
        }
    }
    let asked = [
        "/search?q=attrs",
        "/search?q=nosuch",
        "/compare?base=trunk&now=nosuch",
        "/project/attrs/tests",
        "/project/attrs/tests?branch=trunk&test=unit%3A+test",
    ];
    let kinds = kinds.into_values().flatten();
    kinds.chain(asked.map(str::to_owned)).collect()
}

/// Names for the pictures of pages, by their kind: `home`, `run`, `run-2`. Ids differ from run to run.
fn picture_names(paths: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let name = |path: &String| {
        let words: Vec<&str> = path.split(['/', '?']).filter(|word| !word.is_empty()).collect();
        let kind = words.first().map_or("home", |word| *word).to_owned();
        let count = counts.entry(kind.clone()).or_default();
        *count += 1;
        match *count {
            1 => kind,
            many => format!("{kind}-{many}"),
        }
    };
    paths.iter().map(name).collect()
}

async fn every_page_is_accessible(colours: &str, scheme: &str) {
    // what a browser shows does not depend on the database
    let site = site(databases().await.remove(0)).await;
    site.sample.everything().await;
    let Some(axe) = axe() else { return };
    let Some(browser) = Browser::start_with(&site.base, &[scheme]).await else {
        return;
    };
    let paths = kinds(&site).await;
    assert!(paths.len() > 15, "{paths:?}");
    let mut wrong = Vec::new();
    for (width, height) in [(1280, 900), (390, 844)] {
        browser.client.set_window_size(width, height).await.unwrap();
        for (path, name) in paths.iter().zip(picture_names(&paths)) {
            browser.open(path).await;
            let found = browser.violations(&axe).await;
            wrong.extend(found.into_iter().map(|found| format!("{path} at {width}: {found}")));
            browser.keep_picture(&format!("{name}-{width}-{colours}.png")).await;
            let wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            let wider = browser.client.execute(wider, Vec::new()).await.unwrap();
            if wider != json!(0) {
                wrong.push(format!("{path} at {width}: wider than the window by {wider}"));
            }
        }
    }
    browser.end().await;
    assert_eq!(wrong, Vec::<String>::new(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_light_colours() {
    every_page_is_accessible("light", "--blink-settings=preferredColorScheme=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_dark_colours() {
    every_page_is_accessible("dark", "--blink-settings=preferredColorScheme=0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_keys_go_from_cell_to_cell_of_the_matrix() {
    let site = site(databases().await.remove(0)).await;
    site.sample.everything().await;
    let Some(browser) = Browser::start_with(&site.base, &[]).await else {
        return;
    };
    browser.open("/branch/trunk").await;
    let run = async |script: &str| browser.client.execute(script, Vec::new()).await.unwrap();
    run("document.querySelector('.matrix tbody th a').focus()").await;
    let place = "const cell = document.activeElement.closest('td, th');
                 return [cell.parentElement.rowIndex, cell.cellIndex];";
    assert_eq!(run(place).await, json!([1, 0]));
    let (left, up, right, down) = ('\u{e012}', '\u{e013}', '\u{e014}', '\u{e015}');
    // at an edge, the focus stays where it is; in the first row are the names of the projects
    for (key, expected) in [
        (down, json!([2, 0])),
        (right, json!([2, 1])),
        (right, json!([2, 2])),
        (up, json!([1, 2])),
        (up, json!([0, 2])),
        (up, json!([0, 2])),
        (down, json!([1, 2])),
        // the newest revision has no image yet, so nothing to go to
        (left, json!([1, 0])),
        (left, json!([1, 0])),
    ] {
        let focused = browser.client.active_element().await.unwrap();
        focused.send_keys(&key.to_string()).await.unwrap();
        assert_eq!(run(place).await, expected, "after {}", key.escape_unicode());
    }
    browser.end().await;
}
