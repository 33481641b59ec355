//! Secrets of the platform's own services: made once, where they are not there, and never changed or removed.
//! By the operator and not by Helm, which would make other ones at every rendering.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use crds::labels;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::random::letters_and_digits;

/// How long it is waited after an answer that tells nothing.
const AGAIN: Duration = Duration::from_secs(5);
/// What the Secrets that are made here are labelled as.
const COMPONENT: &str = "platform-secret";
/// Fewer letters and digits can be guessed.
const SHORTEST: u8 = 16;

/// A Secret that there has to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlatformSecret {
    /// Its name, in the operator's namespace.
    pub name: String,
    /// Random letters and digits under each key, so many.
    #[serde(default)]
    pub generated: BTreeMap<String, u8>,
    /// Texts in which `{key}` stands for what was generated.
    #[serde(default)]
    pub composed: BTreeMap<String, String>,
}

/// Reads the list, a YAML file that the chart writes.
///
/// # Errors
/// It cannot be read, or asks for what cannot be made; the message names the entry.
pub fn read(file: Option<&Path>) -> anyhow::Result<Vec<PlatformSecret>> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--platform-secrets: cannot read {}", file.display()))?;
    parse(&text).with_context(|| format!("--platform-secrets: {}", file.display()))
}

fn parse(text: &str) -> anyhow::Result<Vec<PlatformSecret>> {
    let secrets: Vec<PlatformSecret> = serde_saphyr::from_str(text)?;
    for secret in &secrets {
        let name = &secret.name;
        ensure!(
            !secret.generated.is_empty(),
            "{name}: nothing is generated; name a key and how many characters it has"
        );
        for (key, length) in &secret.generated {
            ensure!(
                *length >= SHORTEST,
                "{name}: generated.{key} has {length} characters; give it {SHORTEST} or more"
            );
        }
        for (key, text) in secret.composed(&secret.generated_as(|_| String::new())) {
            ensure!(
                !text.contains(['{', '}']),
                "{name}: composed.{key} names what is not generated: {text}"
            );
        }
    }
    Ok(secrets)
}

impl PlatformSecret {
    fn generated_as(&self, value: impl Fn(u8) -> String) -> BTreeMap<String, String> {
        let each = |(key, length): (&String, &u8)| (key.clone(), value(*length));
        self.generated.iter().map(each).collect()
    }

    fn composed(&self, generated: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let fill = |text: &String| {
            let each = generated.iter();
            each.fold(text.clone(), |text, (key, value)| {
                text.replace(&format!("{{{key}}}"), value)
            })
        };
        let each = |(key, text): (&String, &String)| (key.clone(), fill(text));
        self.composed.iter().map(each).collect()
    }

    fn roll(&self) -> Secret {
        let mut data = self.generated_as(letters_and_digits);
        data.extend(self.composed(&data));
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(BTreeMap::from([(
                    labels::COMPONENT.to_owned(),
                    COMPONENT.to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            string_data: Some(data),
            ..Secret::default()
        }
    }
}

/// Makes those that are not there, and tries again until each is.
pub async fn provide(
    client: &Client,
    namespace: &str,
    secrets: Vec<PlatformSecret>,
    stop: CancellationToken,
) {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for secret in secrets {
        while let Err(error) = provide_one(&api, &secret).await {
            tracing::warn!(secret = secret.name, %error, "a secret of the platform cannot be made yet");
            let pause = tokio::time::sleep(AGAIN);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }
}

async fn provide_one(api: &Api<Secret>, secret: &PlatformSecret) -> Result<(), kube::Error> {
    if api.get_metadata_opt(&secret.name).await?.is_some() {
        return Ok(());
    }
    match api.create(&PostParams::default(), &secret.roll()).await {
        Ok(_) => tracing::info!(secret = secret.name, "a secret of the platform was made"),
        // Another replica, or a try of ours whose answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
- name: idm-database
  generated: { password: 32 }
  composed: { url: 'postgres://idm:{password}@postgresql.tutti-system:5432/idm' }
";

    #[test]
    fn what_is_composed_holds_what_was_generated() {
        let secrets = parse(LIST).unwrap();
        let data = secrets[0].roll().string_data.unwrap();
        let password = &data["password"];
        assert_eq!(password.len(), 32);
        let url = format!("postgres://idm:{password}@postgresql.tutti-system:5432/idm");
        assert_eq!(data["url"], url);
        assert_ne!(data, secrets[0].roll().string_data.unwrap());
    }

    #[test]
    fn a_list_that_asks_for_what_cannot_be_made_is_refused_by_name() {
        for (list, words) in [
            ("- name: a\n", "a: nothing is generated"),
            (
                "- { name: a, generated: { code: 5 } }",
                "generated.code has 5",
            ),
            (
                "- { name: a, generated: { code: 20 }, composed: { url: 'x{password}' } }",
                "composed.url names what is not generated",
            ),
            ("- { name: a, generates: { code: 20 } }", "generates"),
        ] {
            let error = format!("{:#}", parse(list).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
