//! Who signs people in to the app, where its definition says that it does so by OpenID Connect: an SsoClient, which
//! idm registers and answers with a Secret.

use crds::{
    SsoClient, SsoClientSpec,
    app_definition::SsoProtocol,
    sso_client::{ClientProtocol, MOST_ADDRESSES},
};

use super::metadata::{self, COMPONENT_WEB};
use crate::{check, check::Wish, names};

pub(super) fn build(wish: &Wish<'_>) -> Option<SsoClient> {
    let sso = &wish.definition.sso;
    if sso.protocol != SsoProtocol::Oidc {
        return None;
    }
    let callback = sso.callback_path.as_ref()?;
    let origins = origins(wish);
    let after = sso.logout_path.iter().map(|_| "/");
    Some(SsoClient {
        metadata: metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        spec: SsoClientSpec {
            protocol: ClientProtocol::Oidc,
            instance: Some(wish.name.clone()),
            redirect_uris: at(&origins, callback),
            post_logout_redirect_uris: after.flat_map(|path| at(&origins, path)).collect(),
            secret: names::sso_secret(&wish.name),
        },
        status: None,
    })
}

fn at(origins: &[String], path: &str) -> Vec<String> {
    let at = |origin: &String| format!("{origin}{path}");
    origins.iter().map(at).collect()
}

/// Where the app answers by itself: at its default host, and at those of the customer's that are served and lead
/// nowhere else. One with an asterisk has no end of addresses, and each is registered in full.
fn origins(wish: &Wish<'_>) -> Vec<String> {
    let domains = wish.context.observed.domains.iter();
    let own = domains
        .filter(|domain| domain.is_routed && domain.redirect_to.is_none())
        .map(|domain| domain.hostname.as_str())
        .filter(|hostname| !hostname.starts_with("*."));
    let port = wish.context.platform.https_port;
    std::iter::once(wish.host.as_str())
        .chain(own)
        .take(MOST_ADDRESSES)
        .map(|host| check::url(host, port))
        .collect()
}
