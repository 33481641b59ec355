//! Whether people can sign in by the platform, where the app leaves that to it.

use super::Finding;
use crate::{DesiredState, Observed, names};

/// The reason of an app that idm has not registered.
pub(super) const NOT_REGISTERED: &str = "SignInNotRegistered";
/// What idm says of a client whose Secret somebody else has made: nothing will change by itself.
const TAKEN: &str = "SecretTaken";

/// What keeps people from signing in; nothing when all is well.
pub(super) fn judge(desired: &DesiredState, observed: &Observed) -> Option<Finding> {
    let metadata = &desired.clients.first()?.metadata;
    let client = observed.client.as_ref();
    let is_registered = client.is_some_and(|client| client.is_registered());
    if is_registered && !observed.is_client_secret_gone {
        return None;
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let look = format!("kubectl describe ssoclient {name} -n {namespace}");
    if is_registered {
        let secret = names::sso_secret(name);
        let message = format!(
            "Secret {secret}, with which the app signs people in, is gone; idm makes it anew, with another \
             client secret; see: {look}"
        );
        return Some(Finding::on_its_way(NOT_REGISTERED, message, None));
    }
    let Some(ready) = client.and_then(|client| client.ready.as_ref()) else {
        let message = format!("idm has not registered the app for sign-in yet; see: {look}");
        return Some(Finding::on_its_way(NOT_REGISTERED, message, None));
    };
    let message = format!(
        "idm does not register the app for sign-in: {}; see: {look}",
        ready.message
    );
    Some(if ready.reason == TAKEN {
        Finding::stuck(NOT_REGISTERED, message)
    } else {
        Finding::on_its_way(NOT_REGISTERED, message, None)
    })
}
