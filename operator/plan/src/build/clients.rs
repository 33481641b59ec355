//! Who signs people in to the app, where its definition says that it does so by OpenID Connect: an SsoClient, which
//! idm registers and answers with a Secret. Where the platform has no idm there is none, and the app signs people in
//! by itself.

use crds::{
    SsoClient, SsoClientSpec,
    app_definition::SsoProtocol,
    labels::SECRET_GONE,
    sso_client::{ClientProtocol, MOST_ADDRESSES},
};

use super::metadata::{self, COMPONENT_WEB};
use crate::{check, check::Wish, names};

pub(super) fn build(wish: &Wish<'_>) -> Option<SsoClient> {
    wish.context.platform.idm.as_ref()?;
    let sso = &wish.definition.sso;
    if sso.protocol != SsoProtocol::Oidc {
        return None;
    }
    let callback = sso.callback_path.as_ref()?;
    let origins = origins(wish);
    let after = sso.logout_path.iter().map(|_| "/");
    let mut metadata = metadata::owned(wish, wish.name.clone(), COMPONENT_WEB);
    metadata.annotations = gone(wish).map(|digest| [(SECRET_GONE.to_owned(), digest)].into());
    Some(SsoClient {
        metadata,
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

/// What tells idm that the Secret is gone, which it does not watch: it makes another at once.
fn gone(wish: &Wish<'_>) -> Option<String> {
    let observed = wish.context.observed;
    let client = observed
        .client
        .as_ref()
        .filter(|_| observed.is_client_secret_gone)?;
    client.secret_digest.clone()
}

/// Letters of a digest that tell one client secret from another.
const MARK: usize = 16;

/// Whether the app's pods have to wait: what they read in their environment idm has not made yet.
pub(super) fn are_credentials_awaited(wish: &Wish<'_>) -> bool {
    reads_credentials(wish) && made(wish).is_none()
}

/// Which client secret the app's pods read. While idm looks after it anew it is the one that they have read.
pub(super) fn secret_mark(wish: &Wish<'_>) -> Option<String> {
    let known = wish.context.observed.workload.as_ref();
    reads_credentials(wish)
        .then(|| made(wish).or_else(|| known?.client_secret.clone()))
        .flatten()
}

fn reads_credentials(wish: &Wish<'_>) -> bool {
    let mut environment = wish.definition.env.iter();
    wish.context.platform.idm.is_some() && environment.any(|variable| variable.sso.is_some())
}

fn made(wish: &Wish<'_>) -> Option<String> {
    let client = wish.context.observed.client.as_ref();
    let digest = client
        .filter(|client| client.is_registered())?
        .secret_digest
        .as_ref()?;
    Some(digest.chars().take(MARK).collect())
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
