//! Which Domain holds which hostname, as decided in this life; and names that are kept for their last
//! owners, each noted in a ConfigMap that the platform's operators may delete.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crds::{Domain, Organization, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::reflector::{ObjectRef, Store},
};
use plan::domain::{
    holder::{Contender, Kept, choose},
    report::Holder,
};

use crate::cache::Cache;

/// Marks such ConfigMaps.
pub const KEPT_HOSTNAME: &str = "tutti.dev/kept-hostname";

/// Who holds what.
pub struct Holders {
    domains: Store<Domain>,
    organizations: Store<Organization>,
    kept: Store<ConfigMap>,
    notes: Api<ConfigMap>,
    /// UID of the holder by hostname.
    held: Mutex<HashMap<String, String>>,
    namespace: String,
}

impl Holders {
    /// Over what the watches know; notes lie in this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, cache: &Cache, kept: Store<ConfigMap>) -> Self {
        Self {
            domains: cache.domains.clone(),
            organizations: cache.organizations.clone(),
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
        let all = self.domains.state();
        let (leaving, staying): (Vec<_>, Vec<_>) = all
            .iter()
            .filter(|other| other.spec.hostname == *hostname)
            .partition(|other| other.metadata.deletion_timestamp.is_some());
        let mut contenders: Vec<Contender> = staying
            .iter()
            .map(|other| Contender::of(other, &self.organization(other)))
            .collect();
        for contender in &mut contenders {
            contender.is_proven |= is_proven_now && contender.uid == uid;
        }
        // Until the note is written the Domain itself, which is on its way out, keeps the name.
        let kept = leaving
            .iter()
            .find_map(|other| Kept::of(other, &self.organization(other), now))
            .or_else(|| self.kept(hostname));
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
        let this = contenders.iter().find(|contender| contender.uid == uid);
        if chosen.uid == uid {
            Holder::This
        } else if let (Some(this), Some(kept)) = (this, kept)
            && kept.is_from(this, now)
        {
            Holder::HeldBack(kept.until)
        } else if domain.metadata.namespace.as_ref() == Some(&chosen.namespace) {
            Holder::Sibling(chosen.name.clone())
        } else {
            Holder::Another
        }
    }

    /// UID of the organization that a Domain belongs to; empty while there is none.
    #[must_use]
    pub fn organization(&self, domain: &Domain) -> String {
        let namespace = domain.namespace().unwrap_or_default();
        let organization = self.organizations.get(&ObjectRef::new(&namespace));
        organization
            .and_then(|organization| organization.uid())
            .unwrap_or_default()
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

    /// For whom a hostname is kept, as far as the watch knows.
    #[must_use]
    pub fn kept(&self, hostname: &str) -> Option<Kept> {
        let note = ObjectRef::new(&note_name(hostname)).within(&self.namespace);
        let note = self.kept.get(&note)?;
        let data = note.data.as_ref()?;
        Some(Kept {
            namespace: data.get("organization")?.clone(),
            organization: data.get("organizationUid").cloned(),
            until: data.get("until")?.parse().ok()?,
        })
    }

    /// Keeps a hostname for its owner, who gives it up.
    ///
    /// # Errors
    /// When the API server does not take the note.
    pub async fn keep(&self, hostname: &str, kept: &Kept) -> Result<(), kube::Error> {
        let name = note_name(hostname);
        let note = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "labels": { KEPT_HOSTNAME: "true" } },
            "data": {
                "hostname": hostname,
                "organization": kept.namespace,
                "organizationUid": kept.organization,
                "until": kept.until.to_string(),
            },
        });
        let params = PatchParams::apply(labels::MANAGER).force();
        self.notes
            .patch(&name, &params, &Patch::Apply(&note))
            .await
            .map(drop)
    }

    /// Its owner has proven the hostname again: nothing has to be kept.
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
