//! The front door: owners submit recipes by commands, maintainers decide, and results appear. With simulated hosts, no engine.

use crate::support::people::{person, recipe};
use crate::support::sim::Sim;
use crate::support::sim::front_door::{self as story, state, until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_recipe_is_tried_approved_and_run() {
    let sim = Sim::with(&["folder.project"], 2, |settings| settings.verdicts.repeat = 0).await;
    story::a_submitted_recipe_is_tried_approved_and_run(sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_kept_compared_and_superseded() {
    let sim = Sim::with(&["folder.project"], 2, |settings| settings.verdicts.repeat = 0).await;
    story::versions_are_kept_compared_and_superseded(sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_approves_releases_that_pass() {
    let mut sim = Sim::with(&["other"], 1, |settings| {
        settings.recipes.approval = pybots::config::Approval::Policy;
    })
    .await;
    sim.commit("start", "project bad a");
    sim.run().await;
    sim.decided(1).await;
    let server = sim.serve().await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let submit = async |text: String| ann.calls("POST", "recipes", Some(json!({ "text": text }))).await.0;
    let system = recipe("beta", "system = [\"libxml2-dev\"]\n");
    for text in [recipe("good", ""), recipe("bad", ""), system] {
        assert_eq!(submit(text).await, 201);
    }
    until("the approval", async || state(&ann, "good", 1).await == "approved").await;
    let (_, version) = ann.calls("GET", "projects/good/versions/1", None).await;
    assert_eq!(
        (version["decided_by"].as_str(), version["reason"].as_str()),
        (Some("policy"), Some("by policy"))
    );
    // one whose suite fails, and one that asks for more, wait for a maintainer
    for name in ["bad", "beta"] {
        until("the trial", async || state(&ann, name, 1).await == "waiting").await;
    }
}
