//! The coordinator from revisions to incidents on PostgreSQL. `tests/fast/incidents.rs` has more, on SQLite.

use crate::support::sim::Sim;
use crate::support::sim::burn_in::results_have_to_agree_in_a_row;
use crate::support::sim::by_hand::{a_new_host_blames_no_recipe, first_results_are_repeated};
use crate::support::sim::front_door::{
    a_submitted_recipe_is_tried_approved_and_run, versions_are_kept_compared_and_superseded,
};
use crate::support::sim::story::{a_fix_and_a_recurrence, one_project_names_no_author};

#[tokio::test(flavor = "multi_thread")]
async fn postgres_comes_to_the_same() {
    let Ok(server) = std::env::var("PYBOTS_TEST_POSTGRES") else {
        println!("SKIPPED: PostgreSQL, for PYBOTS_TEST_POSTGRES names no server (scripts/with-postgres starts one)");
        return;
    };
    let sim = async || {
        let database = crate::support::new_database(&server).await;
        Sim::with(&["p", "q"], 2, |settings| settings.database = database.into()).await
    };
    let by_hand = async || {
        let database = crate::support::new_database(&server).await;
        Sim::with(&["p"], 0, |settings| {
            settings.database = database.into();
            settings.verdicts.first_results = 3;
            settings.verdicts.repeat = 0;
            // a host that may not build can work on what the registry has
            settings.registry.repository = "127.0.0.1:9/pybots".into();
        })
        .await
    };
    let submitted = async || {
        let database = crate::support::new_database(&server).await;
        Sim::with(&["folder.project"], 2, |settings| {
            settings.database = database.into();
            settings.verdicts.repeat = 0;
        })
        .await
    };
    let burns_in = async || {
        let database = crate::support::new_database(&server).await;
        Sim::with(&["p"], 1, |settings| {
            settings.database = database.into();
            settings.verdicts.burn_in = 3;
            settings.verdicts.repeat = 0;
        })
        .await
    };
    results_have_to_agree_in_a_row(burns_in().await).await;
    a_submitted_recipe_is_tried_approved_and_run(submitted().await).await;
    versions_are_kept_compared_and_superseded(submitted().await).await;
    a_fix_and_a_recurrence(sim().await).await;
    one_project_names_no_author(&mut sim().await).await;
    first_results_are_repeated(by_hand().await).await;
    a_new_host_blames_no_recipe(by_hand().await).await;
}
