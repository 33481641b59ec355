//! Looks whether this machine can hold a lab. Each problem comes with its mend. What the kernel can
//! do is tried, in namespaces of their own that end with the try.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use crate::{
    cgroup, forward, launch, network, packages,
    process::{run, run_with_input},
    state::State,
};

/// What a person without these rights, or on another system, does instead.
pub const WAY_OUT: &str = "or use a cluster of your own: make up CONTEXT=<your cluster> \
                           REGISTRY=<host/path>";
/// Programs, images, builds and some volumes.
const NEEDED_DISK: u64 = 15 * GIB;
/// A lab that came up once has most of it already.
const NEEDED_DISK_OF_LAB: u64 = 3 * GIB;
const GIB: u64 = 1024 * 1024 * 1024;
/// The cluster alone takes 1.3 GiB; below this the apps have no room.
const NEEDED_MEMORY: u64 = 4 * GIB;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// As it should be.
    Fine,
    /// The lab works, but a person should know.
    Note,
    /// The lab cannot work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// How grave it is.
    pub gravity: Gravity,
    /// The fact.
    pub fact: String,
    /// What to do about it, unless it is fine.
    pub mend: String,
}

impl Finding {
    fn fine(fact: impl Into<String>) -> Self {
        Self {
            gravity: Gravity::Fine,
            fact: fact.into(),
            mend: String::new(),
        }
    }

    fn note(fact: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            gravity: Gravity::Note,
            fact: fact.into(),
            mend: mend.into(),
        }
    }

    fn problem(fact: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            gravity: Gravity::Problem,
            fact: fact.into(),
            mend: mend.into(),
        }
    }
}

/// Looks at everything.
pub fn examine(state: &State) -> Vec<Finding> {
    let rights = rights();
    let may_try = rights.gravity != Gravity::Problem;
    let mut findings = vec![rights, score(), missing_packages()];
    findings.extend(ports(state));
    findings.extend([disk(state), memory()]);
    if may_try {
        findings.extend(kernel());
        findings.push(cgroups());
    } else {
        findings.push(Finding::note(
            "what the kernel can do was not tried",
            "only root can",
        ));
    }
    findings.extend([bridge_filter(), resolvers()]);
    findings
}

/// Ports of this machine. Nothing here makes a lab impossible while any port is free.
fn ports(state: &State) -> Vec<Finding> {
    let record = match state.record() {
        Ok(record) => record,
        Err(error) => {
            let mend = "move the file away, or end that lab with the version that wrote it";
            return vec![Finding::problem(format!("{error:#}"), mend)];
        }
    };
    if forward::running(&record).is_some() {
        let (http, https) = (record.http_port, record.https_port);
        return vec![Finding::fine(format!(
            "the lab runs and answers on the ports {} and {}",
            http.unwrap_or_default(),
            https.unwrap_or_default()
        ))];
    }
    let mut findings = Vec::new();
    match forward::choose_ports(&record) {
        Ok((80, 443)) => findings.push(Finding::fine("the ports 80 and 443 are free")),
        Ok((http, https)) => findings.push(other_ports(http, https, forward::is_free)),
        Err(error) => findings.push(Finding::problem(
            format!("{error:#}"),
            "end what listens there; `ss -ltnp` names it",
        )),
    }
    if !forward::is_free(network::REGISTRY_PORT) {
        findings.push(Finding::note(
            format!("port {} is taken", network::REGISTRY_PORT),
            "on this machine localhost:5000 will not be the lab's registry; pods, nodes and \
             builds are not concerned",
        ));
    }
    findings
}

/// The platform does not answer on the usual ports: why, and on which it does.
fn other_ports(http: u16, https: u16, is_free: impl Fn(u16) -> bool) -> Finding {
    let taken: Vec<&str> = [(80, "80"), (443, "443")]
        .into_iter()
        .filter(|(port, _)| !is_free(*port))
        .map(|(_, name)| name)
        .collect();
    let why = match taken.as_slice() {
        [] => "this lab has had other ports than 80 and 443 before and keeps them".to_owned(),
        [port] => format!("port {port} is taken here"),
        ports => format!("the ports {} are taken here", ports.join(" and ")),
    };
    Finding::note(
        why,
        format!("the platform will answer on {http} (HTTP) and {https} (HTTPS), and links say so"),
    )
}

/// Something that nodes need of the kernel, and a script that tries it.
struct Feature {
    name: &'static str,
    /// The program that the script begins with; without it nothing can be tried.
    program: &'static str,
    script: &'static str,
    /// Its modules, where they are not part of the kernel.
    modules: &'static str,
}

/// What node.rs, network.rs, containerd, kube-proxy and felix ask of the kernel. Each script runs
/// as root in mount, network, name, IPC and process namespaces of its own, which end with it.
const FEATURES: &[Feature] = &[
    Feature {
        name: "namespaces of mounts, processes, networks, names and IPC",
        program: "mount",
        script: "mount -t tmpfs tmpfs /tmp && hostname try",
        modules: "",
    },
    Feature {
        name: "overlayfs",
        program: "mount",
        script: "mount -t tmpfs tmpfs /tmp && cd /tmp && mkdir lower upper work all && \
                 mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay all",
        modules: "overlay",
    },
    Feature {
        name: "virtual interfaces (veth) and bridges",
        program: "ip",
        script: "ip link add try0 type bridge && \
                 ip link add try1 type veth peer name try2 && ip link set try1 master try0 up",
        modules: "veth bridge",
    },
    Feature {
        name: "nf_tables, with translation of addresses",
        program: "nft",
        script: "nft -f - <<'END'\ntable ip try {\n chain out {\n  type nat hook postrouting \
                 priority srcnat;\n  ip saddr 192.0.2.0/24 masquerade\n }\n chain in {\n  type \
                 filter hook output priority 10;\n  ip daddr 192.0.2.0/24 reject\n }\n}\nEND\n",
        modules: "nf_tables nft_chain_nat nft_masq nft_reject_ipv4",
    },
    Feature {
        name: "what kube-proxy asks of iptables",
        program: "iptables",
        script: "iptables -t nat -A POSTROUTING -m comment --comment try -m mark --mark 1/1 \
                 -j MASQUERADE --random-fully && \
                 iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -m statistic \
                 --mode random --probability 0.5 -p tcp -j DNAT --to-destination 192.0.2.1:80 && \
                 iptables -t nat -A OUTPUT -m recent --name try --rcheck --seconds 9 --reap \
                 -j MARK --or-mark 0x4000 && \
                 iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP && \
                 iptables -A FORWARD -j REJECT",
        modules: "xt_comment xt_mark xt_MASQUERADE xt_addrtype xt_statistic xt_nat xt_recent \
                  xt_conntrack nf_conntrack ipt_REJECT",
    },
    Feature {
        name: "what Calico asks of iptables",
        program: "iptables",
        script: "for table in iptables ip6tables; do $table -t raw -A PREROUTING -m rpfilter \
                 --validmark --invert -j DROP && $table -t mangle -A PREROUTING -m mark \
                 --mark 0x10000/0x10000 -j ACCEPT && $table -A FORWARD -p tcp -m multiport \
                 --dports 80,443 -j ACCEPT || exit 1; done",
        modules: "xt_rpfilter ip6t_rpfilter xt_multiport xt_mark ip6_tables",
    },
    Feature {
        name: "sets of addresses (ipset), and iptables rules that use them",
        program: "ipset",
        script: "ipset create try hash:net && ipset create try6 hash:net family inet6 && \
                 ipset create ports hash:ip,port && ipset create all list:set && \
                 iptables -A FORWARD -m set --match-set try src -j ACCEPT",
        modules: "ip_set ip_set_hash_net ip_set_hash_ipport ip_set_list_set xt_set",
    },
    Feature {
        name: "connection tracking",
        program: "conntrack",
        script: "conntrack --dump",
        modules: "nf_conntrack nf_conntrack_netlink",
    },
];

/// Tries what the nodes need of the kernel, as far as the programs for it are installed.
pub fn kernel() -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut untried = Vec::new();
    for feature in FEATURES {
        if packages::locate(feature.program).is_none() {
            untried.push(feature.name);
            continue;
        }
        findings.push(try_feature(feature));
    }
    if !untried.is_empty() {
        findings.push(Finding::note(
            format!("not tried yet: {}", untried.join("; ")),
            "`lab up` tries again once the packages are there",
        ));
    }
    findings
}

fn try_feature(feature: &Feature) -> Finding {
    let alone = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork"]);
        command.args(["--kill-child", "--propagation", "private", "--"]);
        command.args(["sh", "-s"]);
        // As root has it, whatever the shell of the person has.
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin");
        run_with_input(&mut command, Some(feature.script))
    };
    let outcome = alone().or_else(|first| {
        if feature.modules.is_empty() {
            return Err(first);
        }
        // Most are loaded at the first use; for others root has to ask. A module that is part of
        // the kernel, or that has another name in this one, is no trouble.
        for module in feature.modules.split_whitespace() {
            let _ = run(Command::new("modprobe").args(["--quiet", module]));
        }
        alone()
    });
    match outcome {
        Ok(_) => Finding::fine(format!("the kernel has {}", feature.name)),
        Err(error) => {
            let said = error.to_string();
            // The first line repeats the command.
            let said = said
                .split_once('\n')
                .map_or(said.as_str(), |(_, said)| said);
            let said: Vec<&str> = said.lines().map(str::trim).collect();
            let mend = if feature.modules.is_empty() {
                "use a machine, or a container with docker run --privileged, that allows it"
                    .to_owned()
            } else {
                format!(
                    "load it (modprobe -a {}), or use a kernel that has it",
                    feature.modules
                )
            };
            Finding::problem(
                format!("the kernel lacks {} ({})", feature.name, said.join(" ")),
                mend,
            )
        }
    }
}

fn rights() -> Finding {
    let root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    if !root {
        return Finding::problem("not running as root", "run it with sudo");
    }
    // Numbers of the capabilities in the kernel's list.
    let missing: Vec<&str> = [(21, "CAP_SYS_ADMIN"), (12, "CAP_NET_ADMIN")]
        .into_iter()
        .filter(|(bit, _)| !launch::has_capability(*bit))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        return Finding::fine("root, with the capabilities to make namespaces and interfaces");
    }
    Finding::problem(
        format!("root here lacks {}", missing.join(" and ")),
        "run it on a machine or in a container that has them (docker run --privileged)",
    )
}

fn score() -> Finding {
    if launch::may_lower_scores() {
        return Finding::fine("may set out-of-memory scores");
    }
    Finding::fine(
        "CAP_SYS_RESOURCE is missing: no process can be protected from the out-of-memory killer, \
         and the lab tells containerd not to try",
    )
}

fn missing_packages() -> Finding {
    let missing = packages::missing();
    if missing.is_empty() {
        return Finding::fine("every Debian package is there");
    }
    let list = missing.join(" ");
    if packages::locate("apt-get").is_some() {
        Finding::note(
            format!("not installed: {list}"),
            "`lab up` installs them with apt-get",
        )
    } else {
        Finding::problem(
            format!("not installed: {list}, and there is no apt-get"),
            "install what your distribution calls them",
        )
    }
}

fn disk(state: &State) -> Finding {
    // The folder itself may not exist yet: ask for the nearest one that does.
    let place = state.root().ancestors().find(|path| path.exists());
    let place = place.unwrap_or_else(|| Path::new("/"));
    let Ok(found) = rustix::fs::statvfs(place) else {
        return Finding::note(
            format!("cannot ask for the space at {}", place.display()),
            "",
        );
    };
    let free = found.f_bavail * found.f_frsize;
    let fact = format!("{} GiB free at {}", free / GIB, place.display());
    // The ports are what a lab gets last.
    let came_up = state
        .record()
        .is_ok_and(|record| record.http_port.is_some());
    let needed = if came_up {
        NEEDED_DISK_OF_LAB
    } else {
        NEEDED_DISK
    };
    if free < needed {
        let mend = format!(
            "free {} GiB, or set TUTTI_LAB to a folder of a larger disk",
            needed / GIB
        );
        return Finding::problem(fact, mend);
    }
    let kind = run(Command::new("stat")
        .args(["--file-system", "--format=%T"])
        .arg(place));
    match kind.unwrap_or_default().trim() {
        "overlayfs" => Finding::problem(
            format!(
                "{} is on overlayfs, on which containerd cannot lay its images",
                place.display()
            ),
            "set TUTTI_LAB to a folder of a real disk, such as a volume",
        ),
        _ => Finding::fine(fact),
    }
}

fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    let bytes = kibibytes * 1024;
    let fact = format!(
        "{:.1} GiB of memory available",
        bytes as f64 / f64::from(1 << 30)
    );
    if bytes < NEEDED_MEMORY {
        return Finding::note(
            fact,
            "end other programs: with less than 4 GiB apps have no room",
        );
    }
    Finding::fine(fact)
}

fn bridge_filter() -> Finding {
    let _ = run(Command::new("modprobe").arg("br_netfilter"));
    if Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists() {
        return Finding::fine("bridged packets can be filtered (br_netfilter)");
    }
    Finding::note(
        "no br_netfilter",
        "load it if your apps use bridges of their own: modprobe br_netfilter",
    )
}

fn cgroups() -> Finding {
    let missing = cgroup::missing_controllers();
    if !missing.is_empty() {
        return Finding::problem(
            format!(
                "/sys/fs/cgroup lacks the controllers {}",
                missing.join(", ")
            ),
            "mount them (a kernel may need cgroup_enable=memory at its start), or run the \
             container with --privileged --cgroupns=host",
        );
    }
    match cgroup::try_to_make() {
        Ok(()) if cgroup::is_version_2() => Finding::fine("cgroup version 2, writable"),
        Ok(()) => Finding::fine("cgroup version 1, writable"),
        Err(error) => Finding::problem(
            format!("{error:#}"),
            "remount it: mount -o remount,rw /sys/fs/cgroup",
        ),
    }
}

fn resolvers() -> Finding {
    let found = network::resolvers();
    if found.is_empty() {
        return Finding::note(
            "no name server that nodes could reach",
            "names outside of the cluster will not resolve; put one into /etc/resolv.conf",
        );
    }
    Finding::fine(format!("outside names are asked of {}", found.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_names_its_mend() {
        for finding in examine(&State::at("/tmp")) {
            assert!(!finding.fact.is_empty());
            if finding.gravity == Gravity::Problem {
                assert!(!finding.mend.is_empty(), "{finding:?}");
            }
        }
    }

    #[test]
    fn ports_that_are_taken_are_named_with_those_that_are_used_instead() {
        let finding = other_ports(80, 8443, |port| port != 443);
        assert_eq!(finding.gravity, Gravity::Note);
        assert_eq!(finding.fact, "port 443 is taken here");
        assert!(finding.mend.contains("80 (HTTP) and 8443 (HTTPS)"));
        let finding = other_ports(8080, 8443, |_| false);
        assert_eq!(finding.fact, "the ports 80 and 443 are taken here");
        assert!(other_ports(80, 8443, |_| true).fact.contains("before"));
    }

    #[test]
    fn what_the_kernel_lacks_is_named_with_its_mend() {
        if rights().gravity == Gravity::Problem {
            return;
        }
        let feature = Feature {
            name: "a wonder",
            program: "sh",
            script: "echo no such wonder >&2; exit 1",
            modules: "",
        };
        let finding = try_feature(&feature);
        assert_eq!(finding.gravity, Gravity::Problem);
        assert!(finding.fact.contains("lacks a wonder"), "{}", finding.fact);
        assert!(finding.fact.contains("no such wonder"), "{}", finding.fact);
        assert!(!finding.mend.is_empty());
    }

    #[test]
    fn a_try_leaves_no_interface_behind() {
        let before = interfaces();
        kernel();
        assert_eq!(interfaces(), before);
    }

    /// Of the kind that the tries make: others may come and go meanwhile.
    fn interfaces() -> Vec<String> {
        let entries = fs::read_dir("/sys/class/net").unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("try"))
            .collect()
    }
}
