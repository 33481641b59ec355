//! Generated secrets: which there must be. Dice are rolled by the operator, once.

use std::collections::BTreeMap;

use crds::app_definition::Engine;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::metadata::{self, COMPONENT_DATABASE, COMPONENT_WEB, HOST_ANNOTATION};
use crate::{
    check::{DATABASE_PASSWORD_KEY, DATABASE_ROOT_PASSWORD_KEY, SECRET_KEY, Wish},
    engine, names,
};

/// A Secret that must exist. Where it does not, the operator creates it with random letters and
/// digits; where it does, it is left alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecretWish {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// Length of each value, in characters, by key.
    pub lengths: BTreeMap<String, u8>,
}

/// 32 letters and digits are 190 bits; short enough for every engine.
const DATABASE_PASSWORD_LENGTH: u8 = 32;

pub(super) fn build(wish: &Wish<'_>) -> Vec<SecretWish> {
    let mut wishes: Vec<SecretWish> = wish
        .definition
        .secrets
        .iter()
        .map(|secret| SecretWish {
            metadata: metadata(wish, names::secret(&wish.name, &secret.name), COMPONENT_WEB),
            lengths: BTreeMap::from([(SECRET_KEY.to_owned(), secret.length)]),
        })
        .collect();
    if wish.definition.database.engine != Engine::None {
        let mut lengths =
            BTreeMap::from([(DATABASE_PASSWORD_KEY.to_owned(), DATABASE_PASSWORD_LENGTH)]);
        let facts = engine::facts(wish.definition.database.engine);
        if facts.is_some_and(|facts| facts.root_password_variable.is_some()) {
            lengths.insert(
                DATABASE_ROOT_PASSWORD_KEY.to_owned(),
                DATABASE_PASSWORD_LENGTH,
            );
        }
        wishes.push(SecretWish {
            metadata: metadata(wish, names::database(&wish.name), COMPONENT_DATABASE),
            lengths,
        });
    }
    wishes
}

fn metadata(wish: &Wish<'_>, name: String, component: &str) -> ObjectMeta {
    let mut metadata = metadata::kept(wish, name, component);
    metadata.annotations = Some(BTreeMap::from([(
        HOST_ANNOTATION.to_owned(),
        wish.host.clone(),
    )]));
    metadata
}
