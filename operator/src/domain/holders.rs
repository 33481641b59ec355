//! Which Domain holds which hostname, as decided in this life; and names that are kept for their last
//! owners, each noted in a ConfigMap that the platform's operators may delete.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crds::{Domain, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::reflector::{ObjectRef, Store},
};
use plan::domain::{
    holder::{Contender, KEPT_FOR, Kept, choose},
    report::Holder,
};

/// Marks such ConfigMaps.
pub const KEPT_HOSTNAME: &str = "tutti.dev/kept-hostname";

/// Who holds what.
pub struct Holders {
    domains: Store<Domain>,
    kept: Store<ConfigMap>,
    notes: Api<ConfigMap>,
    /// UID of the holder by hostname.
    held: Mutex<HashMap<String, String>>,
    namespace: String,
}

impl Holders {
    /// Over what the watches know; notes lie in this namespace.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        domains: Store<Domain>,
        kept: Store<ConfigMap>,
    ) -> Self {
        Self {
            domains,
            kept,
            notes: Api::namespaced(client, namespace),
            held: Mutex::default(),
            namespace: namespace.to_owned(),
        }
    }

    /// Who holds the hostname of a Domain. `is_proven_now`: the DNS has just proven it.
    #[must_use]
    pub fn holder(&self, domain: &Domain, is_proven_now: bool, now: Timestamp) -> Holder {
        let hostname = &domain.spec.hostname;
        let uid = domain.uid().unwrap_or_default();
        let mut contenders: Vec<Contender> = self
            .domains
            .state()
            .iter()
            .filter(|other| other.spec.hostname == *hostname)
            .filter(|other| other.metadata.deletion_timestamp.is_none())
            .map(|other| Contender::of(other))
            .collect();
        for contender in &mut contenders {
            contender.is_proven |= is_proven_now && contender.uid == uid;
        }
        let kept = self.kept(hostname);
        // One decision after another: two at once could both find the name free.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.get(hostname).map(String::as_str);
        let Some(chosen) = choose(&contenders, before, kept.as_ref(), now) else {
            return match kept {
                Some(kept) => Holder::HeldBack(kept.until),
                None => Holder::Another,
            };
        };
        held.insert(hostname.clone(), chosen.uid.clone());
        drop(held);
        let namespace = domain.namespace().unwrap_or_default();
        if chosen.uid == uid {
            Holder::This
        } else if let Some(kept) = kept
            && kept.until > now
            && kept.namespace != namespace
        {
            Holder::HeldBack(kept.until)
        } else if chosen.namespace == namespace {
            Holder::Sibling(chosen.name.clone())
        } else {
            Holder::Another
        }
    }

    /// Other Domains of a hostname that stay.
    #[must_use]
    pub fn others(&self, hostname: &str, uid: Option<&str>) -> Vec<ObjectRef<Domain>> {
        self.domains
            .state()
            .iter()
            .filter(|other| other.spec.hostname == hostname && other.metadata.uid.as_deref() != uid)
            .filter(|other| other.metadata.deletion_timestamp.is_none())
            .map(|other| ObjectRef::from_obj(other.as_ref()))
            .collect()
    }

    fn kept(&self, hostname: &str) -> Option<Kept> {
        let note = ObjectRef::new(&note_name(hostname)).within(&self.namespace);
        let note = self.kept.get(&note)?;
        let data = note.data.as_ref()?;
        Some(Kept {
            namespace: data.get("organization")?.clone(),
            until: data.get("until")?.parse().ok()?,
        })
    }

    /// Keeps a hostname for its owner, who gives it up.
    ///
    /// # Errors
    /// When the API server does not take the note.
    pub async fn keep(&self, domain: &Domain, now: Timestamp) -> Result<(), kube::Error> {
        let hostname = &domain.spec.hostname;
        let name = note_name(hostname);
        let until = now.checked_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        let note = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "labels": { KEPT_HOSTNAME: "true" } },
            "data": {
                "hostname": hostname,
                "organization": domain.namespace(),
                "until": until.to_string(),
            },
        });
        let params = PatchParams::apply(labels::MANAGER).force();
        self.notes
            .patch(&name, &params, &Patch::Apply(&note))
            .await
            .map(drop)
    }

    /// The hostname is held again: nothing has to be kept.
    ///
    /// # Errors
    /// When the API server does not delete the note.
    pub async fn forget(&self, hostname: &str) -> Result<(), kube::Error> {
        if self.kept(hostname).is_none() {
            return Ok(());
        }
        match self
            .notes
            .delete(&note_name(hostname), &DeleteParams::default())
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Notes that are over are deleted.
    ///
    /// # Errors
    /// When the API server does not delete one.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), kube::Error> {
        for note in self.kept.state() {
            let until = note.data.as_ref().and_then(|data| data.get("until"));
            let until = until.and_then(|text| text.parse::<Timestamp>().ok());
            if until.is_none_or(|until| until <= now) {
                let name = note.name_any();
                let gone = self.notes.delete(&name, &DeleteParams::default()).await;
                match gone {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn note_name(hostname: &str) -> String {
    format!("hostname-{}", plan::digest::of_text(hostname))
}
