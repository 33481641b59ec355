//! `lab logs`: the logs of a service of the platform or of an instance, by whatever name a person has.

use std::os::unix::process::CommandExt as _;

use anyhow::{Result, bail};

use super::{
    install::NAMESPACE,
    target::{Kubectl, run},
};

/// Follows the logs of `operator`, `gateway`, `idm`, `postgresql`, or an instance (`name` or `namespace/name`).
/// Ends only with kubectl.
pub fn follow(context: Option<&str>, whose: &str) -> Result<()> {
    let cluster = Kubectl::of(context)?;
    let (namespace, selector) = match whose {
        "operator" | "gateway" | "idm" | "postgresql" => (
            NAMESPACE.to_owned(),
            format!("app.kubernetes.io/name={whose}"),
        ),
        instance => {
            let (namespace, name) = match instance.split_once('/') {
                Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
                None => (namespace_of(&cluster, instance)?, instance.to_owned()),
            };
            (namespace, format!("app.kubernetes.io/instance={name}"))
        }
    };
    let mut kubectl = cluster.command();
    kubectl.args(["logs", "--namespace", &namespace, "--selector", &selector]);
    kubectl.args(["--all-containers", "--prefix", "--tail", "100", "--follow"]);
    // A database and a few pods of a large instance.
    kubectl.args(["--max-log-requests", "30"]);
    Err(kubectl.exec().into())
}

fn namespace_of(cluster: &Kubectl, instance: &str) -> Result<String> {
    let mut kubectl = cluster.command();
    kubectl.args(["get", "appi", "--all-namespaces", "--field-selector"]);
    kubectl.arg(format!("metadata.name={instance}"));
    let found = run(kubectl.args(["--output", "jsonpath={.items[*].metadata.namespace}"]))?;
    let namespaces: Vec<&str> = found.split_whitespace().collect();
    match namespaces.as_slice() {
        [] => bail!("there is no instance {instance}; kubectl get appi -A lists them"),
        [only] => Ok((*only).to_owned()),
        several => bail!(
            "there is an instance {instance} in each of {}; say which: {}/{instance}",
            several.join(", "),
            several[0]
        ),
    }
}
