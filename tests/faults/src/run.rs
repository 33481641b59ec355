//! One story with one fault, from an empty namespace to the end, in the sight of a proxy.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use crds::{AppInstance, Organization, condition};
use http::{Method, StatusCode};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    end_state::{self, EndState, Keepsakes},
    incarnation::{Incarnation, Manner},
    mischief::Mischief,
    proxy::Call,
    stage::{PATIENCE, Stage},
    stories::{Goal, INSTANCE, Story},
    watches::Fog,
    world,
};

/// A pass follows an event within milliseconds: after this long without a write it is over.
const QUIET: Duration = Duration::from_millis(150);

/// An organization of its own for one run.
pub struct Ground {
    pub stage: &'static Stage,
    pub namespace: String,
    pub instances: Api<AppInstance>,
}

/// How far the operator got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Reached,
    Killed,
}

impl Ground {
    /// A name that nobody had.
    pub fn new(stage: &'static Stage, story: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("{}-x{number}", story.to_lowercase());
        Self {
            stage,
            instances: Api::namespaced(stage.client.clone(), &namespace),
            namespace,
        }
    }

    /// Objects of a kind in its namespace.
    pub fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.stage.client.clone(), &self.namespace)
    }

    /// Founds the organization, and waits until the operator has made it.
    pub async fn found(&self, operator: &Incarnation) -> Result<()> {
        let api: Api<Organization> = Api::all(self.stage.client.clone());
        let object = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Organization",
            "metadata": { "name": self.namespace },
            "spec": { "title": "Acme" },
        });
        api.patch(
            &self.namespace,
            &PatchParams::apply("tests"),
            &Patch::Apply(object),
        )
        .await?;
        let end = Instant::now() + PATIENCE;
        loop {
            let found = api
                .get_status(&self.namespace)
                .await?
                .status
                .unwrap_or_default();
            if condition::is_true(&found.conditions, condition::READY) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("no organization: {:?}\n{}", found, listing(operator));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether the world has collected the garbage of an instance that is gone, the operator has let go of
    /// its part of it, and nobody protects any of it any more.
    async fn is_collected(&self) -> Result<bool> {
        let state = end_state::of(&self.stage.client, &self.namespace).await?;
        let mut all = state.values().map(|object| &object["metadata"]);
        Ok(all.all(|it| it["ownerReferences"].is_null() && it["isDeleting"] == json!(false)))
    }

    /// How the app's Deployment stands, for a person who looks for the reason.
    async fn workloads(&self) -> Result<String> {
        let api = self.objects::<Deployment>();
        let found = api.get_opt(INSTANCE).await?.map(|deployment| {
            let generation = deployment.metadata.generation;
            (
                generation,
                deployment.spec.and_then(|s| s.replicas),
                deployment.status,
            )
        });
        Ok(serde_json::to_string(&found)?)
    }

    /// Waits until the goal is reached and nothing is written any more, or the operator is killed. An
    /// instance is gone when its garbage is.
    pub async fn reach_and_rest(
        &self,
        operator: &Incarnation,
        goal: Goal,
        quiet: Duration,
        patience: Duration,
    ) -> Result<Progress> {
        let end = Instant::now() + patience;
        loop {
            if operator.is_dead() {
                return Ok(Progress::Killed);
            }
            if operator.proxy.quiet_for() >= quiet || Instant::now() > end {
                let instance = self.instances.get_opt(INSTANCE).await?;
                let is_reached = goal.is_reached(instance.as_ref());
                if is_reached && (goal != Goal::Gone || self.is_collected().await?) {
                    return Ok(Progress::Reached);
                }
                if Instant::now() > end {
                    bail!(
                        "{goal:?} was not reached: {}\n{}\n{}",
                        serde_json::to_string(&instance)?,
                        self.workloads().await?,
                        listing(operator)
                    );
                }
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
}

/// What the operator did, for a person who looks for the reason.
pub fn listing(operator: &Incarnation) -> String {
    list_calls(&operator.proxy.calls())
}

fn list_calls(calls: &[Call]) -> String {
    let Some(first) = calls.first().map(|call| call.at) else {
        return "no calls".to_owned();
    };
    let lines = calls.iter().filter(|call| !call.is_watching).map(|call| {
        format!(
            "  {:>7.3} {:>3} {} {} {:?} {}",
            call.at.duration_since(first).as_secs_f64(),
            call.write
                .as_ref()
                .map_or_else(String::new, |write| write.number.to_string()),
            call.method,
            call.path,
            call.deed,
            call.status
                .map_or_else(|| "-".to_owned(), |status| status.as_u16().to_string()),
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether the fault happened.
    pub has_fired: bool,
    /// Calls beside watches and the lease, of all lives.
    pub calls: Vec<Call>,
    /// How often the operator that ended it looked at the instance.
    pub passes: u64,
    /// How often the world wrote meanwhile.
    pub news: u64,
    /// From the deed to the end.
    pub took: Duration,
}

/// An instance through several stories, and the operator of the moment.
pub struct Life {
    pub ground: Ground,
    pub operator: Incarnation,
    manner: Manner,
    rest: Duration,
    patience: Duration,
}

impl Life {
    /// Founds an organization, with an operator that looks after it.
    pub async fn begin(stage: &'static Stage, name: &str, manner: &Manner) -> Result<Self> {
        let ground = Ground::new(stage, name);
        let operator = Incarnation::start(stage, &ground.namespace, manner).await?;
        ground.found(&operator).await?;
        Ok(Self {
            ground,
            operator,
            manner: manner.clone(),
            rest: QUIET,
            patience: PATIENCE,
        })
    }

    /// Waits longer: for operators that are told late, or wait themselves.
    pub fn patiently(mut self, rest: Duration, patience: Duration) -> Self {
        self.rest = rest;
        self.patience = patience;
        self
    }

    /// Starts another operator in the place of the one that was.
    pub async fn restart(&mut self) -> Result<()> {
        self.operator.kill();
        self.operator =
            Incarnation::start(self.ground.stage, &self.ground.namespace, &self.manner).await?;
        Ok(())
    }

    /// Waits until a goal is reached and nothing is written any more.
    ///
    /// # Errors
    /// When it is not reached in time.
    pub async fn reach(&self, goal: Goal) -> Result<Progress> {
        self.ground
            .reach_and_rest(&self.operator, goal, self.rest, self.patience)
            .await
    }

    /// Waits until `Ready` gives this reason; what it says.
    ///
    /// # Errors
    /// When it gives another one for so long.
    pub async fn ready_says(&self, reason: &str) -> Result<String> {
        let begun = Instant::now();
        loop {
            let instance = self.ground.instances.get(INSTANCE).await?;
            let status = instance.status.unwrap_or_default();
            match condition::find(&status.conditions, condition::READY) {
                Some(ready) if ready.reason == reason => return Ok(ready.message.clone()),
                ready if begun.elapsed() > PATIENCE => {
                    bail!("{reason} was expected, it is {ready:?}")
                }
                _ => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
    }

    /// Waits until it is as it was when the same story was told without a fault. That it was quiet
    /// at its goal is not enough: an operator that has just been started has not looked yet.
    ///
    /// # Errors
    /// When it is not so in time: the differences.
    pub async fn come_to_end(&self, story: Story) -> Result<()> {
        let clean = clean(self.ground.stage, story).await?;
        let end = Instant::now() + self.patience;
        loop {
            let found = self.end().await?;
            let checked = check_state(&clean.end, &found);
            if checked.is_ok() || Instant::now() > end {
                return checked.with_context(|| listing(&self.operator));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What there is.
    pub async fn end(&self) -> Result<EndState> {
        end_state::of(&self.ground.stage.client, &self.ground.namespace).await
    }

    /// Tells a story with a fault in it, and checks what must be so after any fault.
    pub async fn tell(&mut self, story: Story, mischief: Mischief) -> Result<Outcome> {
        let told = self.tell_unchecked(story, mischief.clone()).await;
        told.with_context(|| format!("{story:?} with {mischief:?}, {:?}", self.manner))
    }

    async fn tell_unchecked(&mut self, story: Story, mischief: Mischief) -> Result<Outcome> {
        let client = &self.ground.stage.client;
        let namespace = self.ground.namespace.clone();
        if story.prepare(&self.ground.instances).await? {
            self.reach(Goal::Running).await?;
        }
        let is_calm = matches!(mischief, Mischief::Calm) && self.manner.fog == Fog::Clear;
        let mut kept = if is_calm {
            Keepsakes::default()
        } else {
            Keepsakes::of(client, &namespace).await?
        };
        let mut passes = self.operator.reconciliations();
        let mut news = world::news(&namespace);
        self.operator.proxy.arm(mischief);
        let begun = Instant::now();
        story.act(&self.ground.instances).await?;
        let progress = self.reach(story.goal()).await?;
        let has_fired = self.operator.proxy.has_fired();
        let mut calls = self.operator.proxy.calls();
        if progress == Progress::Killed {
            // What was under way when it died may still arrive.
            tokio::time::sleep(Duration::from_millis(30)).await;
            kept = Keepsakes::of(client, &namespace).await?;
            news = world::news(&namespace);
            passes = 0;
            self.restart().await?;
            let reached = self.reach(story.goal()).await;
            reached.with_context(|| format!("the life before:\n{}", list_calls(&calls)))?;
            calls.extend(self.operator.proxy.calls());
        }
        let took = begun.elapsed();
        calls.retain(|call| !call.is_watching && !call.is_lease);
        let losses = if is_calm {
            Vec::new()
        } else {
            let later = Keepsakes::of(client, &namespace).await?;
            kept.losses(&later, story == Story::Destroy)
        };
        ensure!(losses.is_empty(), "{losses:?}\n{}", list_calls(&calls));
        let taken = taken_from_the_living(&calls);
        ensure!(
            taken.is_empty() || story == Story::Destroy,
            "data of a live instance was deleted: {taken:?}\n{}",
            list_calls(&calls)
        );
        let twice = made_twice(&calls);
        ensure!(
            twice.is_empty(),
            "made twice: {twice:?}\n{}",
            list_calls(&calls)
        );
        Ok(Outcome {
            has_fired,
            calls,
            passes: self.operator.reconciliations() - passes,
            news: world::news(&namespace) - news,
            took,
        })
    }
}

/// Volumes and jobs that were created more than once, as the API server's answers tell.
fn made_twice(calls: &[Call]) -> Vec<String> {
    let mut made: BTreeMap<&str, u32> = BTreeMap::new();
    for call in calls {
        let is_dear = ["/persistentvolumeclaims/", "/jobs/"]
            .iter()
            .any(|kind| call.path.contains(kind));
        if call.status == Some(StatusCode::CREATED) && is_dear {
            *made.entry(call.path.as_str()).or_default() += 1;
        }
    }
    made.into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// Deletions of volumes and Secrets.
fn taken_from_the_living(calls: &[Call]) -> Vec<String> {
    calls
        .iter()
        .filter(|call| call.method == Method::DELETE)
        .filter(|call| {
            call.path.contains("/persistentvolumeclaims/") || call.path.contains("/secrets/")
        })
        .map(|call| call.path.clone())
        .collect()
}

/// How many Secrets were created.
pub fn secrets_made(calls: &[Call]) -> usize {
    calls
        .iter()
        .filter(|call| call.method == Method::POST && call.path.contains("/secrets"))
        .filter(|call| call.status == Some(StatusCode::CREATED))
        .count()
}

/// A story without a fault: how it went, and what there was in the end.
#[derive(Clone, Debug)]
pub struct Clean {
    pub outcome: Outcome,
    pub end: EndState,
}

/// Every story without a fault, told once.
pub async fn clean(stage: &'static Stage, story: Story) -> Result<&'static Clean> {
    static TOLD: OnceCell<BTreeMap<Story, Clean>> = OnceCell::const_new();
    let told = TOLD
        .get_or_try_init(async || {
            let mut told = BTreeMap::new();
            for chain in [Story::FULL_LIFE.as_slice(), &Story::RETURN] {
                // Without a place: those that have one wait for it.
                let mut life = Life::begin(stage, "clean", &Manner::default()).await?;
                for story in chain {
                    let outcome = life.tell(*story, Mischief::Calm).await?;
                    let end = life.end().await?;
                    told.insert(*story, Clean { outcome, end });
                }
            }
            anyhow::Ok(told)
        })
        .await?;
    told.get(&story).context("a story that no chain has")
}

/// Whether two ends are the same.
///
/// # Errors
/// When they are not: the differences.
pub fn check_state(expected: &EndState, found: &EndState) -> Result<()> {
    let differences = end_state::differences(expected, found);
    ensure!(
        differences.is_empty(),
        "another end:\n  {}",
        differences.join("\n  ")
    );
    Ok(())
}
