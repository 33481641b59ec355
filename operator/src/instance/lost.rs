//! What a plan was rejected for because it is lost: a Secret or a volume whose labels were taken away or
//! changed is out of the watch's sight, and is found again. One that is going away is lost.

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, core::ObjectMeta};
use plan::Rejection;

use super::{Instances, apply::observed_metadata, secrets};
use crate::{
    cache::{InstanceKey, Kind, child::is_made_for, watch},
    failure::Failure,
};

/// Takes note of what is there after all. Whether anything is.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn find(
    operator: &Instances,
    key: &InstanceKey,
    uid: &str,
    rejection: &Rejection,
) -> Result<bool, Failure> {
    match rejection {
        Rejection::SecretMissing { names, .. } => {
            any(names, |name| secret(operator, key, uid, name)).await
        }
        Rejection::VolumeMissing { names, .. } => {
            any(names, |name| volume(operator, key, uid, name)).await
        }
        _ => Ok(false),
    }
}

async fn any<'a, F>(names: &'a str, look: impl Fn(&'a str) -> F) -> Result<bool, Failure>
where
    F: Future<Output = Result<bool, Failure>>,
{
    let found = join_all(names.split(',').map(look)).await;
    let found: Vec<bool> = found.into_iter().collect::<Result<_, _>>()?;
    Ok(found.contains(&true))
}

async fn secret(
    operator: &Instances,
    key: &InstanceKey,
    uid: &str,
    name: &str,
) -> Result<bool, Failure> {
    let found = observed_metadata(operator, key, Kind::Secret, name).await?;
    let found = found.filter(|found| is_there(found, uid));
    if let Some(found) = &found {
        secrets::note(operator, key, name, secrets::child(found));
    }
    Ok(found.is_some())
}

async fn volume(
    operator: &Instances,
    key: &InstanceKey,
    uid: &str,
    name: &str,
) -> Result<bool, Failure> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(operator.client.clone(), &key.namespace);
    let found = api.get_opt(name).await.map_err(|source| Failure::Observe {
        what: format!("PersistentVolumeClaim {name}"),
        source,
    })?;
    let found = found.filter(|found| is_there(&found.metadata, uid));
    if let Some(found) = &found {
        watch::note(&operator.cache, key, Kind::PersistentVolumeClaim, found);
    }
    Ok(found.is_some())
}

/// Whether what has a name that this instance remembers is what was made for it, whatever its labels say
/// by now: it may be called another's.
fn is_there(found: &ObjectMeta, uid: &str) -> bool {
    found.deletion_timestamp.is_none() && is_made_for(found, uid)
}
