//! Installs or updates Tutti: kinds, platform, catalogue, and a first organization with a first
//! WordPress. Everything is applied, nothing is asked first: a second run changes nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use crds::{AppDefinition, AppInstance, condition};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};

use super::{
    Target, catalogue,
    images::{self, Digests},
    target::run,
};
use crate::steps::{Step, Steps};

/// The namespace of operator and gateway.
pub const NAMESPACE: &str = "tutti-system";
/// The zone of the lab: browsers resolve every name below it to this machine.
const LAB_ZONE: &str = "tutti.localhost";
/// The Secret that the gateway shows its certificate from.
const CERTIFICATE: &str = "platform-certificate";
/// The first instance: enough to see that everything works.
const FIRST: &str = include_str!("../../../../examples/wordpress.yaml");
/// Pulling images and starting two programs; on a slow machine, behind a slow registry.
const PLATFORM_PATIENCE: &str = "5m";
/// The first WordPress, whose images have to be pulled, too.
const INSTANCE_PATIENCE: Duration = Duration::from_secs(600);
/// Something that only somebody's deed can end, and that does not end by itself for so long.
const STALLED_PATIENCE: Duration = Duration::from_secs(90);

/// Installs or updates everything, and ends with the link to click.
pub fn install(target: &Target, zone: Option<&str>) -> Result<()> {
    let repository = catalogue::repository()?;
    let digests = images::digests(&repository)?;
    let zone = match (zone, &target.lab) {
        (Some(zone), _) => zone,
        (None, Some(_)) => LAB_ZONE,
        (None, None) => bail!(
            "--zone is missing: the DNS zone that apps get their addresses in, such as \
             ZONE=apps.example.com, with a wildcard record that leads to the cluster"
        ),
    };
    let steps = Steps::new();
    steps.step("namespace and certificate", |step| {
        certificate(target, zone, step)
    })?;
    steps.step("kinds (chart tutti-crds)", |_| kinds(target, &repository))?;
    steps.step("platform (chart tutti)", |_| {
        platform(target, &repository, zone, &digests)
    })?;
    steps.step("catalogue of apps", |_| {
        catalogue_of_apps(target, &repository, &digests)
    })?;
    let instance = steps.step("a first WordPress (appi/blog in acme)", |step| {
        apply(target, FIRST)?;
        wait_for_first(target, step)
    })?;
    farewell(target, &instance, &steps)
}

/// The platform's certificate: the lab's, or one that somebody put there. A cluster of your own
/// without one gets a self-signed one, said out loud.
fn certificate(target: &Target, zone: &str, step: &Step) -> Result<()> {
    apply(
        target,
        &format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
             pod-security.kubernetes.io/enforce: restricted\n"
        ),
    )?;
    if let Some(lab) = &target.lab {
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        return apply_certificate(
            target,
            &read(&lab.certificate)?,
            &read(&lab.certificate_key)?,
        );
    }
    let mut get = target.kubectl();
    get.args([
        "get",
        "secret",
        CERTIFICATE,
        "--namespace",
        NAMESPACE,
        "--ignore-not-found",
    ]);
    if run(get.args(["--output", "name"]))?.trim().is_empty() {
        let key = rcgen::KeyPair::generate()?;
        let names = vec![zone.to_owned(), format!("*.{zone}")];
        let certificate = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
        apply_certificate(target, &certificate.pem(), &key.serialize_pem())?;
        step.say(&format!(
            "the platform's certificate is self-signed, browsers will warn: put one for *.{zone} \
             into Secret {NAMESPACE}/{CERTIFICATE}"
        ));
    }
    Ok(())
}

fn apply_certificate(target: &Target, certificate: &str, key: &str) -> Result<()> {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    apply(
        target,
        &serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": { "name": CERTIFICATE, "namespace": NAMESPACE },
            "data": { "tls.crt": encode(certificate), "tls.key": encode(key) },
        })
        .to_string(),
    )
}

fn kinds(target: &Target, repository: &Path) -> Result<()> {
    let mut helm = target.helm();
    helm.args(["upgrade", "--install", "tutti-crds"])
        .arg(repository.join("charts/tutti-crds"));
    run(helm.args(["--namespace", NAMESPACE, "--wait"])).map(drop)
}

fn platform(target: &Target, repository: &Path, zone: &str, digests: &Digests) -> Result<()> {
    let digest = |component: &str| {
        let name = format!("{component}:{}", env!("CARGO_PKG_VERSION"));
        digests
            .get(&name)
            .cloned()
            .with_context(|| format!("image {name} was not built; run make images"))
    };
    let mut values = BTreeMap::from([
        ("platform.zone", zone.to_owned()),
        ("platform.imageRegistry", target.registry.clone()),
        ("image.registry", target.registry.clone()),
        ("operator.image.repository", "operator".to_owned()),
        ("operator.image.digest", digest("operator")?),
        ("gateway.image.repository", "gateway".to_owned()),
        ("gateway.image.digest", digest("gateway")?),
    ]);
    let mut helm = target.helm();
    helm.args(["upgrade", "--install", "tutti"])
        .arg(repository.join("charts/tutti"));
    if let Some(lab) = &target.lab {
        helm.arg("--values")
            .arg(repository.join("charts/tutti/ci/lab-values.yaml"));
        values.insert("platform.publicHttpsPort", lab.https_port.to_string());
        values.insert("platform.publicHttpPort", lab.http_port.to_string());
    }
    for (name, value) in values {
        // Ports are numbers; everything else is text, whatever it looks like.
        let is_number = name.ends_with("Port");
        helm.arg(if is_number { "--set" } else { "--set-string" })
            .arg(format!("{name}={value}"));
    }
    run(helm.args([
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        PLATFORM_PATIENCE,
    ]))
    .map(drop)
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
    let mut kubectl = target.kubectl();
    kubectl.args([
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager",
        "tutti-install",
    ]);
    let mut child = kubectl
        .args(["--filename", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start kubectl")?;
    child
        .stdin
        .take()
        .context("kubectl takes no input")?
        .write_all(objects.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "kubectl apply failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Waits for the first instance, and shows what it waits for.
fn wait_for_first(target: &Target, step: &Step) -> Result<AppInstance> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let api: Api<AppInstance> = Api::namespaced(target.client().await?, "acme");
        let begun = Instant::now();
        let mut well = begun;
        loop {
            let instance = api.get("blog").await?;
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
fn farewell(target: &Target, instance: &AppInstance, steps: &Steps) -> Result<()> {
    let url = instance
        .status
        .as_ref()
        .and_then(|s| s.url.clone())
        .unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (definition, secret) = runtime.block_on(async {
        let client = target.client().await?;
        let definitions: Api<AppDefinition> = Api::all(client.clone());
        let definition = definitions.get(&instance.spec.app).await?;
        let admin = definition.spec.admin.clone();
        let secret = match admin.and_then(|admin| admin.password_secret) {
            Some(name) => {
                let secrets: Api<Secret> = Api::namespaced(client, "acme");
                secrets
                    .get_metadata_opt(&format!("{}-{name}", instance.name_any()))
                    .await?
            }
            None => None,
        };
        anyhow::Ok((definition, secret))
    })?;
    let kubectl = match target.context() {
        Some(context) => format!("kubectl --context {context}"),
        None => "kubectl".to_owned(),
    };
    println!();
    println!("Tutti runs ({}).", steps.elapsed());
    println!();
    println!("  {} {}", definition.spec.title, url);
    if let Some(admin) = definition.spec.admin {
        println!("  sign in       {url}{}", admin.path.unwrap_or_default());
        println!("  user name     {}", admin.user);
    }
    if let Some(secret) = secret {
        println!(
            "  password      {kubectl} get secret {} -n acme -o jsonpath='{{.data.value}}' | base64 -d; echo",
            secret.name_any()
        );
    }
    if let Some(lab) = &target.lab {
        println!(
            "  certificate   {} (import it, and browsers trust the link)",
            lab.certificate_authority.display()
        );
        if lab.https_port != 443 {
            println!(
                "  ports         {} and {}, because 80 or 443 were taken",
                lab.http_port, lab.https_port
            );
        }
        println!();
        println!("  kubectl and helm of the lab:   eval \"$(make -s env)\"");
    }
    println!("  what there is:                 {kubectl} get tutti -A");
    println!("  one more:                      {kubectl} apply -f examples/mediawiki.yaml");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
