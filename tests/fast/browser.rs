//! The form in a real browser: an owner submits a recipe, a maintainer approves it, and the results appear. With simulated hosts.

use crate::support::browser::Browser;
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
