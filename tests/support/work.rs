//! Attempts in work, on the store of a real coordinator: leased as if a host had claimed them.

use crate::support::web_sample::Sample;
use pybots::domain::id::JobId;
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::enrolment;
use pybots::host::client::Client;
use pybots::protocol::{PROTOCOL, PROTOCOL_HEADER};
use pybots::store::new_id;
use std::path::Path;

/// One attempt that a host has leased.
#[derive(Clone)]
pub struct Leased {
    pub attempt: String,
    pub fence: String,
}

/// Leases so many attempts to a new host of the coordinator with this data folder; they last for an hour.
pub async fn lease(data: &Path, count: usize) -> (Vec<Leased>, String) {
    lease_on("", data, count).await
}

/// The URL of a coordinator's database: the one of its settings, or that of the file in its data folder.
pub fn database_url(database: &str, data: &Path) -> String {
    match database {
        "" => format!("sqlite://{}?mode=rwc", data.join("pybots.sqlite").display()),
        url => url.to_owned(),
    }
}

/// Does the same as [`lease`] on the database of the coordinator's settings.
pub async fn lease_on(database: &str, data: &Path, count: usize) -> (Vec<Leased>, String) {
    let sample = Sample::new(&database_url(database, data), data).await;
    let (host, token) = enrolment::add(
        &sample.store,
        &format!("host-{}", &new_id()[24..]),
        "a@b.org",
        false,
        sample.now,
    )
    .await
    .unwrap();
    let names: Vec<String> = (0..count).map(|n| format!("project-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    sample.branches(&["work"]).await;
    sample.projects(&names).await;
    let ids = sample.revisions("work", "3.16.0a0", 1, &["one"]).await;
    let image = sample.image(ids[0].as_str(), "key", Some(true)).await;
    let mut leased = Vec::new();
    for name in names {
        let run = sample.run(ids[0].as_str(), &image, name, None).await;
        let job = sample.job(Some(&run), None, "leased").await;
        let mut tx = sample.store.begin().await.unwrap();
        let until = sample.now + 3_600_000;
        let attempt = sample
            .store
            .insert_attempt(&mut tx, &JobId::from(job.as_str()), &host.id, until, sample.now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        leased.push(Leased {
            attempt: attempt.id.into_string(),
            fence: attempt.fence,
        });
    }
    (leased, token.secret().to_owned())
}

/// The line of a host with this token to a coordinator.
pub fn client(url: &str, token: &str) -> Client {
    Client::new(url, token).unwrap()
}

/// Ends an attempt as its host does.
pub async fn finish(url: &str, token: &str, leased: &Leased) {
    let report = Report::of(Outcome::Passed);
    let request = reqwest::Client::new()
        .post(format!("{url}/api/host/attempts/{}/finish", leased.attempt))
        .bearer_auth(token)
        .header(PROTOCOL_HEADER, PROTOCOL)
        .json(&serde_json::json!({ "fence": leased.fence, "report": report }));
    assert_eq!(request.send().await.unwrap().status(), 200);
}
