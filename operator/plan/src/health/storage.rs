//! How the volumes stand.

use crds::{AppInstance, quantity};
use kube_core::ResourceExt as _;

use super::{Finding, count};
use crate::{DesiredState, Observed, names};

pub(super) fn judge(
    instance: &AppInstance,
    desired: &DesiredState,
    observed: &Observed,
) -> Option<Finding> {
    let instance = instance.name_any();
    if desired.volumes.is_empty() {
        return None;
    }
    let mut growing = None;
    for claim in &desired.volumes {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let Some((short, seen)) = observed
            .volumes
            .iter()
            .find(|(short, _)| names::volume(&instance, short) == name)
        else {
            return Some(Finding::on_its_way(
                "VolumeBeingMade",
                format!("volume {name} is being made"),
                None,
            ));
        };
        if seen.is_deleting {
            return Some(Finding::stuck(
                "VolumeBeingDeleted",
                format!(
                    "somebody deleted volume {name}, and that cannot be taken back: it goes, with its \
                     data, as soon as no pod uses it. Back up what is on it now, while the app runs"
                ),
            ));
        }
        if seen.phase == "Lost" {
            return Some(Finding::stuck(
                "VolumeLost",
                format!("the storage behind volume {name} is gone; restore it from a backup"),
            ));
        }
        let wished = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
            .map_or("", |quantity| quantity.0.as_str());
        let has = seen.capacity.as_deref().unwrap_or(&seen.requested);
        if quantity::compare(has, wished).is_some_and(std::cmp::Ordering::is_lt) {
            let why = seen.resize.as_deref();
            let why = why.map_or_else(String::new, |why| format!("; Kubernetes says: {why}"));
            growing = Some(format!("volume {short} grows from {has} to {wished}{why}"));
        }
    }
    Some(match growing {
        Some(message) => Finding::on_its_way("Growing", message, None),
        None => Finding::well(
            "Kept",
            format!("{} as wished", count(desired.volumes.len(), "volume")),
        ),
    })
}
