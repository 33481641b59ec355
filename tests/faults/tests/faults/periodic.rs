//! Periodic jobs that do not run: told beside `Ready` with Kubernetes' words, once, until one runs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use crds::{
    condition::{self, Condition},
    labels,
};
use faults::{
    incarnation::Manner,
    mischief::Mischief,
    run::Life,
    stage::{self, PATIENCE},
    stories::{INSTANCE, Story},
};
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, Job},
        core::v1::Event,
    },
    jiff::Timestamp,
};
use kube::{
    Resource as _, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

/// The periodic job of the app.
const CRON_JOB: &str = "shop-tidy";
/// Of it the first run.
const RUN: &str = "shop-tidy-29001234";
/// Why it has no pod.
const REFUSED: &str =
    "exceeded quota: tutti, requested: limits.memory=64Mi, used: limits.memory=8Gi";

/// Makes a run as the controller of CronJobs does.
async fn begin_run(life: &Life) -> Result<Job> {
    let cron_job = life.ground.objects::<CronJob>().get(CRON_JOB).await?;
    let mut template = cron_job.spec.clone().context("no spec")?.job_template;
    let metadata = template.metadata.get_or_insert_default();
    metadata.name = Some(RUN.to_owned());
    metadata.owner_references = Some(vec![
        cron_job.controller_owner_ref(&()).context("no owner")?,
    ]);
    let run: Job = serde_json::from_value(json!(template))?;
    let jobs = life.ground.objects::<Job>();
    Ok(jobs.create(&PostParams::default(), &run).await?)
}

/// Says as the controller of Jobs does that its pod was refused.
async fn refuse_pod(life: &Life, run: &Job) -> Result<()> {
    let events = life.ground.objects::<Event>();
    let event: Event = serde_json::from_value(json!({
        "metadata": { "name": format!("{RUN}.1") },
        "involvedObject": run.object_ref(&()),
        "reason": "FailedCreate",
        "type": "Warning",
        "message": format!("Error creating: pods \"{RUN}-abcde\" is forbidden: {REFUSED}"),
    }))?;
    events.create(&PostParams::default(), &event).await?;
    Ok(())
}

async fn write_status(life: &Life, status: Value) -> Result<()> {
    let jobs = life.ground.objects::<Job>();
    let patch = Patch::Merge(json!({ "status": status }));
    jobs.patch_status(RUN, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// Waits until the condition of the periodic jobs has this reason.
async fn told(life: &Life, reason: &str) -> Result<Condition> {
    let begun = Instant::now();
    loop {
        let status = life.ground.instances.get(INSTANCE).await?.status;
        let conditions = status.unwrap_or_default().conditions;
        ensure!(
            condition::is_true(&conditions, condition::READY),
            "a site that answers is ready: {conditions:?}"
        );
        match condition::find(&conditions, condition::PERIODIC_JOBS_READY) {
            Some(told) if told.reason == reason => return Ok(told.clone()),
            told if begun.elapsed() > PATIENCE => bail!("{reason} was expected, it is {told:?}"),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// How many warnings of this reason there are about the instance.
async fn warnings(life: &Life, reason: &str) -> Result<usize> {
    let events = life.ground.objects::<Event>();
    let fields = format!("involvedObject.kind=AppInstance,type=Warning,reason={reason}");
    let found = events.list(&ListParams::default().fields(&fields)).await?;
    Ok(found.items.len())
}

#[test]
fn a_periodic_job_that_the_quota_refuses_is_told_once_until_one_ends_well() {
    stage::test(async |stage| {
        let mut life = Life::begin(stage, "periodic", &Manner::default()).await?;
        life.tell(Story::Provision, Mischief::Calm).await?;
        let run = begin_run(&life).await?;
        ensure!(run.labels()[labels::INSTANCE] == INSTANCE, "{run:?}");
        refuse_pod(&life, &run).await?;
        let refused = told(&life, "PeriodicJobNotStarted").await?;
        ensure!(refused.message.contains(REFUSED), "{}", refused.message);

        // It is given up: what is known of it is not forgotten, and not written again.
        let now = Timestamp::now();
        let failed = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "DeadlineExceeded",
                "message": "Job was active longer than specified deadline",
                "lastTransitionTime": now, "lastProbeTime": now,
            })
        };
        write_status(
            &life,
            json!({ "startTime": now, "conditions": [failed("FailureTarget"), failed("Failed")] }),
        )
        .await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(told(&life, "PeriodicJobNotStarted").await? == refused);
        // Nor by another operator, which has to find it out anew.
        life.restart().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure!(told(&life, "PeriodicJobNotStarted").await? == refused);
        ensure!(warnings(&life, "PeriodicJobNotStarted").await? == 1);

        // The next one runs.
        let jobs = life.ground.objects::<Job>();
        jobs.delete(RUN, &kube::api::DeleteParams::background())
            .await?;
        begin_run(&life).await?;
        let holds = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": now, "lastProbeTime": now });
        write_status(
            &life,
            json!({
                "startTime": now, "completionTime": now, "succeeded": 1,
                "conditions": [holds("SuccessCriteriaMet"), holds("Complete")],
            }),
        )
        .await?;
        let well = told(&life, "EndedWell").await?;
        ensure!(well.status == "True", "{well:?}");
        Ok(())
    });
}
