//! Serves the pages of a store that has every state a page can show, until it is ended: `cargo run --example sample_site`.

#[path = "../tests/support/web_sample/mod.rs"]
#[allow(dead_code)]
mod web_sample;

use pybots::domain::trust::Trust;
use pybots::server::site;
use pybots::web::Web;
use web_sample::Sample;

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", data.path().join("sample.sqlite").display());
    let sample = Sample::new(&url, data.path()).await;
    sample.everything().await;
    let web = Web::open(sample.store.clone(), sample.objects.clone(), Trust::all());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    warp::serve(site(web)).incoming(listener).run().await;
}
