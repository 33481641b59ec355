//! The programs of the lab, built with Go from modules into the cache: no prebuilt binary is
//! downloaded. `go.sum` files are in git, so the build is the same everywhere.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    cache::{self, Cache},
    go::Toolchain,
    process::run_logged,
    state::State,
    steps::{Step, Steps},
};

/// The version that every Kubernetes part reports; go.mod has the same.
pub const KUBERNETES_VERSION: &str = "v1.35.4";
/// CoreDNS's version, also the tag of its image.
pub const COREDNS_VERSION: &str = "v1.14.6";
/// local-path-provisioner's version, also the tag of its image.
pub const LOCAL_PATH_VERSION: &str = "v0.0.30";
/// metrics-server's version, also the tag of its image.
pub const METRICS_SERVER_VERSION: &str = "v0.9.0";
/// The certificate authority of the lab.
const PEBBLE_VERSION: &str = "v2.10.0";
/// Also read by the Makefile.
const HELM_VERSION: &str = "v3.22.0";
const KWOK_VERSION: &str = "v0.8.0";

/// What the control plane and the tools beside it are, for whoever reports on them.
#[must_use]
pub fn versions() -> String {
    let etcd = include_str!("../go/kubernetes/go.mod")
        .lines()
        .find_map(|line| line.trim().strip_prefix("go.etcd.io/etcd/server/v3 "))
        .unwrap_or_default();
    format!(
        "Kubernetes {KUBERNETES_VERSION}, etcd {etcd}, helm {HELM_VERSION}, kwok {KWOK_VERSION}, \
         Pebble {PEBBLE_VERSION}"
    )
}

/// The file of the objects that come with a program, beside it in the cache.
const RESOURCES: &str = "resources.yaml";

/// More at once only makes each slower: a Go build uses every core that it finds.
const BUILDS_AT_ONCE: usize = 2;

/// Where a program's source comes from.
enum Source {
    /// A module of ours, whose files are part of this binary.
    Ours {
        files: &'static [(&'static str, &'static str)],
        link_flags: String,
    },
    /// A package at a version, as `go install` takes it.
    Package {
        path: &'static str,
        version: &'static str,
    },
    /// A program of a module at a version, with passages mended in it.
    Mended {
        module: &'static str,
        version: &'static str,
        package: &'static str,
        mends: &'static [Mend],
    },
}

/// A passage of a file, and what has to stand there.
struct Mend {
    file: &'static str,
    found: &'static str,
    wanted: &'static str,
}

/// Pebble 2.10 takes its locks in more than one order. Orders that are asked for while others are made or
/// done hang it now and then, and every request from then on.
const PEBBLE_LOCKS: &[Mend] = &[
    // A read lock within a read lock of the same order, and a writer between the two.
    Mend {
        file: "wfe/wfe.go",
        found: "\torderAccountID := order.AccountID\n\tdefer order.RUnlock()\n",
        wanted: "\torderAccountID := order.AccountID\n\torder.RUnlock()\n",
    },
    // An authorization before its order, where others take the order first.
    Mend {
        file: "wfe/wfe.go",
        found: "\tauthz.Lock()\n\tdefer authz.Unlock()\n\tauthz.Order.RLock()\n\
                \torderAcctID := authz.Order.AccountID\n\tauthz.Order.RUnlock()\n",
        wanted: "\tauthz.Order.RLock()\n\torderAcctID := authz.Order.AccountID\n\
                 \tauthz.Order.RUnlock()\n\tauthz.Lock()\n\tdefer authz.Unlock()\n",
    },
    // The store before what lies in it, where others take the store last.
    Mend {
        file: "db/memorystore.go",
        found: "\tm.RLock()\n\tdefer m.RUnlock()\n\n\tif order, ok := m.ordersByID[id]; ok {\n",
        wanted: "\tm.RLock()\n\torder, ok := m.ordersByID[id]\n\tm.RUnlock()\n\n\tif ok {\n",
    },
    Mend {
        file: "db/memorystore.go",
        found: "\tm.RLock()\n\tdefer m.RUnlock()\n\tfor _, authz := range m.authorizationsByID {\n\
                \t\t// Lock is needed",
        wanted: "\tm.RLock()\n\
                 \tall := make([]*core.Authorization, 0, len(m.authorizationsByID))\n\
                 \tfor _, authz := range m.authorizationsByID {\n\t\tall = append(all, authz)\n\t}\n\
                 \tm.RUnlock()\n\tfor _, authz := range all {\n\t\t// Lock is needed",
    },
];

/// Objects to keep beside a program: a module, and its folders that hold them.
type Resources = (&'static str, &'static [&'static str]);

/// One build, and the names under which its result is called.
struct Program {
    name: &'static str,
    /// It has little to do in a lab: built in two thirds of the time, and somewhat slower.
    is_slim: bool,
    source: Source,
    resources: Option<Resources>,
    names: &'static [&'static str],
}

/// Every program of a lab, those that take longest first.
fn programs() -> Vec<Program> {
    let package = |name, path, version, names| Program {
        name,
        is_slim: true,
        source: Source::Package { path, version },
        resources: None,
        names,
    };
    vec![
        Program {
            name: "kubernetes",
            is_slim: false,
            source: Source::Ours {
                files: &[
                    ("go.mod", include_str!("../go/kubernetes/go.mod")),
                    ("go.sum", include_str!("../go/kubernetes/go.sum")),
                    ("main.go", include_str!("../go/kubernetes/main.go")),
                ],
                link_flags: kubernetes_link_flags(),
            },
            resources: None,
            names: &[
                "etcd",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            ],
        },
        Program {
            name: "calico",
            is_slim: true,
            source: Source::Ours {
                files: &[
                    ("go.mod", include_str!("../go/calico/go.mod")),
                    ("go.sum", include_str!("../go/calico/go.sum")),
                    ("main.go", include_str!("../go/calico/main.go")),
                ],
                link_flags: "-s -w".to_owned(),
            },
            resources: Some((
                "github.com/projectcalico/calico",
                &["libcalico-go/config/crd"],
            )),
            names: &["calico", "calico-felix"],
        },
        package(
            "metrics-server",
            "sigs.k8s.io/metrics-server/cmd/metrics-server",
            METRICS_SERVER_VERSION,
            &["metrics-server"],
        ),
        package(
            "coredns",
            "github.com/coredns/coredns",
            COREDNS_VERSION,
            &["coredns"],
        ),
        package("helm", "helm.sh/helm/v3/cmd/helm", HELM_VERSION, &["helm"]),
        Program {
            name: "pebble",
            is_slim: true,
            source: Source::Mended {
                module: "github.com/letsencrypt/pebble/v2",
                version: PEBBLE_VERSION,
                package: "./cmd/pebble",
                mends: PEBBLE_LOCKS,
            },
            resources: None,
            names: &["pebble"],
        },
        package(
            "local-path-provisioner",
            "github.com/rancher/local-path-provisioner",
            LOCAL_PATH_VERSION,
            &["local-path-provisioner"],
        ),
        Program {
            name: "pause",
            is_slim: true,
            source: Source::Ours {
                files: &[
                    ("go.mod", include_str!("../go/pause/go.mod")),
                    ("main.go", include_str!("../go/pause/main.go")),
                ],
                link_flags: "-s -w".to_owned(),
            },
            resources: None,
            names: &["pause"],
        },
    ]
}

/// What only a benchmark needs: fake nodes. Beside it, what its authors offer for nodes and pods
/// that are ready at once, and jobs that end at once.
fn kwok() -> Program {
    Program {
        name: "kwok",
        is_slim: false,
        source: Source::Package {
            path: "sigs.k8s.io/kwok/cmd/kwok",
            version: KWOK_VERSION,
        },
        resources: Some((
            "sigs.k8s.io/kwok",
            &["kustomize/stage/node/fast", "kustomize/stage/pod/fast"],
        )),
        names: &["kwok"],
    }
}

/// What only the test of the alerts needs: Prometheus' engine.
fn alerts() -> Program {
    Program {
        name: "alerts",
        is_slim: true,
        source: Source::Ours {
            files: &[
                ("go.mod", include_str!("../go/alerts/go.mod")),
                ("go.sum", include_str!("../go/alerts/go.sum")),
                ("main.go", include_str!("../go/alerts/main.go")),
            ],
            link_flags: "-s -w".to_owned(),
        },
        resources: None,
        names: &["alerts"],
    }
}

/// Debug information is not kept by the linker, so it need not be made. Without inlining the compiler
/// has a third less to do.
fn compile_flags(is_slim: bool) -> &'static str {
    if is_slim {
        "-gcflags=all=-dwarf=false -l"
    } else {
        "-gcflags=all=-dwarf=false"
    }
}

/// Without these the version reads v0.0.0-master, and kubelet and API server disagree.
fn kubernetes_link_flags() -> String {
    let mut flags = "-s -w".to_owned();
    for package in [
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    ] {
        flags.push_str(&format!(
            " -X {package}.gitVersion={KUBERNETES_VERSION} -X {package}.gitMajor=1 \
             -X {package}.gitMinor=35 -X {package}.gitTreeState=clean"
        ));
    }
    flags
}

impl Program {
    fn cache_name(&self) -> String {
        match &self.source {
            Source::Package { version, .. } => format!("{}@{version}", self.name),
            Source::Ours { files, link_flags } => {
                let parts = files
                    .iter()
                    .map(|(_, text)| text.as_bytes())
                    .chain([link_flags.as_bytes()]);
                format!("{}-{}", self.name, cache::key(parts))
            }
            Source::Mended { version, mends, .. } => {
                let parts = mends.iter().flat_map(|it| [it.file, it.found, it.wanted]);
                let key = cache::key(parts.map(str::as_bytes));
                format!("{}@{version}-{key}", self.name)
            }
        }
    }

    fn build(&self, toolchain: &Toolchain, place: &Path, log: &Path) -> Result<()> {
        let output = place.join(self.name);
        let build = |source: &Path, package: &str, link_flags: &str| {
            let mut command = toolchain.command();
            command
                .current_dir(source)
                .args(["build", "-trimpath", "-ldflags", link_flags])
                .arg(compile_flags(self.is_slim))
                .arg("-o")
                .args([output.as_path(), Path::new(package)]);
            run_logged(&mut command, log)
        };
        match &self.source {
            Source::Ours { files, link_flags } => {
                let source = place.join("source");
                fs::create_dir_all(&source)?;
                for (name, text) in *files {
                    fs::write(source.join(name), text)?;
                }
                build(&source, ".", link_flags)?;
                if let Some((module, folders)) = self.resources {
                    keep_resources(toolchain, &source, module, folders, place)?;
                }
                fs::remove_dir_all(source)?;
            }
            Source::Package { path, version } => {
                run_logged(
                    toolchain
                        .command()
                        .current_dir(place)
                        .env("GOBIN", place)
                        .args(["install", "-trimpath", "-ldflags", "-s -w"])
                        .arg(compile_flags(self.is_slim))
                        .arg(format!("{path}@{version}")),
                    log,
                )?;
                if let Some((module, folders)) = self.resources {
                    let module = format!("{module}@{version}");
                    keep_resources(toolchain, place, &module, folders, place)?;
                }
            }
            Source::Mended {
                module,
                version,
                package,
                mends,
            } => {
                let source = place.join("source");
                fetch(toolchain, &format!("{module}@{version}"), &source, log)?;
                for mend in *mends {
                    mend.apply(&source)?;
                }
                build(&source, package, "-s -w")?;
                fs::remove_dir_all(source)?;
            }
        }
        fs::set_permissions(&output, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

impl Mend {
    fn apply(&self, source: &Path) -> Result<()> {
        let file = source.join(self.file);
        let text = fs::read_to_string(&file)?;
        ensure!(
            text.matches(self.found).count() == 1,
            "what is mended in {} is not there (any more): look whether it still has to be",
            file.display()
        );
        Ok(fs::write(file, text.replace(self.found, self.wanted))?)
    }
}

/// Copies a module at a version to where it can be changed.
fn fetch(toolchain: &Toolchain, module: &str, to: &Path, log: &Path) -> Result<()> {
    let place = to.parent().context("a folder in a folder is wanted")?;
    run_logged(
        toolchain
            .command()
            .current_dir(place)
            .args(["mod", "download", module]),
        log,
    )?;
    let from = folder_of(toolchain, place, module)?;
    // The cache's own files cannot be written to.
    run_logged(
        Command::new("cp")
            .args(["--recursive", "--no-preserve=mode"])
            .args([from.as_path(), to]),
        log,
    )
}

fn folder_of(toolchain: &Toolchain, source: &Path, module: &str) -> Result<PathBuf> {
    let list = toolchain
        .command()
        .current_dir(source)
        .args(["list", "-m", "-f", "{{.Dir}}", module])
        .output()?;
    Ok(PathBuf::from(
        String::from_utf8_lossy(&list.stdout).trim().to_owned(),
    ))
}

/// Writes one file of what some folders of a module hold. The build has fetched the module.
fn keep_resources(
    toolchain: &Toolchain,
    source: &Path,
    module: &str,
    folders: &[&str],
    place: &Path,
) -> Result<()> {
    let root = folder_of(toolchain, source, module)?;
    let mut text = String::new();
    for folder in folders {
        text.push_str(&join_documents(&root.join(folder))?);
    }
    fs::write(place.join(RESOURCES), text)?;
    Ok(())
}

/// Builds what the cache does not hold, and links every program under its names in the lab's
/// `bin` folder.
pub fn provide(cache: &Cache, state: &State, step: &Step) -> Result<()> {
    provide_these(&programs(), cache, state, step)
}

/// The folder of links to them for tests that need no lab; builds those that the cache does not hold.
pub fn for_tests(with_kwok: bool) -> Result<State> {
    let cache = Cache::from_environment();
    let bin = State::at(cache.entry("control-plane"));
    // Two test binaries must not build the same at once.
    let _lock = bin.lock()?;
    Steps::new().step("programs of the control plane", |step| {
        provide(&cache, &bin, step)?;
        if with_kwok {
            provide_kwok(&cache, &bin, step)?;
        }
        Ok(())
    })?;
    Ok(bin)
}

/// The folder of links to helm and to what says which alerts fire, for the test of the chart's alerts.
pub fn for_alerts() -> Result<State> {
    let cache = Cache::from_environment();
    let bin = State::at(cache.entry("control-plane"));
    let _lock = bin.lock()?;
    let mut programs = programs();
    programs.retain(|program| program.name == "helm");
    programs.push(alerts());
    Steps::new().step("programs that evaluate alerts", |step| {
        provide_these(&programs, &cache, &bin, step)
    })?;
    Ok(bin)
}

/// The same for kwok, which no lab needs.
pub fn provide_kwok(cache: &Cache, state: &State, step: &Step) -> Result<()> {
    provide_these(&[kwok()], cache, state, step)
}

/// The file of the objects that come with kwok, once it is provided.
pub fn kwok_resources(state: &State) -> PathBuf {
    resources_of(&kwok(), state)
}

fn resources_of(program: &Program, state: &State) -> PathBuf {
    state.path(format!("{}-{RESOURCES}", program.name))
}

fn provide_these(programs: &[Program], cache: &Cache, state: &State, step: &Step) -> Result<()> {
    let missing: Vec<&Program> = programs
        .iter()
        .filter(|program| !cache.entry(&program.cache_name()).exists())
        .collect();
    if !missing.is_empty() {
        build_all(&missing, cache, state, step)?;
    }
    for program in programs {
        let built = cache.entry(&program.cache_name()).join(program.name);
        for name in program.names {
            link(&built, &state.program(name))?;
        }
        if program.resources.is_some() {
            let resources = built.with_file_name(RESOURCES);
            link(&resources, &resources_of(program, state))?;
        }
    }
    Ok(())
}

fn build_all(missing: &[&Program], cache: &Cache, state: &State, step: &Step) -> Result<()> {
    let toolchain = Toolchain::find_or_install(cache, state, step)?;
    step.side_by_side(BUILDS_AT_ONCE, missing, |program| {
        let log = state.path(format!("logs/build-{}.log", program.name));
        let built = step.item(program.name, || {
            cache.get(&program.cache_name(), |place| {
                program.build(&toolchain, place, &log)
            })
        });
        built
            .map(drop)
            .with_context(|| format!("building {}", program.name))
    })
    .map(drop)
}

/// All objects of a folder as one text, in the order of the files' names.
fn join_documents(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .filter(|file| !file.ends_with("kustomization.yaml"))
        .collect();
    files.sort();
    let mut text = String::new();
    for file in files {
        text.push_str("---\n");
        text.push_str(&fs::read_to_string(file)?);
        text.push('\n');
    }
    Ok(text)
}

/// Points a link at a target, replacing an older one.
pub fn link(target: &Path, place: &Path) -> Result<()> {
    if fs::read_link(place).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let folder: PathBuf = place
        .parent()
        .ok_or_else(|| anyhow!("{} has no folder", place.display()))?
        .to_owned();
    fs::create_dir_all(&folder)?;
    if fs::symlink_metadata(place).is_ok() {
        fs::remove_file(place)?;
    }
    symlink(target, place).with_context(|| format!("cannot make the link {}", place.display()))
}

/// A command of the lab's kubectl as the administrator.
pub fn kubectl(state: &State) -> Command {
    let mut command = Command::new(state.program("kubectl"));
    command.arg("--kubeconfig").arg(state.kubeconfig());
    // A person's own set-up (proxies, kubectl's preferences) must not change what the lab does.
    command.env("KUBERC", "off");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_bin_folder_comes_from_one_program() {
        let mut programs = programs();
        programs.extend([kwok(), alerts()]);
        let mut names: Vec<_> = programs.iter().flat_map(|program| program.names).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn only_objects_are_taken_from_a_module() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yaml", "kustomization.yaml", "README.md"] {
            fs::write(folder.path().join(name), format!("of: {name}")).unwrap();
        }
        fs::create_dir(folder.path().join("testdata")).unwrap();
        let text = join_documents(folder.path()).unwrap();
        assert_eq!(text, "---\nof: a.yaml\n---\nof: b.yaml\n");
    }

    #[test]
    fn our_own_modules_are_keyed_by_content_and_packages_by_version() {
        let names: Vec<_> = programs().iter().map(Program::cache_name).collect();
        assert!(names.contains(&format!("helm@{HELM_VERSION}")), "{names:?}");
        assert!(
            names.iter().any(|name| name.starts_with("kubernetes-")),
            "{names:?}"
        );
    }

    #[test]
    fn the_version_given_at_link_time_is_the_one_in_go_mod() {
        let module = include_str!("../go/kubernetes/go.mod");
        assert!(module.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}")));
        assert!(kubernetes_link_flags().contains("version.gitVersion=v1.35.4"));
    }
}
