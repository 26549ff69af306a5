//! What of Pybots reads text and bytes of strangers, without the database, the server and the container engine: these would take
//! most of the time to build, and nothing of them is tried here.

// What is left out uses the rest.
#![allow(dead_code, unused_imports, unused_macros)]

#[path = "../../src"]
mod sources {
    pub mod clock;
    pub mod domain;
    pub mod logfile;
    pub mod profile;
    pub mod protocol;
    pub mod recipe;

    pub mod host {
        pub mod run {
            pub mod results;
        }
    }
}

pub use sources::{clock, domain, host, logfile, profile, protocol, recipe};
