//! Makes a new set of namespaces into a node: mounts, name, kernel settings and limits.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::NodePlan;
use crate::{
    network,
    process::{run, run_with_input},
    state::write_whole,
};

/// Prepares the namespaces that this process is the first one of.
pub fn prepare(plan: &NodePlan) -> Result<()> {
    // Mounts of pods reach the kubelet and the containers, and never the host: the namespace as a
    // whole only receives from there.
    mount(&["--make-rshared", "/"])?;
    mount(&["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"])?;
    // iptables locks in the one; felix makes only the last folder of its path in the other.
    for folder in ["/run/lock", "/run/calico"] {
        fs::create_dir_all(folder)?;
    }
    for (source, place) in &plan.mounts {
        fs::create_dir_all(source)?;
        mount(&[
            "--bind",
            &source.display().to_string(),
            &place.display().to_string(),
        ])?;
    }
    let resolvers = plan.folder.join("resolv.conf");
    let place = Path::new("/etc/resolv.conf");
    if fs::metadata(place).is_err()
        && let Ok(target) = fs::read_link(place)
    {
        // A link into /run, which is new here: give it something to lead to.
        write_whole(&Path::new("/etc").join(target), b"")?;
    }
    mount(&[
        "--bind",
        &resolvers.display().to_string(),
        "/etc/resolv.conf",
    ])?;
    run(Command::new("hostname").arg(&plan.name))?;
    for (setting, value) in [
        ("net/ipv4/ip_forward", "1"),
        // Loose filtering, a default of some distributions, makes felix refuse to work.
        ("net/ipv4/conf/all/rp_filter", "1"),
        ("net/ipv4/conf/default/rp_filter", "1"),
        ("net/bridge/bridge-nf-call-iptables", "1"),
    ] {
        let path = Path::new("/proc/sys").join(setting);
        if path.exists() {
            fs::write(&path, value).with_context(|| format!("cannot set {setting}"))?;
        }
    }
    refuse_untranslated_services()?;
    // Databases in pods ask for many files; a person's shell often allows only a few.
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?;
    Ok(())
}

/// Some networks accept a connection to any address: then a Service that is not programmed yet
/// "connects", and the API server keeps such a connection for minutes. What still has a Service's
/// address after translation is therefore refused. A table of its own is in no one's way.
fn refuse_untranslated_services() -> Result<()> {
    let range = network::SERVICE_RANGE;
    let chain = |hook: &str| {
        format!(
            " chain {hook} {{\n  type filter hook {hook} priority 10; policy accept;\n  \
             ip daddr {range} reject\n }}\n"
        )
    };
    let rules = format!(
        "table ip untranslated {{\n{}{}}}\n",
        chain("output"),
        chain("forward")
    );
    run_with_input(Command::new("nft").args(["-f", "-"]), Some(&rules))?;
    Ok(())
}

fn mount(arguments: &[&str]) -> Result<()> {
    run(Command::new("mount").args(arguments)).map(|_| ())
}
