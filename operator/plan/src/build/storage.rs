//! PersistentVolumeClaims: the app's volumes and the database's.
//!
//! The database's claim is an object of its own and not a template of its StatefulSet, because a
//! template cannot be changed and a claim's size can grow.

use std::collections::BTreeMap;

use crds::{
    app_definition::{Access, Engine},
    labels,
};
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::metadata::{self, COMPONENT_DATABASE, COMPONENT_WEB, HOST_ANNOTATION};
use crate::{
    check::{DATABASE_VOLUME, Wish},
    names,
};

pub(super) fn build(wish: &Wish<'_>) -> Vec<PersistentVolumeClaim> {
    let app = wish
        .definition
        .volumes
        .iter()
        .map(|volume| claim(wish, &volume.name, volume.access, COMPONENT_WEB));
    let database = (wish.definition.database.engine != Engine::None).then(|| {
        claim(
            wish,
            DATABASE_VOLUME,
            Access::ReadWriteOnce,
            COMPONENT_DATABASE,
        )
    });
    app.chain(database).collect()
}

fn claim(wish: &Wish<'_>, volume: &str, access: Access, component: &str) -> PersistentVolumeClaim {
    let mut metadata = metadata::kept(wish, names::volume(&wish.name, volume), component);
    let mut annotations = BTreeMap::from([(HOST_ANNOTATION.to_owned(), wish.host.clone())]);
    if let Some(version) = super::installed(wish) {
        annotations.insert(labels::DATA_VERSION.to_owned(), version.to_owned());
    }
    metadata.annotations = Some(annotations);
    let access = match access {
        Access::ReadWriteOnce => "ReadWriteOnce",
        Access::ReadWriteMany => "ReadWriteMany",
    };
    let size = wish.storage.get(volume).cloned().unwrap_or_default();
    // A claim keeps the class that it was made with: that cannot be changed.
    let class = match wish.context.observed.volumes.get(volume) {
        Some(seen) => seen.class.clone(),
        None => wish.context.platform.storage_class.clone(),
    };
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![access.to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size))])),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: class,
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
