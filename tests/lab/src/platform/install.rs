//! Installs or updates Tutti: kinds, platform, catalogue, and a first organization with a first
//! WordPress. A second run changes nothing.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use crds::{AppDefinition, AppInstance, Domain, condition};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, ResourceExt as _};

use super::{
    Target,
    access::Access,
    catalogue,
    images::{self, Digests},
    mail,
    release::Release,
    target::run,
};
use crate::{
    cache::{self, Cache},
    internet, pki,
    process::run_with_input,
    steps::{Step, Steps},
    tell,
};

/// The namespace of operator and gateway.
pub const NAMESPACE: &str = "tutti-system";
/// The Secret that the gateway shows its certificate from.
const CERTIFICATE: &str = "platform-certificate";
/// Marks of a certificate that was made here: what it is (a key of its text), for which zone, and
/// until when. A certificate that somebody brings has another key, whatever else stays.
const MADE: &str = "tutti.dev/certificate-made-here";
const MADE_FOR: &str = "tutti.dev/certificate-zone";
const MADE_UNTIL: &str = "tutti.dev/certificate-not-after";
/// A certificate that was made here is made anew when it ends sooner than this.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The first instance: enough to see that everything works.
const FIRST: &str = include_str!("../../../../examples/wordpress.yaml");
/// What a person may order next.
const ONE_MORE: &str = "examples/mediawiki.yaml";
/// Pulling images and starting two programs; on a slow machine, behind a slow registry.
const PLATFORM_PATIENCE: &str = "5m";
/// The database of the platform's own services, as the chart wants it.
const DATABASE: &str = "postgresql:17";
/// The Secret with the code that makes the first administrator.
const BOOTSTRAP: &str = "idm-bootstrap";
/// The Domain by which the chart asks for the platform's certificate.
const PLATFORM_DOMAIN: &str = "platform";
/// An operator that has just started, and an authority on the same machine.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(120);
/// The first WordPress, whose images have to be pulled, too.
const INSTANCE_PATIENCE: Duration = Duration::from_secs(600);
/// Something that only somebody's deed can end, and that does not end by itself for so long.
const STALLED_PATIENCE: Duration = Duration::from_secs(90);

/// Installs or updates everything, and ends with the link to click.
pub fn install(target: &Target, zone: Option<&str>) -> Result<()> {
    let repository = catalogue::repository()?;
    let digests = images::digests(&repository)?;
    let access = Access::choose(target, zone)?;
    let steps = Steps::new();
    steps.step("namespace and certificate", |step| {
        certificate(target, &access.zone, step)
    })?;
    steps.step("kinds (chart tutti-crds)", |_| kinds(target, &repository))?;
    if target.lab.is_some() {
        // Before idm, whose pods wait for its Secret.
        steps.step("mail catcher", |_| mail_catcher(target, &access, &digests))?;
    }
    steps.step("platform (chart tutti)", |step| {
        platform(target, &repository, &access, &digests)?;
        wait_for_platform(target, step)
    })?;
    steps.step("catalogue of apps", |_| {
        catalogue_of_apps(target, &repository, &digests)
    })?;
    let instance = steps.step("a first WordPress (appi/blog in acme)", |step| {
        // Once it is there it is its owner's, with all that they have changed.
        if first(target)?.is_none() {
            apply_as_a_person(target, FIRST)?;
        }
        wait_for_first(target, step)
    })?;
    farewell(target, &access, &instance, &steps)
}

/// The platform's certificate. The lab's authorities are asked for one by the platform itself, with
/// what is put in place here. A cluster of your own has one that somebody put there, or gets one of an
/// authority of its own, said out loud.
fn certificate(target: &Target, zone: &str, step: &Step) -> Result<()> {
    apply(
        target,
        &format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
             pod-security.kubernetes.io/enforce: restricted\n"
        ),
    )?;
    if let Some(lab) = &target.lab {
        for secret in internet::secrets(lab, NAMESPACE)? {
            apply(target, &secret.to_string())?;
        }
        return Ok(());
    }
    let found = runtime()?.block_on(async {
        let api: Api<Secret> = Api::namespaced(target.client().await?, NAMESPACE);
        anyhow::Ok(api.get_opt(CERTIFICATE).await?)
    })?;
    if !must_make(found.as_ref(), zone, jiff::Timestamp::now()) {
        return Ok(());
    }
    let folder = authority_folder(target);
    let site = pki::sign_site(&folder, target.context().unwrap_or_default(), zone)?;
    let until = jiff::Timestamp::try_from(site.not_after)?;
    let marks = BTreeMap::from([
        (MADE, cache::key([site.certificate.as_bytes()])),
        (MADE_FOR, zone.to_owned()),
        (MADE_UNTIL, until.to_string()),
    ]);
    let files = BTreeMap::from([
        ("tls.crt", site.certificate),
        ("tls.key", site.key),
        ("ca.crt", site.authority),
    ]);
    apply_certificate(target, &files, &marks)?;
    step.say(&format!(
        "the certificate for *.{zone} is of an authority made for this cluster: browsers warn \
         until {} is imported, or until you put a certificate of yours into the Secret \
         {NAMESPACE}/{CERTIFICATE}",
        folder.join("ca.crt").display()
    ));
    Ok(())
}

/// Whether the platform's certificate has to be made: there is none, or one that was made here is
/// for another zone or ends soon. What somebody brought is never touched.
fn must_make(found: Option<&Secret>, zone: &str, now: jiff::Timestamp) -> bool {
    let Some(secret) = found else {
        return true;
    };
    if !is_made_here(secret) {
        return false;
    }
    let until = secret.annotations().get(MADE_UNTIL);
    let until = until.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let is_fresh = until
        .is_some_and(|until| until.as_second() - now.as_second() > RENEW_BEFORE.as_secs() as i64);
    !is_fresh
        || secret
            .annotations()
            .get(MADE_FOR)
            .is_none_or(|of| of != zone)
}

fn is_made_here(secret: &Secret) -> bool {
    let certificate = secret.data.as_ref().and_then(|data| data.get("tls.crt"));
    let certificate = certificate.map(|bytes| cache::key([bytes.0.as_slice()]));
    certificate.is_some() && secret.annotations().get(MADE) == certificate.as_ref()
}

/// Where the authority of a cluster is kept: beside what was built, so that it outlives clusters
/// that come and go by the same name.
fn authority_folder(target: &Target) -> PathBuf {
    let context = target.context().unwrap_or_default();
    let name: String = context
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    Cache::from_environment().entry("clusters").join(name)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn apply_certificate(
    target: &Target,
    files: &BTreeMap<&str, String>,
    marks: &BTreeMap<&str, String>,
) -> Result<()> {
    let encode = |text: &String| base64::engine::general_purpose::STANDARD.encode(text);
    let data: BTreeMap<&str, String> = files
        .iter()
        .map(|(name, text)| (*name, encode(text)))
        .collect();
    apply(
        target,
        &serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": { "name": CERTIFICATE, "namespace": NAMESPACE, "annotations": marks },
            "data": data,
        })
        .to_string(),
    )
}

fn kinds(target: &Target, repository: &Path) -> Result<()> {
    let release = Release {
        name: "tutti-crds",
        chart: repository.join("charts/tutti-crds"),
        flags: vec!["--wait".to_owned()],
        ..Release::default()
    };
    release.provide(target)
}

/// What was built under a name and tag.
fn digest_of(digests: &Digests, name: &str) -> Result<String> {
    let digest = digests.get(name).cloned();
    digest.with_context(|| format!("image {name} was not built; run make images"))
}

fn mail_catcher(target: &Target, access: &Access, digests: &Digests) -> Result<()> {
    let digest = digest_of(digests, mail::IMAGE)?;
    let image = format!("{}/{}@{digest}", target.registry, mail::IMAGE);
    apply(target, &mail::objects(access, &image)?)
}

fn platform(target: &Target, repository: &Path, access: &Access, digests: &Digests) -> Result<()> {
    let digest = |component: &str| {
        let name = format!("{component}:{}", env!("CARGO_PKG_VERSION"));
        digest_of(digests, &name)
    };
    let mut values = BTreeMap::from([
        ("platform.zone", access.zone.clone()),
        ("platform.publicHttpsPort", access.https_port.to_string()),
        ("platform.publicHttpPort", access.http_port.to_string()),
        ("platform.imageRegistry", target.registry.clone()),
        ("image.registry", target.registry.clone()),
        ("operator.image.repository", "operator".to_owned()),
        ("operator.image.digest", digest("operator")?),
        ("gateway.image.repository", "gateway".to_owned()),
        ("gateway.image.digest", digest("gateway")?),
        ("idm.image.repository", "idm".to_owned()),
        ("idm.image.digest", digest("idm")?),
        ("postgresql.digest", digest_of(digests, DATABASE)?),
    ]);
    let mut release = Release {
        name: "tutti",
        chart: repository.join("charts/tutti"),
        ..Release::default()
    };
    if let Some(lab) = &target.lab {
        let values = repository.join("charts/tutti/ci/lab-values.yaml");
        release.values = vec![values, internet::write_values(lab)?];
    } else {
        // Whoever owns the cluster may have set more, such as imagePullSecrets.
        release.flags.push("--reset-then-reuse-values".to_owned());
    }
    if let Some(service) = &access.service {
        values.insert("gateway.service.type", service.clone());
    }
    for (name, value) in values {
        // Ports are numbers; everything else is text, whatever it looks like.
        let is_number = name.ends_with("Port");
        let flag = if is_number { "--set" } else { "--set-string" };
        release.flags.push(format!("{flag}={name}={value}"));
    }
    release.provide(target)
}

/// Waits for our own services. Helm's own waiting would also wait for an address of a load
/// balancer, which some clusters never give.
fn wait_for_platform(target: &Target, step: &Step) -> Result<()> {
    let catcher = target.lab.as_ref().map(|_| "maildev");
    for program in ["operator", "gateway", "idm"].into_iter().chain(catcher) {
        if program == "gateway" && target.lab.is_some() {
            // It is ready when it has something to show to everybody.
            wait_for_certificate(target, step)?;
        }
        step.detail(program);
        let mut kubectl = target.kubectl();
        kubectl.args(["rollout", "status", &format!("deployment/{program}")]);
        kubectl.args(["--namespace", NAMESPACE, "--timeout", PLATFORM_PATIENCE]);
        run(&mut kubectl).map_err(|error| {
            let mut get = target.kubectl();
            get.args(["get", "pods", "--namespace", NAMESPACE, "--output", "wide"]);
            match run(&mut get) {
                Ok(pods) => error.context(format!("{program} does not become ready:\n{pods}")),
                Err(_) => error,
            }
        })?;
    }
    Ok(())
}

/// Waits for the platform's certificate, and shows what it waits for.
fn wait_for_certificate(target: &Target, step: &Step) -> Result<()> {
    runtime()?.block_on(async {
        let api: Api<Domain> = Api::namespaced(target.client().await?, NAMESPACE);
        let begun = Instant::now();
        loop {
            let status = api.get(PLATFORM_DOMAIN).await?.status.unwrap_or_default();
            if status.certificate.is_some() {
                return Ok(());
            }
            let ready = condition::find(&status.conditions, condition::READY);
            let message = ready.map_or("not seen by the operator yet", |r| r.message.as_str());
            step.detail(message);
            if begun.elapsed() > CERTIFICATE_PATIENCE {
                bail!(
                    "the platform has no certificate: {message}; see kubectl describe \
                     dom/{PLATFORM_DOMAIN} -n {NAMESPACE}, and make logs"
                );
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    })
}

/// Definitions, with every image pinned to what was built.
fn catalogue_of_apps(target: &Target, repository: &Path, digests: &Digests) -> Result<()> {
    for mut definition in catalogue::definitions(repository)? {
        pin(&mut definition, digests);
        apply(target, &serde_json::to_string(&definition)?)?;
    }
    Ok(())
}

/// Replaces `wordpress:6.8` by `wordpress:6.8@sha256:…` where it was built here.
fn pin(definition: &mut AppDefinition, digests: &Digests) {
    for version in &mut definition.spec.versions {
        if let Some(digest) = digests.get(&version.image) {
            version.image = format!("{}@{digest}", version.image);
        }
    }
}

/// Applies on the server's side: what somebody else set stays.
fn apply(target: &Target, objects: &str) -> Result<()> {
    let flags = [
        "--server-side",
        "--force-conflicts",
        "--field-manager",
        "tutti-install",
    ];
    kubectl_apply(target, objects, &flags)
}

/// Applies as people do who type `kubectl apply`, and who may do so with the same file later.
fn apply_as_a_person(target: &Target, objects: &str) -> Result<()> {
    let applied = kubectl_apply(target, objects, &[]);
    match &applied {
        // Somebody made the same object between kubectl's look and its deed.
        Err(error) if error.to_string().contains("AlreadyExists") => {
            kubectl_apply(target, objects, &[])
        }
        _ => applied,
    }
}

fn kubectl_apply(target: &Target, objects: &str, flags: &[&str]) -> Result<()> {
    let mut kubectl = target.kubectl();
    kubectl.arg("apply").args(flags).args(["--filename", "-"]);
    run_with_input(&mut kubectl, Some(objects)).map(drop)
}

/// The first instance, when it is there.
fn first(target: &Target) -> Result<Option<AppInstance>> {
    runtime()?.block_on(async {
        let api: Api<AppInstance> = Api::namespaced(target.client().await?, "acme");
        Ok(api.get_opt("blog").await?)
    })
}

/// Waits for the first instance, and shows what it waits for. One that its owner has stopped stays so.
fn wait_for_first(target: &Target, step: &Step) -> Result<AppInstance> {
    runtime()?.block_on(async {
        let api: Api<AppInstance> = Api::namespaced(target.client().await?, "acme");
        let begun = Instant::now();
        let mut well = begun;
        loop {
            let instance = api.get("blog").await?;
            if instance.spec.stopped || instance.spec.replicas == Some(0) {
                step.say(
                    "it was stopped, and stays so until: kubectl patch appi/blog -n acme --type merge \
                     -p '{\"spec\":{\"stopped\":false,\"replicas\":1}}'",
                );
                return Ok(instance);
            }
            let status = instance.status.clone().unwrap_or_default();
            let ready = condition::find(&status.conditions, condition::READY);
            if ready.is_some_and(|ready| ready.status == "True") {
                return Ok(instance);
            }
            let message = ready.map_or("not seen by the operator yet", |r| r.message.as_str());
            step.detail(message);
            if !condition::is_true(&status.conditions, condition::STALLED) {
                well = Instant::now();
            }
            if begun.elapsed() > INSTANCE_PATIENCE || well.elapsed() > STALLED_PATIENCE {
                bail!(
                    "appi/blog is not ready: {message}; see kubectl describe appi/blog -n acme, \
                     and make logs"
                );
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    })
}

/// What a person does next.
fn farewell(target: &Target, access: &Access, instance: &AppInstance, steps: &Steps) -> Result<()> {
    let url = instance
        .status
        .as_ref()
        .and_then(|s| s.url.clone())
        .unwrap_or_default();
    let (definition, secret, gateway, certificate) = runtime()?.block_on(async {
        let client = target.client().await?;
        let definitions: Api<AppDefinition> = Api::all(client.clone());
        let definition = definitions.get(&instance.spec.app).await?;
        let admin = definition.spec.admin.clone();
        let secret = match admin.and_then(|admin| admin.password_secret) {
            Some(name) => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), "acme");
                secrets
                    .get_metadata_opt(&format!("{}-{name}", instance.name_any()))
                    .await?
            }
            None => None,
        };
        let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
        let gateway = services.get("gateway").await?;
        let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
        let certificate = secrets.get_opt(CERTIFICATE).await?;
        anyhow::Ok((definition, secret, gateway, certificate))
    })?;
    let kubectl = match target.context() {
        Some(context) => format!("kubectl --context {context}"),
        None => "kubectl".to_owned(),
    };
    tell!();
    tell!("Tutti runs ({}).", steps.elapsed());
    tell!();
    tell!("  {:<13} {url}", definition.spec.title);
    if let Some(admin) = definition.spec.admin {
        tell!("  sign in       {url}{}", admin.path.unwrap_or_default());
        tell!("  user name     {}", admin.user);
    }
    if let Some(secret) = secret {
        tell!(
            "  password      {kubectl} get secret {} -n acme -o jsonpath='{{.data.value}}' | base64 -d; echo",
            secret.name_any()
        );
    }
    tell!(
        "  people        {} (the first administrator: /bootstrap, with the code)",
        access.sign_in()
    );
    tell!(
        "  code          {kubectl} get secret {BOOTSTRAP} -n {NAMESPACE} -o jsonpath='{{.data.code}}' | base64 -d; echo"
    );
    if let Some(lab) = &target.lab {
        tell!(
            "  mail          {} (all that is sent; everybody who opens it reads it)",
            access.url(mail::HOST)
        );
        tell!(
            "  certificate   {} (import it, and browsers trust the link)",
            lab.trust.display()
        );
        if (lab.http_port, lab.https_port) != (80, 443) {
            tell!(
                "  ports         {} and {}, because 80 or 443 were taken",
                lab.http_port,
                lab.https_port
            );
        }
        tell!();
        tell!("  kubectl and helm of the lab:   eval \"$(make -s env)\"");
    } else {
        if certificate.as_ref().is_some_and(is_made_here) {
            tell!("  certificate   {}", authority_of(target));
        }
        let host = url.trim_start_matches("https://");
        let host = host.split([':', '/']).next().unwrap_or_default();
        for (label, text) in access.steps(&kubectl, host, &gateway) {
            tell!("  {label:<13} {text}");
        }
        tell!();
    }
    tell!("  what there is:                 {kubectl} get tutti -A");
    tell!("  one more:                      {kubectl} apply -f {ONE_MORE}");
    Ok(())
}

/// How a person gets the authority that signed the platform's certificate: it may have been made on
/// another machine.
fn authority_of(target: &Target) -> String {
    let file = authority_folder(target).join("ca.crt");
    if file.exists() {
        return format!(
            "{} (import it, and browsers trust the link)",
            file.display()
        );
    }
    format!("the authority to import is ca.crt in the Secret {NAMESPACE}/{CERTIFICATE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(zone: &str, until: &str) -> Secret {
        let certificate = "a certificate";
        serde_json::from_value(serde_json::json!({
            "metadata": { "annotations": {
                MADE: cache::key([certificate.as_bytes()]),
                MADE_FOR: zone,
                MADE_UNTIL: until,
            } },
            "data": { "tls.crt": k8s_openapi::ByteString(certificate.into()) },
        }))
        .unwrap()
    }

    #[test]
    fn a_certificate_is_made_once_and_again_for_another_zone_or_before_its_end() {
        let now: jiff::Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let good = made("a.example", "2027-06-01T00:00:00Z");
        assert!(must_make(None, "a.example", now));
        assert!(!must_make(Some(&good), "a.example", now));
        assert!(must_make(Some(&good), "b.example", now));
        let ending = made("a.example", "2026-06-20T00:00:00Z");
        assert!(must_make(Some(&ending), "a.example", now));
    }

    #[test]
    fn a_certificate_that_somebody_brought_is_never_replaced() {
        let now: jiff::Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        assert!(!must_make(Some(&Secret::default()), "a.example", now));
        // Put in the place of one that was made here, whose marks stay.
        let mut brought = made("a.example", "2026-06-02T00:00:00Z");
        let data = brought.data.get_or_insert_default();
        data.insert("tls.crt".to_owned(), k8s_openapi::ByteString(b"x".to_vec()));
        assert!(!must_make(Some(&brought), "b.example", now));
    }

    #[test]
    fn the_readme_shows_what_is_printed() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
        let line = format!("  one more:                      kubectl apply -f {ONE_MORE}\n");
        assert!(readme.contains(&line));
        assert!(root.join(ONE_MORE).is_file());
    }

    #[test]
    fn images_that_were_built_are_pinned_and_others_left_alone() {
        let yaml = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../apps/wordpress/app.yaml"
        ))
        .unwrap();
        let mut definition: AppDefinition = serde_saphyr::from_str(&yaml).unwrap();
        let digests = Digests::from([("wordpress:6.8".to_owned(), "sha256:abc".to_owned())]);
        pin(&mut definition, &digests);
        let images: Vec<&str> = definition
            .spec
            .versions
            .iter()
            .map(|version| version.image.as_str())
            .collect();
        assert_eq!(images, ["wordpress:6.8@sha256:abc", "wordpress:6.1"]);
    }
}
