//! PodDisruptionBudget: at most one pod is moved at a time. Only where there are several: with a
//! single one it would keep a node from ever being drained.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata::{self, COMPONENT_WEB};
use crate::check::Wish;

pub(super) fn build(wish: &Wish<'_>) -> Option<PodDisruptionBudget> {
    let replicas = wish.instance.spec.replicas.unwrap_or(1);
    (replicas > 1).then(|| PodDisruptionBudget {
        metadata: metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::label_selector(wish, COMPONENT_WEB)),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
