//! Stand-ins for the built-ins of Tilt that the Tiltfile uses, with the parameters of Tilt's API
//! reference (https://docs.tilt.dev/api.html). A name that Tilt knows and this file does not is
//! refused too: add it here, with all of its parameters.

#![allow(
    unused_variables,
    clippy::too_many_arguments,
    reason = "the parameters are Tilt's"
)]
#![allow(
    unsafe_code,
    reason = "ProvidesStaticType has no safe derive: it writes `unsafe impl`"
)]

use std::{cell::RefCell, collections::BTreeMap};

use anyhow::{Context, Result, bail, ensure};
use starlark::{
    any::ProvidesStaticType,
    environment::{GlobalsBuilder, Module},
    eval::Evaluator,
    starlark_module,
    syntax::{AstModule, Dialect},
    values::{Value, dict::UnpackDictEntries, list::ListRef, none::NoneType},
};

use crate::repository;

/// What Tilt would have been told.
#[derive(Debug, Default)]
pub struct Seen {
    pub contexts: Vec<String>,
    pub registry: Option<String>,
    /// What makes each package be built anew.
    pub sources: BTreeMap<String, Vec<String>>,
    pub images: Vec<String>,
    pub live_updated: Vec<String>,
    pub charts: Vec<String>,
    /// Files of values and values, of all charts.
    pub values: Vec<String>,
    pub workloads: Vec<String>,
    pub links: Vec<String>,
    resources: Vec<String>,
    dependencies: Vec<String>,
}

/// One evaluation: the environment that it sees and what it says.
#[derive(Debug, ProvidesStaticType)]
pub struct Tilt {
    environment: BTreeMap<String, String>,
    pub seen: RefCell<Seen>,
}

impl Tilt {
    pub fn with_environment(variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            environment: variables.iter().map(own).collect(),
            seen: RefCell::default(),
        }
    }

    /// What can be said only at the end: a resource may be named before it is made.
    fn finish(&self) -> Result<()> {
        let seen = self.seen.borrow();
        for dependency in &seen.dependencies {
            ensure!(
                seen.resources.contains(dependency),
                "there is no resource {dependency}"
            );
        }
        Ok(())
    }
}

/// Evaluates a Tiltfile's text.
pub fn evaluate(text: &str, tilt: &Tilt) -> Result<()> {
    // Tilt's Starlark allows `if` and `for` outside of functions.
    let dialect = Dialect {
        enable_top_level_stmt: true,
        ..Dialect::Standard
    };
    let globals = GlobalsBuilder::standard()
        .with(tilt_functions)
        .with(|builder| builder.namespace("os", os_functions))
        .build();
    let file = AstModule::parse("Tiltfile", text.to_owned(), &dialect)
        .map_err(starlark::Error::into_anyhow)?;
    Module::with_temp_heap(|module| {
        let mut evaluator = Evaluator::new(&module);
        evaluator.extra = Some(tilt);
        evaluator.eval_module(file, &globals).map(|_| ())
    })
    .map_err(starlark::Error::into_anyhow)?;
    tilt.finish()
}

fn tilt<'a>(evaluator: &Evaluator<'_, 'a, '_>) -> Result<&'a Tilt> {
    evaluator
        .extra
        .and_then(|extra| extra.downcast_ref())
        .context("evaluated without Tilt")
}

/// Values of Tilt's own types are strings that begin with the type's name.
const BLOB: &str = "Blob ";
const LINK: &str = "Link ";
const PORT_FORWARD: &str = "PortForward ";
const STEP: &str = "LiveUpdateStep ";

/// A string or a list of strings, as Tilt takes them nearly everywhere.
fn strings(name: &str, value: Option<Value>) -> Result<Vec<String>> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let items = match ListRef::from_value(value) {
        Some(list) => list.iter().collect(),
        None => vec![value],
    };
    let text = |item: Value| item.unpack_str().map(str::to_owned);
    let texts: Option<Vec<_>> = items.into_iter().map(text).collect();
    texts.with_context(|| format!("{name}: not a string and not a list of strings: {value}"))
}

/// One or several values of a type of Tilt's.
fn typed(name: &str, type_: &str, value: Option<Value>) -> Result<Vec<String>> {
    let strip = |text: String| match text.strip_prefix(type_) {
        Some(rest) => Ok(rest.to_owned()),
        None => bail!("{name}: not a {type_}: {text}"),
    };
    strings(name, value)?.into_iter().map(strip).collect()
}

#[starlark_module]
fn tilt_functions(builder: &mut GlobalsBuilder) {
    fn allow_k8s_contexts<'v>(
        contexts: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        tilt(eval)?
            .seen
            .borrow_mut()
            .contexts
            .extend(strings("contexts", Some(contexts))?);
        Ok(NoneType)
    }

    fn default_registry<'v>(
        host: &str,
        host_from_cluster: Option<&str>,
        single_name: Option<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        tilt(eval)?.seen.borrow_mut().registry = Some(host.to_owned());
        Ok(NoneType)
    }

    fn local_resource<'v>(
        name: &str,
        cmd: Value<'v>,
        deps: Option<Value<'v>>,
        trigger_mode: Option<Value<'v>>,
        resource_deps: Option<Value<'v>>,
        ignore: Option<Value<'v>>,
        auto_init: Option<bool>,
        serve_cmd: Option<Value<'v>>,
        cmd_bat: Option<Value<'v>>,
        serve_cmd_bat: Option<Value<'v>>,
        allow_parallel: Option<bool>,
        links: Option<Value<'v>>,
        tags: Option<Value<'v>>,
        env: Option<UnpackDictEntries<String, String>>,
        serve_env: Option<UnpackDictEntries<String, String>>,
        readiness_probe: Option<Value<'v>>,
        dir: Option<&str>,
        serve_dir: Option<&str>,
        labels: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let sources = strings("deps", deps)?;
        for path in &sources {
            repository::must_exist(path)?;
        }
        strings("labels", labels)?;
        let mut seen = tilt(eval)?.seen.borrow_mut();
        let command = strings("cmd", Some(cmd))?;
        if let Some(at) = command.iter().position(|word| word == "--package") {
            let package = command.get(at + 1).context("--package names none")?;
            repository::must_be_a_package(package)?;
            seen.sources.insert(package.clone(), sources);
        }
        seen.dependencies
            .extend(strings("resource_deps", resource_deps)?);
        seen.resources.push(name.to_owned());
        Ok(NoneType)
    }

    fn docker_build<'v>(
        // Tilt calls it `ref`, which Rust does not allow.
        #[starlark(require = pos)] image: &str,
        context: &str,
        build_args: Option<UnpackDictEntries<String, String>>,
        dockerfile: Option<&str>,
        dockerfile_contents: Option<&str>,
        live_update: Option<Value<'v>>,
        match_in_env_vars: Option<bool>,
        ignore: Option<Value<'v>>,
        only: Option<Value<'v>>,
        entrypoint: Option<Value<'v>>,
        target: Option<&str>,
        ssh: Option<Value<'v>>,
        network: Option<&str>,
        secret: Option<Value<'v>>,
        extra_tag: Option<Value<'v>>,
        container_args: Option<Value<'v>>,
        cache_from: Option<Value<'v>>,
        pull: Option<bool>,
        platform: Option<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        repository::must_be_used(image)?;
        repository::must_exist(context)?;
        ensure!(
            dockerfile.is_none() || dockerfile_contents.is_none(),
            "docker_build: dockerfile and dockerfile_contents exclude one another"
        );
        if let Some(dockerfile) = dockerfile {
            repository::must_exist(dockerfile)?;
        }
        strings("entrypoint", entrypoint)?;
        for path in strings("only", only)? {
            repository::must_exist(&format!("{context}/{path}"))?;
        }
        let mut seen = tilt(eval)?.seen.borrow_mut();
        for step in typed("live_update", STEP, live_update)? {
            let Some(local) = step.strip_prefix("sync ") else {
                continue;
            };
            ensure!(
                local.starts_with(context),
                "sync: {local} is not below the context {context}"
            );
            seen.live_updated.push(image.to_owned());
        }
        seen.images.push(image.to_owned());
        Ok(NoneType)
    }

    fn sync(local_path: &str, remote_path: &str) -> anyhow::Result<String> {
        repository::must_exist(local_path)?;
        ensure!(
            remote_path.starts_with('/'),
            "sync: {remote_path} is not an absolute path"
        );
        Ok(format!("{STEP}sync {local_path}"))
    }

    fn run<'v>(cmd: Value<'v>, trigger: Option<Value<'v>>) -> anyhow::Result<String> {
        Ok(format!("{STEP}run {:?}", strings("cmd", Some(cmd))?))
    }

    fn helm<'v>(
        #[starlark(require = pos)] chart: &str,
        name: Option<&str>,
        namespace: Option<&str>,
        values: Option<Value<'v>>,
        set: Option<Value<'v>>,
        kube_version: Option<&str>,
        skip_crds: Option<bool>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<String> {
        repository::must_exist(&format!("{chart}/Chart.yaml"))?;
        let (files, assignments) = (strings("values", values)?, strings("set", set)?);
        for file in &files {
            repository::must_exist(file)?;
        }
        for assignment in &assignments {
            let (name, _) = assignment.split_once('=').context("set: not NAME=VALUE")?;
            repository::must_be_a_value(chart, name)?;
        }
        let mut seen = tilt(eval)?.seen.borrow_mut();
        seen.charts.push(chart.to_owned());
        seen.values.extend(files.into_iter().chain(assignments));
        Ok(format!("{BLOB}{chart}"))
    }

    fn k8s_yaml<'v>(yaml: Value<'v>, allow_duplicates: Option<bool>) -> anyhow::Result<NoneType> {
        for item in strings("yaml", Some(yaml))? {
            if !item.starts_with(BLOB) {
                repository::must_exist(&item)?;
            }
        }
        Ok(NoneType)
    }

    fn k8s_resource<'v>(
        workload: Option<&str>,
        new_name: Option<&str>,
        port_forwards: Option<Value<'v>>,
        extra_pod_selectors: Option<Value<'v>>,
        trigger_mode: Option<Value<'v>>,
        resource_deps: Option<Value<'v>>,
        objects: Option<Value<'v>>,
        auto_init: Option<bool>,
        pod_readiness: Option<&str>,
        links: Option<Value<'v>>,
        labels: Option<Value<'v>>,
        discovery_strategy: Option<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let mut seen = tilt(eval)?.seen.borrow_mut();
        let objects = strings("objects", objects)?;
        for object in &objects {
            let (name, kind) = object.split_once(':').context("objects: not NAME:KIND")?;
            repository::object(kind, name)?;
        }
        if let Some(workload) = workload {
            let deployment = repository::workload(workload)?;
            let ports = repository::container(&deployment)["ports"].to_string();
            for port in typed("port_forwards", PORT_FORWARD, port_forwards)? {
                let is_open = ports.contains(&format!("\"containerPort\":{port},"))
                    || ports.contains(&format!("\"containerPort\":{port}}}"));
                ensure!(is_open, "{workload} has no port {port}: {ports}");
            }
            seen.workloads.push(workload.to_owned());
        } else {
            ensure!(
                new_name.is_some() && !objects.is_empty(),
                "k8s_resource: without workload it needs new_name and objects"
            );
        }
        let name = new_name
            .or(workload)
            .context("k8s_resource without a name")?;
        seen.resources.push(name.to_owned());
        seen.dependencies
            .extend(strings("resource_deps", resource_deps)?);
        seen.links.extend(typed("links", LINK, links)?);
        strings("labels", labels)?;
        Ok(NoneType)
    }

    fn port_forward(
        local_port: i32,
        container_port: Option<i32>,
        name: Option<&str>,
        link_path: Option<&str>,
        host: Option<&str>,
    ) -> anyhow::Result<String> {
        Ok(format!(
            "{PORT_FORWARD}{}",
            container_port.unwrap_or(local_port)
        ))
    }

    fn link(url: &str, name: Option<&str>) -> anyhow::Result<String> {
        Ok(format!("{LINK}{url}"))
    }
}

#[starlark_module]
fn os_functions(builder: &mut GlobalsBuilder) {
    fn getenv<'v>(
        key: &str,
        default: Option<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<String> {
        // Tilt gives None where there is neither; whoever relies on that has to teach it to this.
        let value = tilt(eval)?
            .environment
            .get(key)
            .map(String::as_str)
            .or(default);
        value
            .map(str::to_owned)
            .with_context(|| format!("getenv: {key} has no default"))
    }
}
