//! The ServiceAccount of an instance's pods: an identity without rights and without a token. It
//! names the secrets that their images are pulled with.

use k8s_openapi::api::core::v1::{LocalObjectReference, ServiceAccount};

use super::metadata::{self, COMPONENT_WEB};
use crate::check::Wish;

pub(super) fn build(wish: &Wish<'_>) -> ServiceAccount {
    let secrets = &wish.context.platform.image_pull_secrets;
    let references = || {
        let reference = |name: &String| LocalObjectReference { name: name.clone() };
        secrets.iter().map(reference).collect()
    };
    ServiceAccount {
        metadata: metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        automount_service_account_token: Some(false),
        image_pull_secrets: (!secrets.is_empty()).then(references),
        ..ServiceAccount::default()
    }
}
