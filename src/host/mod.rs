//! The daemon on a registered host: it claims jobs, does them in containers and reports the results. It only calls
//! out, and never touches the database.

mod clean_up;
pub mod client;
mod daemon;
pub mod deliver;
pub mod doctor;
mod gateway;
mod image;
mod image_locks;
mod instances;
pub mod janitor;
mod leftovers;
pub mod log;
mod machine;
mod name_locks;
mod perform;
pub mod phase;
mod policy;
mod quote;
mod ready;
mod run;
pub mod spool;
mod stop;
mod supply;
mod unique;

pub use daemon::{Ending, reap_gone, run as daemon};
pub use image::{from_scratch, scratch};
pub use instances::Instances;
pub use machine::Host;
pub use policy::HostPolicy;
pub use quote::quote;
pub use run::course::{Course, Since};
pub use run::survey::SourceSurvey;
use stop::Stop;
pub use supply::Supply;
