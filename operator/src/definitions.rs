//! What is said of an AppDefinition: whether it is sound. Nothing else is done for one; instances
//! take the definition as it stands when they are looked at.

use std::{sync::Arc, time::Duration};

use crds::{AppDefinition, app_definition::AppDefinitionStatus, labels};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource as _, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use plan::{
    definition,
    health::{self, Finding, State},
};

use crate::{failure::Failure, metrics::Metrics, news::News};

/// What judging a definition needs.
pub struct Definitions {
    client: Client,
    metrics: Metrics,
    news: News,
}

impl Definitions {
    /// Everything that judging needs.
    #[must_use]
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self {
            news: News::new(client.clone()),
            client,
            metrics,
        }
    }
}

/// Judges one definition.
///
/// # Errors
/// When its status cannot be written.
#[tracing::instrument(
    name = "reconcile",
    skip_all,
    fields(
        kind = "AppDefinition",
        object = definition.name_any(),
        generation = definition.metadata.generation,
    )
)]
pub async fn reconcile(
    definition: Arc<AppDefinition>,
    operator: Arc<Definitions>,
) -> Result<Action, Failure> {
    let started = std::time::Instant::now();
    let result = write_status(&definition, &operator).await;
    operator
        .metrics
        .reconciled("appdefinition", started.elapsed(), result.as_ref().err());
    result.map(|()| Action::await_change())
}

/// When to try again after a failure.
#[must_use]
pub fn retry(definition: Arc<AppDefinition>, failure: &Failure, _: Arc<Definitions>) -> Action {
    tracing::warn!(
        object = definition.name_any(),
        generation = definition.metadata.generation,
        error = failure.chain(),
        "reconciliation failed"
    );
    Action::requeue(Duration::from_secs(5))
}

async fn write_status(definition: &AppDefinition, operator: &Definitions) -> Result<(), Failure> {
    let name = definition.name_any();
    let problems = definition::problems(&definition.spec);
    let finding = match problems.first() {
        None => Finding {
            state: State::Well,
            reason: "Sound",
            message: "instances can be made of it".to_owned(),
        },
        Some(first) => Finding {
            state: State::Stuck,
            reason: first.reason,
            message: problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        },
    };
    let before = definition.status.clone().unwrap_or_default();
    let generation = definition.metadata.generation;
    let after = AppDefinitionStatus {
        observed_generation: generation,
        versions: Some(versions(definition)),
        conditions: health::summary(&before.conditions, &finding, generation, Timestamp::now()),
    };
    if before == after {
        return Ok(());
    }
    let api: Api<AppDefinition> = Api::all(operator.client.clone());
    let patch = serde_json::json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "AppDefinition",
        "metadata": { "name": name },
        "status": after,
    });
    let params = PatchParams::apply(labels::MANAGER).force();
    match api
        .patch_status(&name, &params, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => {
            operator.metrics.wrote();
            let about = definition.object_ref(&());
            operator
                .news
                .tell(about, &before.conditions, &after.conditions);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Failure::Report {
            name,
            source: Box::new(source),
        }),
    }
}

fn versions(definition: &AppDefinition) -> String {
    let versions = definition.spec.versions.iter();
    let versions: Vec<&str> = versions.map(|version| version.version.as_str()).collect();
    versions.join(", ")
}
