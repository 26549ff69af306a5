//! The burn-in of projects, on each database. The simulation has the project `p`, and needs three agreeing results.

use super::Sim;
use super::front_door::until;

async fn agreeing(sim: &Sim) -> i64 {
    let row = sim.coordinator().store.burn_in("p").await.unwrap();
    row.unwrap().agreeing
}

async fn jobs_of_runs(sim: &Sim) -> i64 {
    sim.count("SELECT COUNT(*) FROM job WHERE kind = 'run'").await
}

/// Runs of a new project are repeated until three agree. A disagreement begins the count anew.
pub async fn results_have_to_agree_in_a_row(mut sim: Sim) {
    sim.commits(2, "");
    sim.run().await;
    sim.all_decided().await;
    until("the repeated results", async || agreeing(&sim).await > 0).await;
    sim.done().await;
    // one more run of each revision at most, and no other
    assert!(jobs_of_runs(&sim).await <= 4);
    let page = sim.page("/project/p").await;
    assert!(page.contains("repeated results in a row agreed"), "{page}");
    while agreeing(&sim).await < 3 {
        sim.commits(1, "");
        sim.all_decided().await;
        sim.done().await;
    }
    let page = sim.page("/project/p").await;
    assert!(!page.contains("In burn-in"), "{page}");
    let jobs = jobs_of_runs(&sim).await;
    sim.commits(2, "");
    sim.all_decided().await;
    sim.done().await;
    assert_eq!(
        jobs_of_runs(&sim).await,
        jobs + 2,
        "nothing is repeated after the burn-in"
    );

    // a person asks for a result once more, which is another one
    let sha = sim.commit("flaky", "rate 50 a");
    sim.all_decided().await;
    sim.done().await;
    for _ in 0..20 {
        if agreeing(&sim).await < 3 {
            break;
        }
        let run = sim.run_of(&sha).await;
        let queue = &sim.coordinator().queue;
        queue.rerun(&run, pybots::clock::now()).await.unwrap();
        sim.done().await;
    }
    assert_eq!(agreeing(&sim).await, 0);
    let page = sim.page("/project/p").await;
    assert!(page.contains("two results of one run"), "{page}");
}
