//! Builds images on the lab's dockerd and pushes them to its registry. A build whose context is
//! in the registry already is skipped: the hash of the context is a tag there.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bollard::{
    Docker,
    auth::DockerCredentials,
    query_parameters::{
        BuildImageOptionsBuilder, ImportImageOptionsBuilder, PushImageOptionsBuilder,
        TagImageOptionsBuilder,
    },
};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures_util::StreamExt;

use crate::{dockerfile, images::base_image, state::State};

/// The longest silence of dockerd within a request: a step of a build (installing packages) says
/// nothing for minutes.
const PATIENCE_SECONDS: u64 = 30 * 60;

/// How `docker login` calls the registry of images that name none.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What to build.
#[derive(Clone, Debug)]
pub struct ImageBuild {
    /// The folder with the Dockerfile.
    pub context: PathBuf,
    /// `repository:tag`, such as `localhost:5000/tutti/wordpress:6.8`.
    pub tag: String,
    /// Values of the Dockerfile's ARG lines.
    pub arguments: Vec<(String, String)>,
    /// Whether to push it to the registry that its name begins with.
    pub push: bool,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// `repository@sha256:…` when it was pushed, else the tag.
    pub reference: String,
    /// Whether the registry held it already.
    pub was_there: bool,
}

/// Connects to the lab's dockerd.
pub async fn connect(state: &State) -> Result<Docker> {
    let socket = state.docker_socket();
    let socket = socket
        .to_str()
        .context("the state folder's path is not text")?;
    let docker = Docker::connect_with_unix(socket, PATIENCE_SECONDS, bollard::API_DEFAULT_VERSION)
        .with_context(|| format!("no dockerd at {socket}; run make up"))?;
    // Debian's dockerd speaks an older version than this library.
    docker
        .negotiate_version()
        .await
        .with_context(|| format!("dockerd does not answer at {socket}; run make up"))
}

/// Builds an image; every line of the builder's goes to `output`.
pub async fn build(
    docker: &Docker,
    request: &ImageBuild,
    mut output: impl FnMut(&str),
) -> Result<BuiltImage> {
    let (repository, tag) = split_tag(&request.tag)?;
    let dockerfile = request.context.join("Dockerfile");
    let text = fs::read_to_string(&dockerfile)
        .with_context(|| format!("cannot read {}", dockerfile.display()))?;
    let bases = ensure_bases(docker, &dockerfile::base_images(&text, &request.arguments)).await?;
    let hash = dockerfile::context_hash(&request.context, &request.arguments, &bases)?;
    // A tag has at most 128 characters; 32 of the hash never meet by chance.
    let content_tag = format!("content-{}", &hash[..32]);
    let content_name = format!("{repository}:{content_tag}");
    if request.push
        && let Some(digest) = digest_in_registry(docker, &content_name).await
    {
        let tagged = digest_in_registry(docker, &request.tag).await;
        let may_tag = tagged.as_deref() == Some(&digest)
            || retag(docker, &content_name, repository, tag).await.is_ok();
        if may_tag {
            return Ok(BuiltImage {
                reference: format!("{repository}@{digest}"),
                was_there: true,
            });
        }
    }
    build_context(docker, request, &mut output).await?;
    if !request.push {
        return Ok(BuiltImage {
            reference: request.tag.clone(),
            was_there: false,
        });
    }
    push(docker, repository, tag).await?;
    retag(docker, &request.tag, repository, &content_tag).await?;
    let digest = digest_in_registry(docker, &request.tag)
        .await
        .with_context(|| format!("the registry does not have {} after the push", request.tag))?;
    Ok(BuiltImage {
        reference: format!("{repository}@{digest}"),
        was_there: false,
    })
}

/// Checks that all base images are there, and returns what they are now: a new base makes a new
/// image.
async fn ensure_bases(docker: &Docker, images: &[String]) -> Result<String> {
    let mut identities = String::new();
    for image in images {
        match docker.inspect_image(image).await {
            Ok(found) => identities.push_str(&found.id.unwrap_or_default()),
            // It may be in a registry, from where the builder takes it.
            Err(_) => match digest_in_registry(docker, image).await {
                Some(digest) => identities.push_str(&digest),
                None => bail!(
                    "the base image {image} is neither loaded nor in a registry that can be \
                     reached; the lab has debian:<release>-slim and what is pushed to its own \
                     registry"
                ),
            },
        }
    }
    Ok(identities)
}

/// Whether dockerd has an image.
pub async fn has(docker: &Docker, image: &str) -> bool {
    docker.inspect_image(image).await.is_ok()
}

async fn build_context(
    docker: &Docker,
    request: &ImageBuild,
    output: &mut impl FnMut(&str),
) -> Result<()> {
    let mut context = Vec::new();
    dockerfile::context_tar(&request.context, &mut context)?;
    let arguments: HashMap<String, String> = request.arguments.iter().cloned().collect();
    let options = BuildImageOptionsBuilder::default()
        .dockerfile("Dockerfile")
        .t(&request.tag)
        .rm(true)
        .forcerm(true)
        .networkmode("host")
        .buildargs(&arguments)
        .build();
    let mut news = docker.build_image(options, None, Some(bollard::body_full(context.into())));
    let mut last = String::new();
    while let Some(item) = news.next().await {
        let item =
            item.with_context(|| format!("building {} failed after: {last}", request.tag))?;
        if let Some(error) = item.error_detail {
            bail!(
                "building {} failed after: {last}\n{}",
                request.tag,
                error.message.unwrap_or_default()
            );
        }
        if let Some(text) = item.stream {
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                output(line);
                if line.starts_with("Step ") {
                    line.clone_into(&mut last);
                }
            }
        }
    }
    Ok(())
}

async fn retag(docker: &Docker, name: &str, repository: &str, tag: &str) -> Result<()> {
    let options = TagImageOptionsBuilder::default()
        .repo(repository)
        .tag(tag)
        .build();
    docker.tag_image(name, Some(options)).await?;
    push(docker, repository, tag).await
}

async fn push(docker: &Docker, repository: &str, tag: &str) -> Result<()> {
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let mut news = docker.push_image(repository, Some(options), credentials(repository)?);
    while let Some(item) = news.next().await {
        let item = item.with_context(|| format!("cannot push {repository}:{tag}"))?;
        if let Some(error) = item.error_detail {
            bail!(
                "cannot push {repository}:{tag}: {}",
                error.message.unwrap_or_default()
            );
        }
    }
    Ok(())
}

async fn digest_in_registry(docker: &Docker, name: &str) -> Option<String> {
    let credentials = credentials(name).ok()?;
    let found = docker
        .inspect_registry_image(name, credentials)
        .await
        .ok()?;
    found.descriptor.digest
}

/// What keeps dockerd from talking with the registry of an image, if anything does. That the
/// registry has no such image, or does not say, is an answer.
pub async fn why_unreachable(docker: &Docker, image: &str) -> Option<String> {
    let credentials = match credentials(image) {
        Ok(credentials) => credentials,
        Err(error) => return Some(format!("{error:#}")),
    };
    let error = docker
        .inspect_registry_image(image, credentials)
        .await
        .err()?
        .to_string();
    is_unreachable(&error).then_some(error)
}

/// What dockerd says when it does not come as far as to ask for an image.
fn is_unreachable(error: &str) -> bool {
    [
        "dial tcp",
        "no such host",
        "i/o timeout",
        "HTTP response to HTTPS client",
        "x509:",
        "tls:",
        "Client.Timeout",
        "invalid reference format",
    ]
    .iter()
    .any(|sign| error.contains(sign))
}

/// What `docker login` has left for the registry of an image, in its file or in a helper that the
/// file names. Nothing for the lab's own.
fn credentials(image: &str) -> Result<Option<DockerCredentials>> {
    let registry = match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) => host,
        _ => DOCKER_HUB,
    };
    match docker_credential::get_credential(registry) {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(Some(DockerCredentials {
            username: Some(username),
            password: Some(password),
            serveraddress: Some(registry.to_owned()),
            ..DockerCredentials::default()
        })),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(DockerCredentials {
            identitytoken: Some(token),
            serveraddress: Some(registry.to_owned()),
            ..DockerCredentials::default()
        })),
        // Who never logged in has no file; the library says the same of one that it cannot read.
        Err(CredentialRetrievalError::ConfigReadError) if !login_file().exists() => Ok(None),
        // Then the registry decides; that is also how a helper says that it knows none.
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::HelperFailure { .. },
        ) => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("no credentials for {registry}: run docker login"))
        }
    }
}

/// Where `docker login` writes.
fn login_file() -> PathBuf {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".docker");
    folder.unwrap_or_else(home).join("config.json")
}

/// Splits `repository:tag`; a colon before the last slash belongs to a port.
fn split_tag(name: &str) -> Result<(&str, &str)> {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') && !tag.is_empty() => Ok((repository, tag)),
        _ => bail!("{name} has no tag; write repository:tag"),
    }
}

/// Loads the base image of a release into dockerd unless it is there.
pub fn provide_base(state: &State, release: &str, archive: &Path) -> Result<()> {
    let image = base_image(release);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let docker = connect_patiently(state).await?;
        if docker.inspect_image(&image).await.is_ok() {
            return Ok(());
        }
        let content = fs::read(archive)?;
        let options = ImportImageOptionsBuilder::default().build();
        let mut news = docker.import_image(options, bollard::body_full(content.into()), None);
        while let Some(item) = news.next().await {
            item.context("cannot load the base image into dockerd")?;
        }
        ensure!(
            docker.inspect_image(&image).await.is_ok(),
            "{image} is not there after it was loaded"
        );
        Ok(())
    })
}

async fn connect_patiently(state: &State) -> Result<Docker> {
    // dockerd starts after containerd, in about 2 s; more on a busy machine.
    for _ in 0..300 {
        if let Ok(docker) = connect(state).await {
            return Ok(docker);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = state.node_path(1, "logs/dockerd.log");
    connect(state)
        .await
        .with_context(|| crate::process::tail(&log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_logged_in_asks_as_nobody() {
        if !login_file().exists() {
            assert!(credentials("localhost:5000/tutti/x:1").unwrap().is_none());
        }
    }

    #[test]
    fn a_registry_without_the_image_is_reached_all_the_same() {
        assert!(is_unreachable(
            "Get \"https://registry.example.com/v2/\": dial tcp: lookup registry.example.com: no \
             such host"
        ));
        assert!(is_unreachable(
            "http: server gave HTTP response to HTTPS client"
        ));
        assert!(!is_unreachable("manifest unknown: manifest unknown"));
        assert!(!is_unreachable(
            "denied: requested access to the resource is denied"
        ));
    }

    #[test]
    fn the_port_of_a_registry_is_not_a_tag() {
        assert_eq!(
            split_tag("localhost:5000/a:1").unwrap(),
            ("localhost:5000/a", "1")
        );
        assert!(split_tag("localhost:5000/a").is_err());
        assert!(split_tag("a:").is_err());
    }
}
