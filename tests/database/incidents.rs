//! The coordinator from revisions to incidents on PostgreSQL. `tests/fast/incidents.rs` has more, on SQLite.

use crate::support::sim::Sim;
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
    a_fix_and_a_recurrence(sim().await).await;
    one_project_names_no_author(&mut sim().await).await;
}
