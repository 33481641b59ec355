//! The command line of the lab.

use std::{
    io::{ErrorKind, Write, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use lab::{
    Lab,
    cache::Cache,
    docker::ImageBuild,
    doctor::{self, Gravity},
    down,
    forward::{self, Forward},
    internet, node,
    platform::{self, Choice, Target},
    state::State,
    status, tell, up,
};

/// A real Kubernetes on this machine, with no image registry to pull from.
#[derive(Parser)]
#[command(name = "lab", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the lab up, or back up; what runs already is left alone.
    Up {
        /// How many nodes; more than before adds the missing ones.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: Option<u8>,
    },
    /// End the lab and remove its data; the cache of built programs stays.
    Down(Choice),
    /// End the lab but keep its data: a later `up` resumes.
    Stop(Choice),
    /// What runs where, since when, and what it costs.
    Status,
    /// Print what a shell needs: eval "$(lab env)".
    Env,
    /// Look whether this machine can hold a lab.
    Doctor,
    /// Images for the lab.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Build and push every image that the registry has not.
    Images(Choice),
    /// Look whether Tutti can be installed on a cluster, before anything is built.
    Check {
        #[command(flatten)]
        choice: Choice,
        /// The DNS zone that apps get their addresses in; tutti.localhost for a first try.
        #[arg(long)]
        zone: Option<String>,
    },
    /// Install or update Tutti on a cluster; ends with the link.
    Install {
        #[command(flatten)]
        choice: Choice,
        /// The DNS zone that apps get their addresses in; tutti.localhost for a first try.
        #[arg(long)]
        zone: Option<String>,
    },
    /// Follow logs of the operator, the gateway, idm, or an instance.
    Logs {
        /// A context of your kubeconfig instead of the lab.
        #[arg(long)]
        context: Option<String>,
        /// operator, gateway, or an instance as name or namespace/name.
        #[arg(default_value = "operator")]
        whose: String,
    },
    /// The DNS of the lab's internet: names under test.
    #[command(subcommand)]
    Dns(internet::Change),
    /// Apps of the catalogue.
    #[command(subcommand)]
    App(AppCommand),
    /// The first process of a node.
    #[command(hide = true)]
    Node { plan: PathBuf },
    /// Forward TCP ports, each as LISTEN=TARGET.
    #[command(hide = true)]
    Forward { forwards: Vec<Forward> },
}

#[derive(Subcommand)]
enum ImageCommand {
    /// Build a folder with a Dockerfile; the last line printed is the image's reference.
    Build(Build),
}

#[derive(Subcommand)]
enum AppCommand {
    /// Say what is wrong with an app's folder, and where.
    Lint {
        /// Folders with an app.yaml.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct Build {
    /// The folder with the Dockerfile.
    context: PathBuf,
    /// repository:tag
    #[arg(long)]
    tag: String,
    /// NAME=VALUE for an ARG of the Dockerfile.
    #[arg(long = "build-arg", value_parser = parse_argument)]
    build_arguments: Vec<(String, String)>,
    /// Push it; a context that the registry has already is not built again.
    #[arg(long)]
    push: bool,
}

fn parse_argument(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("{text} is not of the form NAME=VALUE")),
    }
}

fn main() -> ExitCode {
    match run(CommandLine::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has had enough, as in `lab env | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn run(command: Command) -> Result<()> {
    let state = State::from_environment();
    match command {
        Command::Up { nodes } => up::up(&state, &Cache::from_environment(), nodes).map(|_| ()),
        Command::Down(choice) => choice.demand_lab().and_then(|()| down::down(&state)),
        Command::Stop(choice) => choice.demand_lab().and_then(|()| down::stop(&state)),
        Command::Status => status::print(&state),
        Command::Env => print_environment(),
        Command::Doctor => print_findings(&state),
        Command::Image(ImageCommand::Build(build)) => build_image(build),
        Command::Images(choice) => platform::images::build_all(&Target::of(&choice)?),
        Command::Check { choice, zone } => {
            platform::check::check(&Target::of(&choice)?, zone.as_deref())
        }
        Command::Install { choice, zone } => {
            platform::install::install(&Target::of(&choice)?, zone.as_deref())
        }
        Command::Logs { context, whose } => platform::logs::follow(context.as_deref(), &whose),
        Command::Dns(change) => internet::change(&state, &change),
        Command::App(AppCommand::Lint { folders }) => platform::lint::lint(&folders),
        Command::Node { plan } => node::supervise(&plan),
        Command::Forward { forwards } => forward::serve(forwards),
    }
}

fn print_environment() -> Result<()> {
    let lab = Lab::discover()?;
    let mut out = stdout();
    for (name, value) in lab.environment() {
        writeln!(out, "export {name}='{value}'")?;
    }
    let folder = lab.program_folder();
    writeln!(out, "export PATH='{}':\"$PATH\"", folder.display())?;
    Ok(())
}

fn print_findings(state: &State) -> Result<()> {
    let mut problems = 0;
    for finding in doctor::examine(state) {
        let sign = match finding.gravity {
            Gravity::Fine => "ok",
            Gravity::Note => "note",
            Gravity::Problem => "PROBLEM",
        };
        tell!("{sign:>8}  {}", finding.fact);
        if !finding.mend.is_empty() {
            tell!("{:>8}  -> {}", "", finding.mend);
        }
        problems += usize::from(finding.gravity == Gravity::Problem);
    }
    if problems > 0 {
        bail!(
            "this machine cannot hold a lab; mend what is named above, {}",
            doctor::WAY_OUT
        );
    }
    Ok(())
}

fn build_image(build: Build) -> Result<()> {
    let request = ImageBuild {
        context: build.context,
        tag: build.tag,
        arguments: build.build_arguments,
        push: build.push,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let lab = Lab::discover()?;
    let built = runtime.block_on(lab.build_image(&request, |line| eprintln!("{line}")))?;
    if built.was_there {
        eprintln!("the registry has it already");
    }
    writeln!(stdout(), "{}", built.reference)?;
    Ok(())
}
