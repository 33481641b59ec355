//! Looks for what a lab that has ended might have left on the machine: processes, mounts,
//! interfaces, packet filter rules and cgroups. It looks at the machine and not only at the record:
//! what nobody recorded is found by its name.

use std::{fs, path::Path, process::Command};

use crate::{
    cgroup, network,
    process::{is_running, run},
    state::{Record, State, current_boot},
};

/// What is left of the lab with this record, each in words and with its name.
pub fn find(state: &State, record: &Record) -> Vec<String> {
    // After another boot, or a `stop`, the lab's index may be another lab's.
    let index = (record.boot == current_boot()).then_some(record.index);
    let mut left = processes(state, record, index);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The kernel names places without links.
    let root = fs::canonicalize(state.root()).unwrap_or_else(|_| state.root().to_owned());
    left.extend(
        mount_points(&mounts, &root)
            .into_iter()
            .map(|place| format!("mount {place}")),
    );
    let Some(index) = index else {
        return left;
    };
    let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten();
    left.extend(
        interfaces
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| network::is_interface_of(name, index))
            .map(|name| format!("interface {name}")),
    );
    left.extend(rules(record, index));
    left.extend(
        cgroup::present(index)
            .iter()
            .map(|folder| format!("cgroup {}", folder.display())),
    );
    left
}

fn processes(state: &State, record: &Record, index: Option<u8>) -> Vec<String> {
    let mut left = Vec::new();
    if record.boot == current_boot() {
        for (what, process) in &record.processes {
            if process.is_alive() {
                left.push(format!("process {} ({what})", process.pid));
            }
        }
    }
    let programs = state.path("bin");
    let entries = fs::read_dir("/proc").into_iter().flatten();
    for entry in entries.flatten() {
        let pid = entry.file_name().into_string().ok();
        let Some(pid) = pid.and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let is_recorded = record.processes.values().any(|process| process.pid == pid);
        if is_recorded || !is_running(pid) || pid == std::process::id() as i32 {
            continue;
        }
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let command_line = String::from_utf8_lossy(&read("cmdline")).into_owned();
        let cgroups = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let is_member = index.is_some_and(|index| is_in_cgroup(&cgroups, index));
        if is_member || is_started_from(&command_line, &programs) {
            let words = command_line.replace('\0', " ");
            let words: String = words.trim().chars().take(80).collect();
            left.push(format!("process {pid} ({words})"));
        }
    }
    left
}

/// Whether a command line (with zeros between its words) begins with a program of the lab's folder.
fn is_started_from(command_line: &str, programs: &Path) -> bool {
    let program = command_line.split('\0').next().unwrap_or_default();
    Path::new(program).starts_with(programs)
}

/// Whether a process with this /proc/<pid>/cgroup is in a lab's cgroup.
fn is_in_cgroup(cgroups: &str, index: u8) -> bool {
    let name = cgroup::name(index);
    cgroups.lines().any(|line| {
        let path = line.splitn(3, ':').nth(2).unwrap_or_default();
        path.split('/').any(|part| part == name)
    })
}

/// The places in a text like /proc/self/mountinfo that are below a folder.
fn mount_points(mounts: &str, folder: &Path) -> Vec<String> {
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        // The kernel writes spaces of names so.
        .map(|place| place.replace("\\040", " "))
        // A folder that is a volume of its own was there before the lab.
        .filter(|place| Path::new(place).starts_with(folder) && Path::new(place) != folder)
        .collect()
}

fn rules(record: &Record, index: u8) -> Vec<String> {
    let bridge = network::bridge(index);
    let mut left = Vec::new();
    // Without nft there can be no table of ours.
    let tables = run(Command::new("nft").args(["list", "tables"])).unwrap_or_default();
    if tables
        .lines()
        .any(|line| line == format!("table ip {bridge}"))
    {
        left.push(format!("nft table ip {bridge}"));
    }
    // Only then were there any, and only then does listing them not make the chain.
    if record.opened_forward_chain {
        let chain = run(Command::new("iptables").args(["--wait", "5", "--list-rules", "FORWARD"]));
        left.extend(
            rules_naming(&chain.unwrap_or_default(), &bridge)
                .into_iter()
                .map(|rule| format!("iptables rule {rule}")),
        );
    }
    left
}

fn rules_naming(chain: &str, bridge: &str) -> Vec<String> {
    chain
        .lines()
        .filter(|rule| rule.split_whitespace().any(|word| word == bridge))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_the_state_folder_are_found_and_no_others() {
        let mounts = "\
            22 1 8:1 / / rw - ext4 /dev/a rw\n\
            30 22 8:2 / /var/lib/lab rw - ext4 /dev/b rw\n\
            31 30 0:5 / /var/lib/lab/nodes/node-1/a\\040b rw,nosuid shared:7 - tmpfs tmpfs rw\n\
            32 22 0:6 / /var/lib/lab-of-another rw - tmpfs tmpfs rw\n";
        assert_eq!(
            mount_points(mounts, Path::new("/var/lib/lab")),
            ["/var/lib/lab/nodes/node-1/a b"]
        );
    }

    #[test]
    fn a_process_is_found_by_its_cgroup_in_either_version() {
        assert!(is_in_cgroup("0::/tutti1/node-1-components\n", 1));
        assert!(is_in_cgroup(
            "4:memory:/docker/x/tutti0/node-1/pod\n1:cpu:/\n",
            0
        ));
        assert!(!is_in_cgroup("0::/tutti1/node-1\n", 0));
        assert!(!is_in_cgroup("0::/user.slice/tutti12\n", 1));
        assert!(!is_in_cgroup("", 0));
    }

    #[test]
    fn a_process_is_found_by_its_program() {
        let programs = Path::new("/var/lib/lab/bin");
        assert!(is_started_from("/var/lib/lab/bin/lab\0forward\0", programs));
        assert!(!is_started_from(
            "/usr/bin/tail\0/var/lib/lab/bin/lab\0",
            programs
        ));
        assert!(!is_started_from("", programs));
    }

    #[test]
    fn a_rule_is_found_by_the_bridge_and_not_by_one_with_a_longer_name() {
        let chain =
            "-P FORWARD DROP\n-A FORWARD -i tutti1 -j ACCEPT\n-A FORWARD -i tutti10 -j ACCEPT\n";
        assert_eq!(
            rules_naming(chain, "tutti1"),
            ["-A FORWARD -i tutti1 -j ACCEPT"]
        );
    }

    #[test]
    fn nothing_is_left_of_a_lab_that_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let left = find(&State::at(folder.path()), &Record::default());
        assert_eq!(left, Vec::<String>::new());
    }

    #[test]
    fn a_recorded_process_that_still_runs_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let own = crate::process::Process::of(std::process::id() as i32).unwrap();
        let record = Record {
            boot: current_boot(),
            // No lab of any machine has it.
            index: 200,
            processes: [("forwarder".to_owned(), own)].into(),
            ..Record::default()
        };
        let left = find(&State::at(folder.path()), &record);
        assert_eq!(
            left,
            [format!("process {} (forwarder)", std::process::id())]
        );
    }
}
