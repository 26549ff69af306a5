//! Labels by which Pybots finds its containers, images and volumes again.

use std::collections::BTreeMap;

/// On everything that a host creates for an attempt: the host's id. After a restart, objects with it are leftovers.
pub const HOST_LABEL: &str = "org.pybots.host";

/// On the same objects: the start of the host's daemon that created them. Two daemons may run under one id, by mistake.
pub const INSTANCE_LABEL: &str = "org.pybots.instance";

/// On everything that belongs to one attempt: the attempt's id.
pub const ATTEMPT_LABEL: &str = "org.pybots.attempt";

/// On the containers of a run, and on volumes of wheels: the project.
pub const PROJECT_LABEL: &str = "org.pybots.project";

/// On the container of a phase: the phase's name.
pub const PHASE_LABEL: &str = "org.pybots.phase";

/// On everything that outlives attempts and may be removed once nobody needs it: its kind.
pub const KIND_LABEL: &str = "org.pybots.kind";

/// On the volume of a build tree: the id of the host that builds in it.
pub const BUILD_TREE_LABEL: &str = "org.pybots.lane-of";

/// On a volume of wheels: the ABI key that they were compiled for.
pub const ABI_LABEL: &str = "org.pybots.abi";

/// On a volume that only one host may use: the host's id. Unlike [`HOST_LABEL`], it does not mark a leftover.
pub const OWNER_LABEL: &str = "org.pybots.kept-by";

/// On an image of CPython: its build key.
pub const BUILD_KEY_LABEL: &str = "org.pybots.build-key";

/// On an image of CPython: what it was built from, and where its files are.
pub mod image_label {
    pub const REVISION: &str = "org.pybots.revision";
    pub const BRANCH: &str = "org.pybots.branch";
    pub const VARIANT: &str = "org.pybots.variant";
    pub const VERSION: &str = "org.pybots.version";
    /// Content id of the runtime image that it lies on.
    pub const RUNTIME: &str = "org.pybots.runtime";
    /// Layers above the key frame.
    pub const DEPTH: &str = "org.pybots.layer-depth";
    /// Bytes of the files in its own layer.
    pub const ADDED: &str = "org.pybots.layer-bytes";
    /// Id of the image below it; empty for a key frame.
    pub const ON: &str = "org.pybots.layer-on";
    /// Bytes of all layers above the key frame.
    pub const CHAIN: &str = "org.pybots.chain-bytes";
    /// Bytes of all files of this CPython.
    pub const ALL: &str = "org.pybots.all-bytes";
}

/// Returns the labels of what a host creates for an attempt.
pub fn labels(host: &str, instance: &str, attempt: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (HOST_LABEL.to_owned(), host.to_owned()),
        (INSTANCE_LABEL.to_owned(), instance.to_owned()),
        (ATTEMPT_LABEL.to_owned(), attempt.to_owned()),
    ])
}
