//! The life of an AppInstance: observe → check → plan → apply → report.
//!
//! | step | file |
//! |---|---|
//! | observe | `observe.rs`: from the cache; reads only where something is wrong (`trouble.rs`) |
//! | check, plan | `plan::desired_state`: pure |
//! | apply | `apply.rs`: concurrently, and only what is not as planned |
//! | report | `report.rs`: one status write, when it changed |
//! | delete | `finalize.rs` |

mod apply;
mod finalize;
mod grants;
mod lost;
mod observe;
mod report;
mod secrets;
mod trouble;

use std::{sync::Arc, time::Duration};

use crds::{AppDefinition, AppInstance, labels};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{controller::Action, reflector::ObjectRef},
};
use plan::{
    Context, DesiredState, Observed, Platform, Rejection, check::is_granted,
    context::OrganizationFacts, names, quota,
};
use rand::RngExt as _;

use crate::{
    cache::{Cache, Children, InstanceKey, Seen},
    failure::{FAILURES_THAT_LAST, Failure, lasting},
    metrics::Metrics,
    news::News,
    written::Written,
};

/// What reconciling an instance needs.
pub struct Instances {
    pub(crate) client: Client,
    pub(crate) cache: Cache,
    pub(crate) platform: Platform,
    pub(crate) metrics: Metrics,
    pub(crate) news: News,
    grants: grants::Grants,
    troubles: trouble::Troubles,
    written: Written<InstanceKey>,
    backoff: crate::backoff::Backoffs<InstanceKey>,
}

/// The first wait after a failure; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait: a fault that lasts is looked at this often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often something that was refused is tried again: what it waits for, such as a larger quota,
/// is no event of ours.
const REFUSED_AGAIN: Duration = Duration::from_secs(15);
/// The same while the pods of others are being made: what is left is known in a moment.
const CROWDED_AGAIN: Duration = Duration::from_secs(1);
/// How soon an instance is looked at again of which the watch has not told what we wrote ourselves.
const UNTOLD_AGAIN: Duration = Duration::from_millis(100);
/// How soon jobs that have ended well are deleted, once status says what came of them.
const TIDY_AGAIN: Duration = Duration::from_millis(20);

impl Instances {
    /// Everything that reconciling needs.
    #[must_use]
    pub fn new(client: Client, cache: Cache, platform: Platform, metrics: Metrics) -> Self {
        Self {
            news: News::new(client.clone()),
            client,
            cache,
            platform,
            metrics,
            grants: grants::Grants::default(),
            troubles: trouble::Troubles::default(),
            written: Written::default(),
            backoff: crate::backoff::Backoffs::new(FIRST_WAIT, LONGEST_WAIT),
        }
    }
}

/// Makes one instance true.
///
/// # Errors
/// A [`Failure`]; [`retry`] decides when to try again.
#[tracing::instrument(
    name = "reconcile",
    skip_all,
    fields(
        kind = "AppInstance",
        object = %ObjectRef::from_obj(instance.as_ref()),
        generation = instance.metadata.generation,
    )
)]
pub async fn reconcile(
    instance: Arc<AppInstance>,
    operator: Arc<Instances>,
) -> Result<Action, Failure> {
    let started = std::time::Instant::now();
    let key = key_of(&instance);
    let look = || operator.cache.instances.get(&key.reference());
    let Some(instance) = operator.written.latest(&key, instance, look).await else {
        return Ok(Action::requeue(UNTOLD_AGAIN));
    };
    let result = make_true(&instance, &operator).await;
    operator
        .metrics
        .reconciled("appinstance", started.elapsed(), result.as_ref().err());
    if result.is_ok() {
        operator.backoff.reset(&key_of(&instance));
    }
    result
}

/// When to try again after a failure.
#[must_use]
pub fn retry(instance: Arc<AppInstance>, failure: &Failure, operator: Arc<Instances>) -> Action {
    let wait = operator.backoff.next(&key_of(&instance));
    tracing::warn!(
        object = %ObjectRef::from_obj(instance.as_ref()),
        generation = instance.metadata.generation,
        error = failure.chain(),
        retry_seconds = wait.as_secs_f32(),
        "reconciliation failed"
    );
    Action::requeue(wait)
}

async fn make_true(instance: &AppInstance, operator: &Instances) -> Result<Action, Failure> {
    let key = key_of(instance);
    if instance.metadata.deletion_timestamp.is_some() {
        operator.grants.forget(&key);
        let finalized = finalize::finalize(instance, &key, operator).await;
        if let Err(failure) = &finalized
            && operator.backoff.count(&key) >= FAILURES_THAT_LAST
        {
            report::deletion_waits(operator, instance, failure).await?;
        }
        return finalized;
    }
    if !instance
        .finalizers()
        .iter()
        .any(|f| f == labels::INSTANCE_FINALIZER)
    {
        take_finalizer(instance, operator).await?;
    }

    let now = Timestamp::now();
    let uid = instance.uid().unwrap_or_default();
    let children = operator.cache.children(&key);
    let observed = observe::observe(operator, &key, &uid, &children).await?;
    close_lost_names(operator, &key, &children, &observed).await?;
    let definition = operator
        .cache
        .definitions
        .get(&ObjectRef::new(&instance.spec.app));
    let organization = operator
        .cache
        .organizations
        .get(&ObjectRef::new(&key.namespace))
        .map(|organization| OrganizationFacts {
            name: organization.name_any(),
            is_leaving: organization.metadata.deletion_timestamp.is_some(),
            is_fenced: operator.cache.is_fenced(&key.namespace),
            pod_security: organization.spec.pod_security,
            most_instances: usize::try_from(organization.spec.quota.instances).unwrap_or_default(),
            earlier_instances: earlier_instances(operator, instance, &key),
            room: None,
        });
    let plan = decide(
        operator,
        instance,
        &key,
        definition.as_deref(),
        organization,
        &observed,
    );
    if let Err(rejection) = &plan
        && lost::find(operator, &key, &uid, rejection).await?
    {
        // They are in the cache now.
        return Ok(Action::requeue(Duration::ZERO));
    }

    let installed = instance.status.as_ref().and_then(|s| s.version.as_deref());
    let (refusals, failure, keeps_jobs) = match &plan {
        Ok(desired) if !instance.spec.paused => {
            let mut outcome = apply::apply(operator, &key, &children, desired, installed).await;
            if outcome.made_progress {
                operator.backoff.reset(&key);
            }
            let lasts = operator.backoff.count(&key) >= FAILURES_THAT_LAST;
            outcome
                .refusals
                .extend(outcome.failure.iter().filter(|_| lasts).map(lasting));
            (outcome.refusals, outcome.failure, outcome.keeps_jobs)
        }
        _ => (Vec::new(), None, false),
    };

    // What was just written is in the cache already: the report speaks of it.
    let observed = observe::refresh(operator, &key, &uid, observed);
    let report = plan::health::report(instance, plan.as_ref(), &observed, &refusals, now);
    report::report(
        operator,
        instance,
        &key,
        plan.as_ref().ok(),
        &observed,
        &report,
    )
    .await?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let wake = report
        .look_again
        .and_then(|at| Duration::try_from(at.duration_since(Timestamp::now())).ok())
        // A moment later than the deadline, so that it has passed when we look.
        .map(|wait| wait + Duration::from_millis(200));
    let waits_for_room = plan.as_ref().is_err_and(Rejection::waits_for_room);
    let again = if waits_for_room && operator.grants.others_wait(&key) {
        Some(CROWDED_AGAIN)
    } else {
        (waits_for_room || !refusals.is_empty()).then_some(REFUSED_AGAIN)
    };
    let trouble = operator.troubles.look_again(&key);
    let tidy = keeps_jobs.then_some(TIDY_AGAIN);
    Ok([wake, again, trouble, tidy]
        .into_iter()
        .flatten()
        .min()
        .map_or_else(Action::await_change, Action::requeue))
}

/// What the instance should be, with the room that others leave it.
fn decide(
    operator: &Instances,
    instance: &AppInstance,
    key: &InstanceKey,
    definition: Option<&AppDefinition>,
    organization: Option<OrganizationFacts>,
    observed: &Observed,
) -> Result<DesiredState, Rejection> {
    let token = host_token();
    let counted = operator.cache.counted(&key.namespace);
    let taken = quota::taken(observed);
    operator.grants.decide(key, counted, taken, |room| {
        let context = Context {
            platform: &operator.platform,
            organization: organization.map(|facts| OrganizationFacts { room, ..facts }),
            observed,
            host_token: &token,
        };
        let plan = plan::desired_state(instance, definition, &context);
        let due = plan
            .as_ref()
            .map(|desired| quota::due(instance, desired, observed))
            .unwrap_or_default();
        (plan, due)
    })
}

/// Routes of hostnames that are not the instance's any more go at once, also while nothing else is
/// done to it: it is paused, or its wish cannot be granted.
async fn close_lost_names(
    operator: &Instances,
    key: &InstanceKey,
    children: &Children,
    observed: &Observed,
) -> Result<(), Failure> {
    for ((kind, name), child) in children {
        let Seen::Route { hostname, .. } = &child.seen else {
            continue;
        };
        let is_let_in = observed
            .domains
            .iter()
            .any(|domain| domain.is_routed && domain.hostname == *hostname);
        if *name != key.name && !is_let_in && !child.is_deleting {
            apply::delete_child(operator, key, *kind, name, child).await?;
        }
    }
    Ok(())
}

/// How many instances of its organization come before this one. Not counted for one that was
/// granted already: nobody asks.
fn earlier_instances(operator: &Instances, instance: &AppInstance, key: &InstanceKey) -> usize {
    if is_granted(instance) {
        return 0;
    }
    let turn = |instance: &AppInstance| {
        let created = instance.creation_timestamp().map(|created| created.0);
        (created, instance.name_any())
    };
    let own_turn = turn(instance);
    operator
        .cache
        .instances_in(&key.namespace)
        .iter()
        .filter(|other| other.name_any() != key.name)
        .filter(|other| is_granted(other) || turn(other) < own_turn)
        .count()
}

/// The finalizer is taken before anything is made that might have to be removed.
async fn take_finalizer(instance: &AppInstance, operator: &Instances) -> Result<(), Failure> {
    let api: Api<AppInstance> = Api::namespaced(
        operator.client.clone(),
        &instance.namespace().unwrap_or_default(),
    );
    let patch = serde_json::json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "AppInstance",
        "metadata": {
            "name": instance.name_any(),
            "uid": instance.uid(),
            "finalizers": [labels::INSTANCE_FINALIZER],
        },
    });
    let params = PatchParams::apply(labels::MANAGER).force();
    match api
        .patch_metadata(&instance.name_any(), &params, &Patch::Apply(&patch))
        .await
    {
        Ok(answer) => {
            operator.written.note(&key_of(instance), &answer.metadata);
            Ok(())
        }
        Err(source) => Err(Failure::Finalizer {
            name: instance.name_any(),
            source: Box::new(source),
        }),
    }
}

/// A token for a default host.
fn host_token() -> String {
    let mut random = rand::rng();
    (0..names::TOKEN_LENGTH)
        .map(|_| names::TOKEN_ALPHABET[random.random_range(0..names::TOKEN_ALPHABET.len())])
        .map(char::from)
        .collect()
}

fn key_of(instance: &AppInstance) -> InstanceKey {
    InstanceKey {
        namespace: instance.namespace().unwrap_or_default(),
        name: instance.name_any(),
    }
}
