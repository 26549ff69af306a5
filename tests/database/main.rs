//! Tests of the store, the queue, the watcher and the web pages: on SQLite, on PostgreSQL, and on real git and
//! Subversion repositories.

mod cells;
mod fixture_store;
mod http;
mod incidents;
mod matrix_choices;
mod outline;
mod queue;
mod queue_locks;
mod queue_page;
mod search;
mod shared;
mod statements;
mod store;
mod test_history;
mod watch;
mod watch_svn;
mod web;
mod web_browser;
mod web_live;

#[path = "../support/mod.rs"]
mod support;
