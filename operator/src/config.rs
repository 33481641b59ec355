//! Configuration: one struct per concern, from flags or environment.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use clap::Args;
use crds::app_definition::Engine;
use plan::{Platform, context::Idm};
use service::LogArgs;

/// Everything that can be configured.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Facts of the platform that plans depend on
    #[command(flatten)]
    pub platform: PlatformArgs,
    /// Which replica leads
    #[command(flatten)]
    pub leadership: LeadershipArgs,
    /// Where health and metrics are answered
    #[arg(long, env = "TUTTI_LISTEN", default_value = "0.0.0.0:8081")]
    pub listen: SocketAddr,
    /// How domains are looked at and certified, a YAML file; docs/operations/domains.md
    #[arg(long, env = "TUTTI_DOMAINS_CONFIG")]
    pub domains_config: Option<PathBuf>,
    /// Secrets of the platform's own services, made once where they are not there, a YAML file
    #[arg(long, env = "TUTTI_PLATFORM_SECRETS")]
    pub platform_secrets: Option<PathBuf>,
    /// How many objects are reconciled at once
    #[arg(long, env = "TUTTI_CONCURRENCY", default_value_t = 32)]
    pub concurrency: u16,
    /// Logs
    #[command(flatten)]
    pub log: LogArgs,
    /// Check the configuration, print it, and exit
    #[arg(long)]
    pub check_config: bool,
}

/// Facts of the platform.
#[derive(Args, Clone, Debug)]
pub struct PlatformArgs {
    /// Zone under which every instance gets its default host, such as apps.example.com
    #[arg(long, env = "TUTTI_PLATFORM_ZONE", value_parser = zone)]
    pub platform_zone: String,
    /// Port at which browsers reach the gateway by HTTPS
    #[arg(long, env = "TUTTI_PUBLIC_HTTPS_PORT", default_value_t = 443)]
    pub public_https_port: u16,
    /// Registry and path for images that name no registry host, such as registry.example.com/tutti
    #[arg(long, env = "TUTTI_IMAGE_REGISTRY")]
    pub image_registry: Option<String>,
    /// Image of each database engine, without tag, such as mariadb=mariadb,postgresql=postgresql
    #[arg(
        long,
        env = "TUTTI_DATABASE_IMAGES",
        value_delimiter = ',',
        value_parser = database_image,
        default_value = "mariadb=mariadb,postgresql=postgresql"
    )]
    pub database_images: Vec<(Engine, String)>,
    /// Secrets of type kubernetes.io/dockerconfigjson in each organization's namespace that images
    /// are pulled with
    #[arg(long, env = "TUTTI_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,
    /// Namespace of the gateway's pods; the operator's own when not set
    #[arg(long, env = "TUTTI_GATEWAY_NAMESPACE")]
    pub gateway_namespace: Option<String>,
    /// Labels of the gateway's pods
    #[arg(
        long,
        env = "TUTTI_GATEWAY_SELECTOR",
        value_delimiter = ',',
        value_parser = label,
        default_value = "app.kubernetes.io/name=gateway"
    )]
    pub gateway_selector: Vec<(String, String)>,
    /// Storage class of volumes; the cluster's default when not set
    #[arg(long, env = "TUTTI_STORAGE_CLASS")]
    pub storage_class: Option<String>,
    /// idm
    #[command(flatten)]
    pub idm: IdmArgs,
}

/// Where idm is, and who it is.
#[derive(Args, Clone, Debug)]
pub struct IdmArgs {
    /// Namespace of idm; there is none when not set
    #[arg(long, env = "TUTTI_IDM_NAMESPACE")]
    pub idm_namespace: Option<String>,
    /// Labels of idm's pods
    #[arg(
        long,
        env = "TUTTI_IDM_SELECTOR",
        value_delimiter = ',',
        value_parser = label,
        default_value = "app.kubernetes.io/name=idm"
    )]
    pub idm_selector: Vec<(String, String)>,
    /// ServiceAccount of idm
    #[arg(long, env = "TUTTI_IDM_ACCOUNT", default_value = "idm")]
    pub idm_account: String,
    /// Port of idm's pods at which applications prove themselves
    #[arg(long, env = "TUTTI_IDM_CLIENTS_PORT", default_value_t = 8083)]
    pub idm_clients_port: u16,
}

/// Which replica leads.
#[derive(Args, Clone, Debug)]
pub struct LeadershipArgs {
    /// Namespace of the lease, and of this program
    #[arg(long, env = "POD_NAMESPACE", default_value = "tutti-system")]
    pub namespace: String,
    /// Name of this replica
    #[arg(long, env = "POD_NAME", default_value_t = own_name())]
    pub identity: String,
    /// Seconds after which a leader that was not heard of is replaced
    #[arg(long, env = "TUTTI_LEASE_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(3..=300))]
    pub lease_seconds: u16,
}

/// Outside a pod: unique enough for a developer's machine.
fn own_name() -> String {
    format!("operator-{}", std::process::id())
}

impl Config {
    /// The facts that plans depend on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        let args = &self.platform;
        // An empty variable is how charts say "not set".
        let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        Platform {
            zone: args.platform_zone.clone(),
            https_port: args.public_https_port,
            image_registry: set(&args.image_registry),
            database_images: args
                .database_images
                .iter()
                .cloned()
                .collect::<BTreeMap<_, _>>(),
            image_pull_secrets: args
                .image_pull_secrets
                .iter()
                .filter(|name| !name.is_empty())
                .cloned()
                .collect(),
            gateway_namespace: set(&args.gateway_namespace)
                .unwrap_or_else(|| self.leadership.namespace.clone()),
            gateway_labels: args.gateway_selector.iter().cloned().collect(),
            storage_class: set(&args.storage_class),
            idm: set(&args.idm.idm_namespace).map(|namespace| Idm {
                namespace,
                labels: args.idm.idm_selector.iter().cloned().collect(),
                account: args.idm.idm_account.clone(),
                port: args.idm.idm_clients_port.into(),
            }),
        }
    }
}

fn zone(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // 52 characters are what an instance's name and its token need in front of it.
    if text.len() <= 200 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err("a DNS name in lower case is wanted, such as apps.example.com".to_owned())
    }
}

fn database_image(text: &str) -> Result<(Engine, String), String> {
    let (engine, image) = text
        .split_once('=')
        .filter(|(_, image)| !image.is_empty())
        .ok_or("ENGINE=IMAGE is wanted, such as mariadb=mariadb")?;
    let engine = match engine {
        "mariadb" => Engine::Mariadb,
        "postgresql" => Engine::Postgresql,
        other => {
            return Err(format!(
                "{other:?} is no engine; mariadb and postgresql are"
            ));
        }
    };
    Ok((engine, image.to_owned()))
}

fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "KEY=VALUE is wanted".to_owned())
}
