//! Images in the registry.

use super::{HeldImage, ImageHistory, Policy, RetentionReason, of_cpython};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An image that a host is to push to the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The name of the image on the engine.
    pub name: String,
    pub build_key: String,
    /// Such as `registry.example.org/pybots/cpython`.
    pub repository: String,
}

impl RetentionReason {
    /// Returns whether an image that a host keeps for this reason would stay in the registry too.
    pub fn travels(&self) -> bool {
        use RetentionReason::*;
        matches!(
            self,
            InUse { .. } | OpenJob { .. } | Pinned { .. } | Tip { .. } | Recent { .. }
        )
    }
}

/// Decides about an image in the registry. The registry shares layers among images: neither key frames nor the images
/// below others need to stay longer there.
pub fn remote(history: &ImageHistory, policy: &Policy, now: Timestamp) -> RetentionReason {
    let policy = Policy {
        key_frames: false,
        ..policy.clone()
    };
    let image = HeldImage {
        // an image without a name would count as left over
        names: vec!["registry:named".to_owned()],
        ..HeldImage::default()
    };
    of_cpython(&image, history, false, &policy, now)
}

#[cfg(test)]
mod tests {
    use super::super::{BranchUse, DAY_MS};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_no_host_needs_leaves_the_registry_too() {
        let policy = Policy {
            days: 14,
            branch_days: BTreeMap::new(),
            key_frames: true,
            key_frame_days: 365,
            min_free: 0,
        };
        let branch = BranchUse {
            branch: "trunk".into(),
            since: Timestamp::default(),
            watched: true,
            tip: false,
        };
        let history = ImageHistory {
            ready_at: Some(Timestamp::default()),
            branches: vec![branch.clone()],
            ..ImageHistory::default()
        };
        let decide = |history: &ImageHistory, days: i64| remote(history, &policy, Timestamp::default() + days * DAY_MS);
        assert_eq!(decide(&history, 13), RetentionReason::Recent { days: 14 });
        assert!(decide(&history, 13).travels());
        assert_eq!(decide(&history, 15), RetentionReason::Old { days: 14 });
        let pinned = ImageHistory {
            pins: vec!["evidence".into()],
            ..history.clone()
        };
        assert!(decide(&pinned, 500).travels());
        let tip = ImageHistory {
            branches: vec![BranchUse { tip: true, ..branch }],
            ..history.clone()
        };
        assert!(decide(&tip, 500).travels());
        let wanted = ImageHistory {
            open_jobs: 1,
            ..history
        };
        assert!(decide(&wanted, 500).travels());
        // these reasons only concern the layers on an engine
        assert!(
            !RetentionReason::Beneath.travels()
                && !RetentionReason::Last.travels()
                && !RetentionReason::KeyFrame { days: 1 }.travels()
        );
    }
}
