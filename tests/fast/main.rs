//! Tests that need no container engine, no PostgreSQL and no CPython: the inner loop.

mod access;
mod api;
mod bad_recipes;
mod base_images;
mod browser;
mod cli;
mod docs;
mod doctor;
mod engine;
mod events;
mod fixes;
mod front_door;
mod histories;
mod host;
mod host_calls;
mod hosts;
mod http;
mod http_patience;
mod incidents;
mod janitor;
mod layout;
mod logins;
mod logs;
mod oidc;
mod recipe_repository;
mod schema;
mod tls;
mod travel;
mod verdicts;
mod wheels;

#[path = "../support/mod.rs"]
mod support;
