//! Tests on a real container engine, with the toy CPython and with a real one.

mod bisect;
mod equality;
mod eras;
mod fetch;
mod hosts;
mod images;
mod incidents;
mod init;
mod network;
mod own_engine;
mod owners;
mod real_cpython;
mod retention;
mod travel;
mod up;
mod variants;
mod wheels;

#[path = "../support/mod.rs"]
mod support;
