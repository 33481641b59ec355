//! Secrets of type kubernetes.io/tls in one namespace, from the API server to the store.

use std::{collections::BTreeMap, sync::Arc};

use crds::labels;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use service::Check;

use super::{BadCertificate, Certificate};
use crate::{
    gateway::Gateway,
    watch::{Changed, Key, Pauses, follow, key_of},
};

/// Follows the Secrets for as long as the program runs; the check is set once the first list is
/// there and holds a certificate for the platform zone.
pub async fn watch(client: Client, namespace: &str, gateway: Arc<Gateway>, check: Check) {
    let config = watcher::Config::default().fields("type=kubernetes.io/tls");
    let events = watcher(Api::<Secret>::namespaced(client, namespace), config)
        .backoff(Pauses::default())
        .boxed();
    let report = |known: &BTreeMap<Key, Arc<Certificate>>, changed: Changed<'_>| {
        match changed {
            Changed::All => gateway.swap_certificates(known.values()),
            Changed::Some(keys) => {
                let changes = keys.iter().map(|key| (name(key), known.get(key)));
                gateway.change_certificates(changes);
            }
        }
        match gateway.certificates.load().platform() {
            Some(_) => check.set(true),
            None => check.set_missing(format!(
                "no Secret of type kubernetes.io/tls in namespace {namespace} covers *.{}",
                gateway.settings.zone
            )),
        }
    };
    let health = gateway.metrics.watch("Secret");
    follow("Secret", events, health, keep, report).await;
}

fn name((namespace, name): &Key) -> String {
    format!("{namespace}/{name}")
}

/// What is kept of a Secret: its certificate, or the one before when the new one is broken.
fn keep(secret: Secret, before: Option<&Arc<Certificate>>) -> Option<Arc<Certificate>> {
    let version = secret.resource_version().unwrap_or_default();
    if let Some(before) = before.filter(|before| *before.version == *version) {
        return Some(Arc::clone(before));
    }
    let name = name(&key_of(&secret));
    match read(&name, &version, &secret) {
        Ok(certificate) => Some(Arc::new(certificate)),
        Err(error) => {
            tracing::warn!(
                secret = name, %error, keeps_the_one_before = before.is_some(),
                "certificate cannot be served"
            );
            before.cloned()
        }
    }
}

fn read(name: &str, version: &str, secret: &Secret) -> Result<Certificate, BadCertificate> {
    let part = |key: &'static str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        data.map(|bytes| bytes.0.as_slice())
            .ok_or(BadCertificate::Missing(key))
    };
    let mut certificate = Certificate::read(name, version, part("tls.crt")?, part("tls.key")?)?;
    // A customer's certificate is presented for the hostname that they have proven, whatever other
    // names stand in it.
    let annotations = secret.metadata.annotations.as_ref();
    if let Some(hostname) = annotations.and_then(|all| all.get(labels::HOSTNAME)) {
        certificate.names = Box::new([hostname.as_str().into()]);
    }
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    #[test]
    fn a_customers_certificate_stands_for_the_name_that_was_proven_and_no_other() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let names = ["www.acme.example", "www.bank.example", "*.apps.example"];
        let names = names.map(str::to_owned).to_vec();
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(names).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let mut secret = Secret {
            data: Some(BTreeMap::from([
                ("tls.crt".to_owned(), ByteString(certificate.pem().into())),
                ("tls.key".to_owned(), ByteString(key.serialize_pem().into())),
            ])),
            ..Secret::default()
        };
        assert_eq!(read("c/own", "1", &secret).unwrap().names.len(), 3);
        let proven = (labels::HOSTNAME.to_owned(), "www.acme.example".to_owned());
        secret.metadata.annotations = Some(BTreeMap::from([proven]));
        let narrowed = read("c/own", "1", &secret).unwrap();
        assert!(narrowed.covers("www.acme.example"));
        assert!(!narrowed.covers("www.bank.example"));
        assert!(!narrowed.covers("shop.apps.example"));
    }
}
