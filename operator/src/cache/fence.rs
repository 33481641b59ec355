//! What is known of organizations' fences: namespace, quota, limits, policy and binding, by their
//! metadata; of the quota also what is left of it.

use std::collections::HashMap;

use plan::quota::Count;

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
    /// Its RoleBinding.
    Binding,
}

/// One object of a fence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fence {
    /// What was applied to it.
    pub applied: Applied,
    /// What is counted of a quota, once Kubernetes has.
    pub count: Option<Count>,
}

/// By namespace and kind.
pub type Fences = HashMap<(String, FenceKind), Fence>;
