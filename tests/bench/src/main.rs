//! `make bench`: measures the operator (P1, P2, P3) and the gateway (P4) against others and against
//! what the machine allows, and writes the tables into `docs/benchmarks.md`.
//!
//! | what | file |
//! |---|---|
//! | P1: one instance, until Ready | `provision.rs` |
//! | P1: a real one on the lab, and how much of it is ours | `site.rs` |
//! | P1: 1,000 instances at once, without nodes and with fake ones | `crowd.rs` |
//! | P2: a restart in a full cluster | `restart.rs` |
//! | P3: certificates, against lego, certbot and the authority itself | `certificates.rs` |
//! | P4: certificates in the gateway | `changes.rs` |
//! | P4: the gateway and its peers | `traffic.rs`, `proxies.rs` |
//! | the API server and the operator they play with | `stage.rs`, `world.rs` |

mod audit;
mod certificates;
mod changes;
mod children;
mod crowd;
mod document;
mod figures;
mod floor_proxy;
mod handshakes;
mod instances;
mod process;
mod provision;
mod proxies;
mod restart;
mod site;
mod stage;
mod traffic;
mod world;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use stage::{Ground, Stage};

/// Measures Tutti.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Option<What>,
    /// Less of everything, and the document stays as it is
    #[arg(long, global = true)]
    short: bool,
    /// How often each is measured
    #[arg(long, global = true, default_value_t = 5)]
    rounds: u32,
}

#[derive(Clone, Subcommand)]
enum What {
    /// P1: one instance until Ready, against helm and a script
    Provision,
    /// P1: a WordPress on the lab, which has to be up
    Site,
    /// P1: 1,000 instances at once, against a script
    Crowd {
        #[arg(long, default_value_t = 1000)]
        instances: usize,
    },
    /// P2: a fresh operator in a full cluster
    Restart {
        #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000])]
        instances: Vec<usize>,
        /// Seconds that filling the cluster may take, for each size
        #[arg(long, default_value_t = 360)]
        patience: u64,
    },
    /// P3: names certified through the gateway, against lego and certbot
    Certificates {
        #[arg(long, default_value_t = 1000)]
        names: usize,
    },
    /// P4: idle certificates in the gateway, and changes of them
    Changes {
        #[arg(long, default_value_t = 10_000)]
        idle: usize,
        #[arg(long, default_value_t = 1000)]
        changes: usize,
    },
    /// P4: the gateway against haproxy, nginx and Caddy
    Traffic {
        #[arg(long, default_value_t = 5)]
        warm_up: u64,
        #[arg(long, default_value_t = 15)]
        seconds: u64,
    },
    #[command(hide = true)]
    FloorProxy {
        listen: SocketAddr,
        upstream: SocketAddr,
        certificate: PathBuf,
        key: PathBuf,
    },
    #[command(hide = true)]
    Handshakes {
        address: SocketAddr,
        host: String,
        certificate: PathBuf,
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    // The helpers are measured or measure: one thread on one core. Ours is beside the measured.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(execute(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(arguments: Arguments) -> Result<()> {
    let (short, rounds) = (
        arguments.short,
        if arguments.short { 1 } else { arguments.rounds },
    );
    let all = match arguments.command {
        Some(What::FloorProxy {
            listen,
            upstream,
            certificate,
            key,
        }) => {
            return floor_proxy::serve(listen, upstream, &certificate, &key).await;
        }
        Some(What::Handshakes {
            address,
            host,
            certificate,
            seconds,
        }) => {
            return handshakes::run(address, &host, &certificate, seconds).await;
        }
        Some(one) => vec![one],
        None => vec![
            What::Provision,
            What::Site,
            What::Crowd { instances: 1000 },
            What::Certificates { names: 1000 },
            What::Changes {
                idle: 10_000,
                changes: 1000,
            },
            What::Traffic {
                warm_up: 5,
                seconds: 15,
            },
            What::Restart {
                instances: vec![1000, 10_000],
                patience: 360,
            },
        ],
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let target = std::env::current_exe()?;
    let folder = target.ancestors().nth(2).unwrap_or(&root).join("bench");
    fs::create_dir_all(&folder)?;
    for what in all {
        let quiet = document::quiet();
        let (part, command, text) = measure(&what, &folder, rounds, short).await?;
        let command = format!("make bench ONLY=\"{command}\"");
        let text = format!("{text}\n{}{quiet}", document::circumstances(&command));
        println!("{text}");
        if !short {
            document::replace(&root.join("docs/benchmarks.md"), part, &text)?;
        }
    }
    Ok(())
}

/// Each on a control plane of its own: nothing of one is left for the next.
async fn measure(
    what: &What,
    folder: &Path,
    rounds: u32,
    short: bool,
) -> Result<(&'static str, String, String)> {
    let place = folder.join("stage");
    Ok(match what {
        What::Provision => {
            let mut stage = Stage::start(&place, Ground::NoNodes).await?;
            (
                "provision",
                "provision".to_owned(),
                provision::run(&mut stage, folder, rounds).await?,
            )
        }
        What::Site => ("site", "site".to_owned(), site::run(folder, rounds).await?),
        What::Crowd { instances } => {
            let size = crowd::Size {
                instances: if short { 50 } else { *instances },
                on_schedule: !short,
            };
            (
                "crowd",
                format!("crowd --instances {}", size.instances),
                crowd::run(folder, size).await?,
            )
        }
        What::Restart {
            instances,
            patience,
        } => {
            let size = restart::Size {
                instances: if short { vec![50] } else { instances.clone() },
                starts: rounds,
                patience: Duration::from_secs(*patience),
            };
            let list: Vec<String> = size.instances.iter().map(usize::to_string).collect();
            let mut stage = Stage::start(&place, Ground::NoNodes).await?;
            (
                "restart",
                format!(
                    "restart --instances {} --patience {patience}",
                    list.join(",")
                ),
                restart::run(&mut stage, folder, &size).await?,
            )
        }
        What::Certificates { names } => {
            let size = certificates::Size {
                names: if short { 50 } else { *names },
                rounds: rounds.min(3),
            };
            let stage = Stage::start(&place, Ground::NoNodes).await?;
            (
                "certificates",
                format!("certificates --names {names}"),
                certificates::run(&stage, folder, &size).await?,
            )
        }
        What::Changes { idle, changes } => {
            let size = changes::Size {
                idle: if short { 200 } else { *idle },
                changes: if short { 50 } else { *changes },
            };
            let stage = Stage::start(&place, Ground::NoNodes).await?;
            (
                "changes",
                format!("changes --idle {idle} --changes {changes}"),
                changes::run(&stage, folder, &size).await?,
            )
        }
        What::Traffic { warm_up, seconds } => {
            let size = traffic::Size {
                rounds,
                warm_up: *warm_up,
                seconds: if short { 1 } else { *seconds },
            };
            let stage = Stage::start(&place, Ground::NoNodes).await?;
            (
                "traffic",
                format!("traffic --warm-up {warm_up} --seconds {seconds}"),
                traffic::run(&stage, folder, &size).await?,
            )
        }
        What::FloorProxy { .. } | What::Handshakes { .. } => {
            anyhow::bail!("it measures nothing by itself")
        }
    })
}
