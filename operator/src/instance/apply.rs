//! Apply: writes what is not as planned, and nothing else. Two waves, each concurrent: what pods
//! need, then what makes pods. A write that the API server refuses for good is told on the object;
//! the others go on.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use crds::{condition, labels};
use futures_util::future::join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::StatefulSet, batch::v1::Job},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    core::{DynamicObject, ObjectMeta},
};
use plan::{DesiredState, context::JobSeen, digest, health::Refusal};
use serde::{Serialize, de::DeserializeOwned};

use super::Instances;
use crate::{
    cache::{
        Child, Children, InstanceKey, Kind, Seen,
        child::{Applied, Digest, is_made_for, is_of},
    },
    failure::{CANNOT_BE_CHANGED, Failure, name_taken, refusal},
};

/// What became of the writes.
#[derive(Default)]
pub struct Outcome {
    /// Refused until somebody changes something.
    pub refusals: Vec<Refusal>,
    /// The first that time may fix.
    pub failure: Option<Failure>,
    /// Something was written: trying again soon may bring the rest.
    pub made_progress: bool,
    /// Jobs that are done are left until status says what came of them.
    pub keeps_jobs: bool,
}

impl Outcome {
    fn add(&mut self, result: Result<(), Trouble>) {
        match result {
            Ok(()) => {}
            Err(Trouble::Refused(refusal)) => self.refusals.push(refusal),
            Err(Trouble::Failed(failure)) => {
                self.failure.get_or_insert(failure);
            }
        }
    }
}

/// Why a write was not made.
pub(super) enum Trouble {
    Refused(Refusal),
    Failed(Failure),
}

/// Writes what is not as planned, and deletes what is planned no more. `installed` is the version
/// that status tells.
pub async fn apply(
    operator: &Instances,
    key: &InstanceKey,
    children: &Children,
    desired: &DesiredState,
    installed: Option<&str>,
) -> Outcome {
    // Without `..`: a new kind of child that nobody applies does not compile.
    let DesiredState {
        secrets,
        account,
        volumes,
        network_policies,
        services,
        database,
        workload,
        jobs,
        cron_jobs,
        budgets,
        domains,
        routes,
        clients,
        host: _,
        url: _,
        size: _,
        version,
        memory_limit: _,
        health: _,
        promised: _,
    } = desired;
    let owner = account.owner_references().first();
    let writer = Writer {
        operator,
        key,
        uid: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
        children,
        has_written: AtomicBool::new(false),
    };
    let mut planned: BTreeSet<(Kind, String)> = BTreeSet::new();
    macro_rules! plan {
        ($kind:expr, $objects:expr) => {
            planned.extend($objects.iter().map(|object| ($kind, object.name_any())))
        };
    }
    planned.insert((Kind::ServiceAccount, account.name_any()));
    plan!(Kind::NetworkPolicy, network_policies);
    plan!(Kind::Service, services);
    plan!(Kind::StatefulSet, database);
    plan!(Kind::Deployment, workload);
    plan!(Kind::Job, jobs);
    plan!(Kind::CronJob, cron_jobs);
    plan!(Kind::PodDisruptionBudget, budgets);
    plan!(Kind::Domain, domains);
    plan!(Kind::Route, routes);
    plan!(Kind::SsoClient, clients);

    // A job that ended well is how a crash between any two steps finds what was done: it stays
    // until status says so, or an upgrade would run twice.
    let is_told = version.is_none() || installed == version.as_deref();
    let mut outcome = Outcome {
        keeps_jobs: !is_told
            && writer
                .leftover(&planned)
                .any(|(kind, ..)| kind == Kind::Job),
        ..Outcome::default()
    };
    let (made, account, claims, policies, services, domains, routes, clients) =
        futures_util::join!(
            join_all(secrets.iter().map(|secret| writer.provide_secret(secret))),
            writer.apply(Kind::ServiceAccount, condition::WORKLOAD_READY, account),
            join_all(volumes.iter().map(|claim| {
                writer.apply_seen(Kind::PersistentVolumeClaim, condition::STORAGE_READY, claim)
            })),
            join_all(network_policies.iter().map(|policy| {
                writer.apply(Kind::NetworkPolicy, condition::WORKLOAD_READY, policy)
            })),
            join_all(services.iter().map(|service| {
                writer.apply(Kind::Service, condition::WORKLOAD_READY, service)
            })),
            join_all(
                domains
                    .iter()
                    .map(|domain| { writer.apply(Kind::Domain, condition::ROUTE_READY, domain) })
            ),
            join_all(
                routes
                    .iter()
                    .map(|route| { writer.apply_seen(Kind::Route, condition::ROUTE_READY, route) })
            ),
            join_all(clients.iter().map(|client| {
                writer.apply_seen(Kind::SsoClient, condition::SECRETS_READY, client)
            })),
        );
    made.into_iter()
        .chain([account])
        .chain(claims)
        .chain(policies)
        .chain(services)
        .chain(domains)
        .chain(routes)
        .chain(clients)
        .for_each(|result| outcome.add(result));
    if outcome.failure.is_some() {
        outcome.made_progress = writer.has_written.into_inner();
        return outcome;
    }

    let (database, workload, jobs, cron_jobs, budgets, pruned) = futures_util::join!(
        join_all(
            database
                .iter()
                .map(|database| writer.apply_database(database))
        ),
        join_all(workload.iter().map(|workload| {
            writer.apply_seen(Kind::Deployment, condition::WORKLOAD_READY, workload)
        })),
        join_all(jobs.iter().map(|job| writer.apply_job(job))),
        join_all(
            cron_jobs
                .iter()
                .map(|job| { writer.apply(Kind::CronJob, condition::WORKLOAD_READY, job) })
        ),
        join_all(budgets.iter().map(|budget| {
            writer.apply(Kind::PodDisruptionBudget, condition::WORKLOAD_READY, budget)
        })),
        writer.prune(&planned, is_told),
    );
    database
        .into_iter()
        .chain(workload)
        .chain(jobs)
        .chain(cron_jobs)
        .chain(budgets)
        .chain(pruned)
        .for_each(|result| outcome.add(result));
    outcome.made_progress = writer.has_written.into_inner();
    outcome
}

/// What every write needs.
pub(super) struct Writer<'a> {
    pub(super) operator: &'a Instances,
    pub(super) key: &'a InstanceKey,
    /// UID of the instance.
    uid: String,
    children: &'a Children,
    has_written: AtomicBool,
}

impl Writer<'_> {
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.operator.client.clone(), &self.key.namespace)
    }

    pub(super) fn known(&self, kind: Kind, name: &str) -> Option<&Child> {
        self.children.get(&(kind, name.to_owned()))
    }

    /// Applies an object of which only metadata is watched.
    async fn apply<K>(&self, kind: Kind, part: &'static str, object: &K) -> Result<(), Trouble>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let Some((name, params, body)) = self.patch(kind, part, object).await? else {
            return Ok(());
        };
        let api = self.api::<K>();
        let planned = Patch::Apply(&body);
        let (of, by) = (&api, &planned);
        let called = name.as_str();
        let apply =
            |params: PatchParams| async move { of.patch_metadata(called, &params, by).await };
        let mut answer = self.send(kind, called, params.clone(), apply).await;
        if is_invalid(&answer)
            && let Some(child) = self.known(kind, &name)
        {
            // What somebody put into a list of ours stands beside it: a Service with two ports of one
            // name is none. This puts our lists in the place of theirs.
            let mut lists = body.clone();
            lists["metadata"]["uid"] = child.uid.as_str().into();
            let merging = PatchParams {
                field_manager: Some(labels::MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let replaced = api
                .patch_metadata(&name, &merging, &Patch::Merge(&lists))
                .await;
            if replaced.is_ok() {
                self.operator.metrics.wrote();
                // What is known is applied by force.
                answer = apply(params).await;
            }
        }
        match answer {
            Ok(answer) => {
                self.wrote(kind, &name, &answer.metadata, Seen::Presence);
                Ok(())
            }
            Err(error) => Err(trouble(part, kind, &name, error)),
        }
    }

    /// Applies an object whose status matters, too.
    async fn apply_seen<K>(&self, kind: Kind, part: &'static str, object: &K) -> Result<(), Trouble>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Digest,
    {
        let Some((name, params, body)) = self.patch(kind, part, object).await? else {
            return Ok(());
        };
        let (api, planned) = (self.api::<K>(), Patch::Apply(&body));
        let (of, by, called) = (&api, &planned, name.as_str());
        let apply = |params: PatchParams| async move { of.patch(called, &params, by).await };
        match self.send(kind, called, params, apply).await {
            Ok(answer) => {
                self.wrote(kind, &name, answer.meta(), answer.seen());
                Ok(())
            }
            // Deleted in this moment: the next pass sees that, and tells.
            Err(kube::Error::Api(status)) if status.code == 409 && self.is_data(kind, &name) => {
                Ok(())
            }
            Err(error) => Err(trouble(part, kind, &name, error)),
        }
    }

    /// Sends an apply. An object that no watch has told of is not taken by force. When the answer is a
    /// conflict and it was made for this instance all the same, somebody has changed a label that we watch
    /// by: then it is.
    async fn send<A, F>(
        &self,
        kind: Kind,
        name: &str,
        params: PatchParams,
        apply: impl Fn(PatchParams) -> F,
    ) -> Result<A, kube::Error>
    where
        F: Future<Output = Result<A, kube::Error>>,
    {
        let is_forced = params.force;
        let answer = apply(params.clone()).await;
        if is_forced || !is_conflict(&answer) {
            return answer;
        }
        // Listed and not got: for its watches the operator may list every kind, and get only some.
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        let api = untyped(self.operator, self.key, kind);
        match api.list_metadata(&named).await?.items.first() {
            Some(found) if is_made_for(&found.metadata, &self.uid) => apply(params.force()).await,
            _ => answer,
        }
    }

    /// The request that makes an object as planned; `None` when it is.
    async fn patch<K>(
        &self,
        kind: Kind,
        part: &'static str,
        object: &K,
    ) -> Result<Option<(String, PatchParams, serde_json::Value)>, Trouble>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let name = object.name_any();
        let digest = digest::of(object);
        let body = || {
            // k8s-openapi's objects have string keys only: writing them as JSON cannot fail.
            let mut body = serde_json::to_value(object).unwrap_or_default();
            body["metadata"]["annotations"][labels::PLAN] = digest.as_str().into();
            body
        };
        let known = self.known(kind, &name);
        if known.is_some_and(|child| child.is_as_planned(&digest, body)) {
            return Ok(None);
        }
        if known.is_none()
            && let Some(other) = self.operator.cache.other_owner(self.key, kind, &name)
        {
            return Err(Trouble::Refused(name_taken(
                part,
                &format!("{kind:?}"),
                &name,
                &format!("belongs to instance {}", other.name),
            )));
        }
        let params = PatchParams::apply(labels::MANAGER);
        // An object that is not known to be ours is not taken by force: somebody else's values
        // then stand against ours, and the answer is a conflict.
        let is_ours = known.is_some()
            || kind.is_taken_in_silence() && self.is_ours(kind, part, &name).await?;
        let params = if is_ours { params.force() } else { params };
        let mut body = body();
        if let Some(child) = known
            && self.is_data(kind, &name)
        {
            // Where it is gone meanwhile, an empty one must not take its place.
            body["metadata"]["uid"] = child.uid.as_str().into();
        }
        Ok(Some((name, params, body)))
    }

    /// Whether this is a volume that is known to be there.
    fn is_data(&self, kind: Kind, name: &str) -> bool {
        kind == Kind::PersistentVolumeClaim && self.known(kind, name).is_some()
    }

    /// Whether an object that no watch has told of is there, and this instance's all the same.
    async fn is_ours(&self, kind: Kind, part: &'static str, name: &str) -> Result<bool, Trouble> {
        let found = metadata(self.operator, self.key, kind, name).await;
        let found = found.map_err(|error| trouble(part, kind, name, error))?;
        match found {
            None => Ok(false),
            Some(found) if is_of(&found, self.key) => Ok(true),
            Some(_) => Err(Trouble::Refused(name_taken(
                part,
                &format!("{kind:?}"),
                name,
                "is not this instance's",
            ))),
        }
    }

    pub(super) fn wrote(&self, kind: Kind, name: &str, metadata: &ObjectMeta, seen: Seen) {
        let applied = Applied::verified(metadata);
        self.has_written.store(true, Ordering::Relaxed);
        self.operator
            .cache
            .note(self.key, kind, name, Child { applied, seen });
        self.operator.metrics.wrote();
    }

    /// Most of a StatefulSet cannot be changed. One that differs there is made anew; its pod runs on
    /// meanwhile, and belongs to the next one.
    async fn apply_database(&self, database: &StatefulSet) -> Result<(), Trouble> {
        let (kind, name) = (Kind::StatefulSet, database.name_any());
        let applied = self
            .apply_seen(kind, condition::DATABASE_READY, database)
            .await;
        match (applied, self.known(kind, &name)) {
            (Err(Trouble::Refused(refusal)), Some(child))
                if refusal.reason == CANNOT_BE_CHANGED && !child.is_deleting =>
            {
                let params = exactly(child, PropagationPolicy::Orphan);
                let deleted = delete_by(self.operator, self.key, kind, &name, &params).await;
                deleted.map_err(Trouble::Failed)
            }
            (applied, _) => applied,
        }
    }

    /// Jobs cannot be changed. One that would be different now is made anew when it failed, or has
    /// not begun: it waits for room that a smaller size may not need.
    async fn apply_job(&self, job: &Job) -> Result<(), Trouble> {
        let name = job.name_any();
        match self.known(Kind::Job, &name) {
            None => {
                self.apply_seen(Kind::Job, condition::WORKLOAD_READY, job)
                    .await
            }
            Some(child) => {
                // Of an earlier instance of this name, which is still going away: what it did was
                // done for that one.
                if child.owner.as_deref() != Some(self.uid.as_str()) && !child.is_deleting {
                    return self.delete(Kind::Job, &name, child).await;
                }
                let differs = child.plan.as_deref() != Some(digest::of(job).as_str());
                let (Seen::Job(seen), true, false) = (&child.seen, differs, child.is_deleting)
                else {
                    return Ok(());
                };
                if seen.failed.is_some() {
                    return self.delete(Kind::Job, &name, child).await;
                }
                if !seen.succeeded && !self.has_begun(&name, seen) {
                    // As it was seen: one that has begun meanwhile goes on.
                    let mut params = exactly(child, PropagationPolicy::Background);
                    if let Some(preconditions) = &mut params.preconditions {
                        preconditions.resource_version = Some(child.resource_version.to_string());
                    }
                    let (operator, key) = (self.operator, self.key);
                    let deleted = delete_by(operator, key, Kind::Job, &name, &params).await;
                    return deleted.map_err(Trouble::Failed);
                }
                Ok(())
            }
        }
    }

    /// Whether a pod of this job may have run.
    fn has_begun(&self, job: &str, seen: &JobSeen) -> bool {
        let mut pods = self
            .children
            .values()
            .filter_map(|child| match &child.seen {
                Seen::Pod(pod) if pod.is_of_job(job) => Some(pod),
                _ => None,
            })
            .peekable();
        if pods.peek().is_none() {
            return seen.has_pods;
        }
        pods.any(|pod| pod.unschedulable.is_none())
    }

    /// Deletes children that are planned no more.
    async fn prune(
        &self,
        planned: &BTreeSet<(Kind, String)>,
        with_jobs: bool,
    ) -> Vec<Result<(), Trouble>> {
        let deletions = self
            .leftover(planned)
            .filter(|(kind, ..)| with_jobs || *kind != Kind::Job)
            .map(|(kind, name, child)| self.delete(kind, name, child));
        join_all(deletions).await
    }

    /// Children that are planned no more.
    fn leftover(
        &self,
        planned: &BTreeSet<(Kind, String)>,
    ) -> impl Iterator<Item = (Kind, &str, &Child)> {
        self.children
            .iter()
            .filter(|((kind, name), child)| {
                kind.is_pruned() && !child.is_deleting && !planned.contains(&(*kind, name.clone()))
            })
            // Runs of a CronJob carry our labels, and belong to it.
            .filter(|((kind, _), child)| {
                *kind != Kind::Job || child.owner.as_deref() == Some(self.uid.as_str())
            })
            .map(|((kind, name), child)| (*kind, name.as_str(), child))
    }

    async fn delete(&self, kind: Kind, name: &str, child: &Child) -> Result<(), Trouble> {
        let deleted = delete_child(self.operator, self.key, kind, name, child).await;
        deleted.map_err(Trouble::Failed)
    }
}

/// Deletes exactly this child: another object of its name that came meanwhile is left alone.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn delete_child(
    operator: &Instances,
    key: &InstanceKey,
    kind: Kind,
    name: &str,
    child: &Child,
) -> Result<(), Failure> {
    let params = exactly(child, PropagationPolicy::Background);
    delete_by(operator, key, kind, name, &params).await
}

/// Deletes this child and no other of its name; what belongs to it goes with it, or stays.
fn exactly(child: &Child, policy: PropagationPolicy) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(child.uid.clone()),
            resource_version: None,
        }),
        propagation_policy: Some(policy),
        ..DeleteParams::default()
    }
}

async fn delete_by(
    operator: &Instances,
    key: &InstanceKey,
    kind: Kind,
    name: &str,
    params: &DeleteParams,
) -> Result<(), Failure> {
    match untyped(operator, key, kind).delete(name, params).await {
        Ok(_) => {
            operator.metrics.wrote();
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        // Also when another object has its name now, or it changed (409): by the next try the cache
        // knows it.
        Err(source) => Err(Failure::Delete {
            kind: format!("{kind:?}"),
            name: name.to_owned(),
            source: Box::new(source),
        }),
    }
}

/// Metadata of an object, if there is one.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn metadata(
    operator: &Instances,
    key: &InstanceKey,
    kind: Kind,
    name: &str,
) -> Result<Option<ObjectMeta>, kube::Error> {
    let found = untyped(operator, key, kind).get_metadata_opt(name).await?;
    Ok(found.map(|found| found.metadata))
}

fn untyped(operator: &Instances, key: &InstanceKey, kind: Kind) -> Api<DynamicObject> {
    let client = operator.client.clone();
    Api::namespaced_with(client, &key.namespace, &kind.api_resource())
}

/// The same for a look at what there is.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn observed_metadata(
    operator: &Instances,
    key: &InstanceKey,
    kind: Kind,
    name: &str,
) -> Result<Option<ObjectMeta>, Failure> {
    let found = metadata(operator, key, kind, name).await;
    found.map_err(|source| Failure::Observe {
        what: format!("{kind:?} {name}"),
        source,
    })
}

pub(super) fn trouble(part: &'static str, kind: Kind, name: &str, error: kube::Error) -> Trouble {
    let kind = format!("{kind:?}");
    match refusal(part, &kind, name, &error) {
        Some(refusal) => Trouble::Refused(refusal),
        None => Trouble::Failed(Failure::Apply {
            kind,
            name: name.to_owned(),
            source: Box::new(error),
        }),
    }
}

/// Whether somebody else's values stand against ours.
fn is_conflict<T>(answer: &Result<T, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 409)
}

/// Whether the API server says that the object would not be valid.
fn is_invalid<T>(answer: &Result<T, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 422)
}
