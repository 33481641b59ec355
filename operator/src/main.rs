//! The operator's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use operator::{
    config::Config,
    domain::config::DomainsConfig,
    platform_secrets,
    rbac::{self, Scope},
};

/// Makes every AppInstance true: database, storage, secrets, network, app and address.
#[derive(Parser)]
#[command(name = "operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until told to end
    Run(Box<Config>),
    /// Print the rules of the operator's role, as the chart includes them
    Rbac {
        /// Which role
        scope: Scope,
    },
}

fn main() -> ExitCode {
    let (arguments, in_force) = service::config::parse::<Arguments>();
    match execute(arguments.command, &in_force) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, in_force: &str) -> anyhow::Result<()> {
    let config = match command {
        Command::Rbac { scope } => {
            print!("{}", rbac::to_yaml(scope)?);
            return Ok(());
        }
        Command::Run(config) => *config,
    };
    if config.check_config {
        let domains = DomainsConfig::read(config.domains_config.as_deref())?;
        let secrets = platform_secrets::read(config.platform_secrets.as_deref())?;
        print!(
            "{in_force}\n# --domains-config\n{}\n# --platform-secrets\n{}",
            serde_saphyr::to_string(&domains)?,
            serde_saphyr::to_string(&secrets)?
        );
        return Ok(());
    }
    // Two TLS providers in one process panic at the first handshake: this one is chosen before.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("another TLS provider was installed before ours");
    }
    let log_filter = service::telemetry::init(&config.log)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(operator::run::run(config, log_filter))
}
