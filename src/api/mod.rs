//! The HTTP interface for programs: [`host`] for hosts, and [`public`] for everybody.

mod host;
mod public;

pub use host::host;
pub use public::public;
