//! The HTTP interface for programs: [`host`] for hosts, [`v1`] for people and their programs, and [`public`] for the
//! older addresses directly under `/api`.

mod body;
mod host;
mod public;
mod reference;
pub mod v1;

pub use host::host;
pub use public::public;
pub use reference::reference;
