//! What is known of organizations' fences: namespace, quota, limits and policy, by their metadata.

use std::collections::HashMap;

use super::child::Applied;

/// Which object of a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceKind {
    /// The namespace itself.
    Namespace,
    /// Its ResourceQuota.
    Quota,
    /// Its LimitRange.
    Limits,
    /// Its NetworkPolicy.
    Policy,
}

/// By namespace and kind.
pub type Fences = HashMap<(String, FenceKind), Applied>;
