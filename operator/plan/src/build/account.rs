//! The ServiceAccount of an instance's pods: an identity without rights and without a token.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata::{self, COMPONENT_WEB};
use crate::check::Wish;

pub(super) fn build(wish: &Wish<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
