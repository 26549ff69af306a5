//! Pages in a real browser, with simulated hosts: an owner submits a recipe and sees its results, and a maintainer goes
//! from the home page to the culprit.

use crate::support::browser::{Browser, axe};
use crate::support::people::{person, recipe};
use crate::support::sim::Sim;
use crate::support::sim::front_door::until;
use fantoccini::Locator;

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_goes_through_the_form_to_its_results() {
    let mut sim = Sim::new(&["other"], 1).await;
    sim.commit("start", "");
    sim.run().await;
    sim.decided(1).await;
    let server = sim.serve().await;
    let Some(browser) = Browser::start(&server).await else {
        return;
    };
    let ann = person(&sim, &server, "ann", "owner").await;
    let max = person(&sim, &server, "max", "maintainer").await;
    browser.logs_in(&ann.token).await;
    // a mistake comes back with its place, and the text with it
    let field = browser.find("#recipe").await;
    field.send_keys("name = \"alpha\"\nnosuch = 1\n").await.unwrap();
    browser.find("main form button").await.click().await.unwrap();
    browser.find(".notice li").await;
    assert!(browser.text().await.contains("Line 2, column 1: unknown key `nosuch`"));
    let field = browser.find("#recipe").await;
    assert!(field.prop("value").await.unwrap().unwrap().contains("nosuch"));
    field.clear().await.unwrap();
    field.send_keys(&recipe("alpha", "")).await.unwrap();
    browser.find("main form button").await.click().await.unwrap();
    browser.find("#state").await;
    assert_eq!(browser.path().await, "/recipe/alpha/1");
    // the page itself notices that the trial has ended
    until("the end of the trial", async || {
        browser.text().await.contains("It ended: passed")
    })
    .await;
    browser.open("/account").await;
    browser
        .find("form[action=\"/logout\"] button")
        .await
        .click()
        .await
        .unwrap();
    // the next address must not overtake the form
    until("the logout", async || browser.path().await == "/").await;
    browser.logs_in(&max.token).await;
    browser.open("/recipe/alpha/1").await;
    browser.find("#reason").await.send_keys("welcome").await.unwrap();
    browser.find("button[value=approve]").await.click().await.unwrap();
    until("the approval", async || {
        browser.text().await.contains("approved, and in force")
    })
    .await;
    until("the first result", async || {
        browser.open("/project/alpha").await;
        // the sign of a cell is drawn by its style
        browser.client.find(Locator::Css(".cell.s-pass.c")).await.is_ok()
    })
    .await;
    browser.end().await;
}

/// From the home page to the diff of the culprit and the line that reproduces it in one click, and from a red cell to the
/// message of the first failing test in one.
#[tokio::test(flavor = "multi_thread")]
async fn a_maintainer_goes_from_the_home_page_to_the_culprit() {
    let mut sim = Sim::new(&["p", "q"], 2).await;
    sim.commit("start", "");
    sim.commits(2, "");
    let culprit = sim.commit("Break argparse", "fail a");
    sim.run().await;
    sim.settled().await;
    let server = sim.serve().await;
    let Some(browser) = Browser::start(&server).await else {
        return;
    };
    let max = person(&sim, &server, "max", "maintainer").await;
    browser.logs_in(&max.token).await;

    browser.open("/").await;
    browser
        .find(".broken a[href=\"/incident/1\"]")
        .await
        .click()
        .await
        .unwrap();
    browser.find(".diff").await;
    let text = browser.text().await;
    let short = &culprit[..10];
    for shown in [
        short,
        "Break argparse",
        "Lib/faults",
        "+fail a",
        "runs fail",
        "runs pass",
        "docker run",
    ] {
        assert!(text.contains(shown), "no {shown:?} in {text}");
    }
    browser.find(".copy").await;
    if let Some(axe) = axe() {
        for (width, height) in [(1280, 1400), (390, 844)] {
            browser.client.set_window_size(width, height).await.unwrap();
            assert_eq!(browser.violations(&axe).await, [""; 0], "at {width}");
            browser.keep_picture(&format!("incident-{width}-light.png")).await;
        }
    }
    browser
        .find("#text")
        .await
        .send_keys("I read the change")
        .await
        .unwrap();
    browser.find("main form button").await.click().await.unwrap();
    until("the decision", async || {
        browser.text().await.contains("agreed: I read the change")
    })
    .await;

    // the run that shows it, with the attempt
    let links = browser
        .client
        .find_all(Locator::LinkText("The failing run"))
        .await
        .unwrap();
    links[0].clone().click().await.unwrap();
    until("the run", async || browser.path().await.starts_with("/run/")).await;
    assert!(browser.text().await.contains("AssertionError: a"));

    browser.open(&format!("/revision/{culprit}")).await;
    assert!(browser.text().await.contains("+fail a"));
    browser.open("/").await;
    browser.find(".cell.s-fail").await.click().await.unwrap();
    until("the run", async || browser.path().await.starts_with("/run/")).await;
    assert!(browser.text().await.contains("AssertionError: a"));
    browser.end().await;
}
