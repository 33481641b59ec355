//! What is known of the cluster, kept up to date by watches: reconciling reads nothing else.
//!
//! Our own kinds are kept whole (without managedFields). Of the thousands of children only what
//! decisions depend on is kept, see [`child`]; kinds whose status does not matter are watched as
//! metadata only.
//!
//! ```text
//! API server ──watch──> digest (child.rs) ──> Cache ──> observe ──> plan
//!                          └── which instance? ──> queue of that controller
//! ```

pub mod child;
pub mod fence;
pub mod fence_watch;
mod gone;
pub mod owned;
pub mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use crds::{AppDefinition, AppInstance, Domain, Organization, Route};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    core::{ObjectMeta, PartialObjectMeta},
    runtime::reflector::{ObjectRef, Store},
};
use plan::{names, quota::Count};

pub use child::{Child, Kind, Seen};

/// Namespace and name of an AppInstance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl InstanceKey {
    /// The reference that queues are made of.
    #[must_use]
    pub fn reference(&self) -> ObjectRef<AppInstance> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

/// Children of one instance by kind and name.
pub type Children = BTreeMap<(Kind, String), Child>;

/// What is known of the cluster.
#[derive(Clone)]
pub struct Cache {
    /// All AppInstances.
    pub instances: Store<AppInstance>,
    /// All AppDefinitions.
    pub definitions: Store<AppDefinition>,
    /// All Organizations.
    pub organizations: Store<Organization>,
    /// All Routes.
    pub routes: Store<Route>,
    /// All Domains.
    pub domains: Store<Domain>,
    /// Secrets that idm has made.
    credentials: Store<PartialObjectMeta<Secret>>,
    children: Arc<RwLock<HashMap<InstanceKey, Children>>>,
    gone: Arc<RwLock<gone::Gone>>,
    fences: Arc<RwLock<fence::Fences>>,
}

impl Cache {
    /// An empty cache over these stores.
    #[must_use]
    pub fn new(
        instances: Store<AppInstance>,
        definitions: Store<AppDefinition>,
        organizations: Store<Organization>,
        routes: Store<Route>,
        domains: Store<Domain>,
        credentials: Store<PartialObjectMeta<Secret>>,
    ) -> Self {
        Self {
            instances,
            definitions,
            organizations,
            routes,
            domains,
            credentials,
            children: Arc::default(),
            gone: Arc::default(),
            fences: Arc::default(),
        }
    }

    /// The children of an instance, as a copy that no watch changes.
    #[must_use]
    pub fn children(&self, key: &InstanceKey) -> Children {
        let children = self.children.read().unwrap_or_else(PoisonError::into_inner);
        children.get(key).cloned().unwrap_or_default()
    }

    /// Whether the Secret is there with which an instance signs people in.
    #[must_use]
    pub fn has_credentials(&self, key: &InstanceKey) -> bool {
        let name = names::sso_secret(&key.name);
        let found = self
            .credentials
            .get(&ObjectRef::new(&name).within(&key.namespace));
        found.is_some_and(|secret| secret.metadata.deletion_timestamp.is_none())
    }

    /// Another instance that has a child of this kind and name: `a` with a volume `b-c` and `a-b`
    /// with a volume `c` both want the claim `a-b-c`.
    #[must_use]
    pub fn other_owner(&self, key: &InstanceKey, kind: Kind, name: &str) -> Option<InstanceKey> {
        let mut homes = self.homes(&key.namespace, kind, name).into_iter();
        homes.find(|home| home != key)
    }

    /// The instances that are known to have a child of this kind and name. Every child's name
    /// begins with its instance's.
    #[must_use]
    pub fn homes(&self, namespace: &str, kind: Kind, name: &str) -> Vec<InstanceKey> {
        let children = self.children.read().unwrap_or_else(PoisonError::into_inner);
        let slot = (kind, name.to_owned());
        let ends = name.match_indices('-').map(|(end, _)| end);
        ends.chain([name.len()])
            .map(|end| InstanceKey {
                namespace: namespace.to_owned(),
                name: name[..end].to_owned(),
            })
            .filter(|home| {
                children
                    .get(home)
                    .is_some_and(|siblings| siblings.contains_key(&slot))
            })
            .collect()
    }

    /// Takes note of a child, unless something newer is known: also that it is gone. Returns whether
    /// anything changed.
    pub fn note(&self, key: &InstanceKey, kind: Kind, name: &str, mut child: Child) -> bool {
        let mut children = self
            .children
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let gone = self.gone.read().unwrap_or_else(PoisonError::into_inner);
        if gone.is_older(&child.applied) {
            return false;
        }
        drop(gone);
        let siblings = children.entry(key.clone()).or_default();
        let slot = (kind, name.to_owned());
        if let Some(known) = siblings.get_mut(&slot)
            && !known.is_news(&mut child)
        {
            return false;
        }
        siblings.insert(slot, child);
        true
    }

    /// Forgets a child that was deleted, as its last version tells.
    pub fn forget(&self, key: &InstanceKey, kind: Kind, name: &str, last: &ObjectMeta) {
        let uid = last.uid.as_deref().unwrap_or_default();
        let mut children = self
            .children
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.gone
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .note(uid, child::version(last));
        let Some(siblings) = children.get_mut(key) else {
            return;
        };
        let slot = (kind, name.to_owned());
        // A new object of the same name may be known already.
        if siblings.get(&slot).is_some_and(|known| known.uid == uid) {
            siblings.remove(&slot);
        }
        if siblings.is_empty() {
            children.remove(key);
        }
    }

    /// Forgets every child of this kind that a complete list did not hold. Returns whose they were.
    pub fn keep_only(
        &self,
        kind: Kind,
        listed: &std::collections::HashSet<(InstanceKey, String)>,
    ) -> Vec<InstanceKey> {
        let mut gone = Vec::new();
        let mut children = self
            .children
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        children.retain(|key, siblings| {
            let before = siblings.len();
            siblings
                .retain(|(k, name), _| *k != kind || listed.contains(&(key.clone(), name.clone())));
            if siblings.len() != before {
                gone.push(key.clone());
            }
            !siblings.is_empty()
        });
        gone
    }

    /// What is known of the fences of organizations.
    #[must_use]
    pub fn fences(&self) -> &RwLock<fence::Fences> {
        &self.fences
    }

    /// Takes note of an object of a fence, and of what is counted of a quota where that is told, unless
    /// something newer is known. Returns whether it is news.
    pub fn note_fence(
        &self,
        key: &(String, fence::FenceKind),
        mut applied: child::Applied,
        count: Option<Count>,
    ) -> bool {
        let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
        let known = fences.entry(key.clone()).or_default();
        let is_news = known.applied.is_news(&mut applied);
        if is_news {
            known.applied = applied;
            known.count = count.or(known.count);
        }
        is_news
    }

    /// Whether a namespace is an organization's, with a closed network.
    #[must_use]
    pub fn is_fenced(&self, namespace: &str) -> bool {
        let fences = self.fences.read().unwrap_or_else(PoisonError::into_inner);
        [fence::FenceKind::Namespace, fence::FenceKind::Policy]
            .into_iter()
            .all(|kind| {
                fences
                    .get(&(namespace.to_owned(), kind))
                    .is_some_and(|fence| !fence.applied.is_deleting)
            })
    }

    /// What Kubernetes has counted of an organization's quota; `None` until it has.
    #[must_use]
    pub fn counted(&self, organization: &str) -> Option<Count> {
        let fences = self.fences.read().unwrap_or_else(PoisonError::into_inner);
        fences
            .get(&(organization.to_owned(), fence::FenceKind::Quota))?
            .count
    }

    /// Domains that name an instance, in the order of their hostnames.
    #[must_use]
    pub fn domains_of(&self, key: &InstanceKey) -> Vec<Arc<Domain>> {
        let mut domains = self.domains.state();
        domains.retain(|domain| {
            domain.metadata.namespace.as_deref() == Some(key.namespace.as_str())
                && domain.spec.instance == key.name
        });
        domains.sort_by(|one, other| one.spec.hostname.cmp(&other.spec.hostname));
        domains
    }

    /// Instances in a namespace.
    #[must_use]
    pub fn instances_in(&self, namespace: &str) -> Vec<Arc<AppInstance>> {
        self.instances
            .state()
            .into_iter()
            .filter(|instance| instance.metadata.namespace.as_deref() == Some(namespace))
            .collect()
    }
}
