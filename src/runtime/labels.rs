//! Labels by which Pybots finds its containers, images and volumes again.

use std::collections::BTreeMap;

/// The id of the host, on everything that it creates for an attempt. After a restart, objects with this label are
/// leftovers.
pub const HOST_LABEL: &str = "org.pybots.host";

/// The instance of the host's daemon, on everything that it creates for an attempt. Two daemons may run under one id,
/// by mistake.
pub const INSTANCE_LABEL: &str = "org.pybots.instance";

/// The id of the attempt, on everything that belongs to one attempt.
pub const ATTEMPT_LABEL: &str = "org.pybots.attempt";

/// The project, on the containers of a run and on volumes of wheels.
pub const PROJECT_LABEL: &str = "org.pybots.project";

/// The name of the phase, on the container of a phase.
pub const PHASE_LABEL: &str = "org.pybots.phase";

/// The kind of an object, on everything that outlives attempts and may be removed once nobody needs it.
pub const KIND_LABEL: &str = "org.pybots.kind";

/// The id of the host that builds in a build tree, on the volume of the build tree.
pub const BUILD_TREE_LABEL: &str = "org.pybots.lane-of";

/// The ABI key for which wheels were compiled, on a volume of wheels.
pub const ABI_LABEL: &str = "org.pybots.abi";

/// The id of the host, on a volume that only this host may use. Unlike [`HOST_LABEL`], it does not mark a leftover.
pub const OWNER_LABEL: &str = "org.pybots.kept-by";

/// The build key, on an image of CPython.
pub const BUILD_KEY_LABEL: &str = "org.pybots.build-key";

/// The labels on an image of CPython that describe its origin and its files.
pub mod image_label {
    /// Content id of the base image. Toolchain and runtime images have it too.
    pub const BASE: &str = "org.pybots.base";
    pub const REVISION: &str = "org.pybots.revision";
    pub const BRANCH: &str = "org.pybots.branch";
    pub const VARIANT: &str = "org.pybots.variant";
    pub const VERSION: &str = "org.pybots.version";
    /// The content id of the runtime image that the image lies on.
    pub const RUNTIME: &str = "org.pybots.runtime";
    /// The number of layers above the key frame.
    pub const DEPTH: &str = "org.pybots.layer-depth";
    /// The bytes of the files in the image's own layer.
    pub const ADDED: &str = "org.pybots.layer-bytes";
    /// The id of the image below, or an empty text for a key frame.
    pub const ON: &str = "org.pybots.layer-on";
    /// The bytes of all layers above the key frame.
    pub const CHAIN: &str = "org.pybots.chain-bytes";
    /// The bytes of all files of this CPython.
    pub const ALL: &str = "org.pybots.all-bytes";
}

/// Returns the labels of everything that a host creates for an attempt.
pub fn labels(host: &str, instance: &str, attempt: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (HOST_LABEL.to_owned(), host.to_owned()),
        (INSTANCE_LABEL.to_owned(), instance.to_owned()),
        (ATTEMPT_LABEL.to_owned(), attempt.to_owned()),
    ])
}
