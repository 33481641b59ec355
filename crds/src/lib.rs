//! The kinds of group `tutti.dev`: the words that every part of Tutti shares.
//!
//! Wishes are objects of these kinds; `status` is the only thing that comes back. One file per
//! kind. This crate holds shapes and the rules that the API server can check by itself (schema
//! and CEL); what a wish *means* is decided in `operator/plan`.
//!
//! ```text
//! AppDefinition (what an app is) ─┐
//! Organization (a customer)      ─┼─> AppInstance (one running app) ──> Route (a hostname of it)
//!                                     ├──> Domain (the customer's own) ──> Route
//!                                     └──> SsoClient (who signs people in to it)
//! ```
//!
//! `crds/yaml/` is generated from here by `make generate` and checked by `make lint`.

pub mod app_definition;
pub mod app_instance;
pub mod condition;
pub mod domain;
pub mod labels;
pub mod organization;
pub mod quantity;
pub mod route;
pub mod sso_client;

pub use app_definition::{AppDefinition, AppDefinitionSpec};
pub use app_instance::{AppInstance, AppInstanceSpec, AppInstanceStatus};
pub use domain::{Domain, DomainSpec};
pub use organization::{Organization, OrganizationSpec};
pub use route::{Route, RouteSpec};
pub use sso_client::{SsoClient, SsoClientSpec, SsoClientStatus};

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube_core::CustomResourceExt;
use serde_json::Value;

/// The API group of all our kinds.
pub const GROUP: &str = "tutti.dev";

/// Every kind's CustomResourceDefinition, in the order in which a reader meets them.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        AppDefinition::crd(),
        Organization::crd(),
        AppInstance::crd(),
        Route::crd(),
        Domain::crd(),
        SsoClient::crd(),
    ]
    .map(without_nullable)
    .map(for_explain)
    .into()
}

/// Takes `nullable` off every field, so that the API server drops a `null` (or refuses it, in
/// server-side apply). A `null` that is kept passes rules by: `has()` says that there is a value,
/// and our types say that there is none.
fn without_nullable(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for_each_schema(crd, |schema| schema.nullable = None)
}

/// Makes `kubectl explain` say what it leaves out, the default, and lets it break lines itself.
fn for_explain(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for_each_schema(crd, |schema| {
        let Some(description) = &mut schema.description else {
            return;
        };
        *description = unwrapped(description);
        match schema.default.as_ref().map(|default| &default.0) {
            None | Some(Value::Object(_) | Value::Array(_) | Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => *description += &format!(" Default: {text}."),
            Some(other) => *description += &format!(" Default: {other}."),
        }
    })
}

/// Lines of a paragraph become one; paragraphs, and the points of a list, stay apart.
fn unwrapped(text: &str) -> String {
    let mut unwrapped = String::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with("- ") {
            unwrapped.push('\n');
        } else if !unwrapped.is_empty() && !unwrapped.ends_with('\n') {
            unwrapped.push(' ');
        }
        unwrapped += line;
        if line.is_empty() {
            unwrapped.push('\n');
        }
    }
    unwrapped
}

fn for_each_schema(
    mut crd: CustomResourceDefinition,
    change: impl Fn(&mut JSONSchemaProps),
) -> CustomResourceDefinition {
    fn visit(schema: &mut JSONSchemaProps, change: &impl Fn(&mut JSONSchemaProps)) {
        change(schema);
        let properties = schema.properties.iter_mut().flat_map(BTreeMap::values_mut);
        properties.for_each(|schema| visit(schema, change));
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
            visit(items, change);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
            visit(values, change);
        }
    }
    let schemas = crd.spec.versions.iter_mut();
    schemas
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
        .for_each(|schema| visit(schema, &change));
    crd
}

/// The YAML of one definition as it stands in `crds/yaml/`.
///
/// # Errors
/// When the definition cannot be written as YAML, which no generated one should do.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    let yaml = serde_saphyr::to_string(crd)?;
    Ok(format!(
        "# Generated from crds/src by `make generate`. Do not edit.\n{yaml}"
    ))
}
