//! What every kind must have, seen without an API server.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like the test itself"
)]

use std::{collections::BTreeSet, fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

fn schema(crd: &CustomResourceDefinition) -> Value {
    serde_json::to_value(crd).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Calls `look` with the path and schema of every field, of whatever depth.
fn walk(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, look);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&format!("{path}{suffix}"), &schema[key], look);
        }
    }
}

#[test]
fn the_yaml_in_git_is_the_one_that_is_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["yaml", "../charts/tutti-crds/files"] {
        let mut files = BTreeSet::new();
        for crd in crds::all() {
            let file = format!("{}.yaml", crd.spec.names.plural);
            let known = fs::read_to_string(root.join(folder).join(&file)).unwrap_or_default();
            assert!(
                known == crds::to_yaml(&crd).unwrap(),
                "{folder}/{file} is not up to date: make generate"
            );
            files.insert(file);
        }
        let there: BTreeSet<String> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(there, files, "{folder}");
    }
}

#[test]
fn every_field_is_described_for_kubectl_explain() {
    for crd in crds::all() {
        let kind = &crd.spec.names.kind;
        walk(kind, &schema(&crd), &mut |path, schema| {
            // What a list or map holds is described where the list is, unless it has fields.
            let is_plain_item = path.ends_with(['}', ']']) && schema["properties"].is_null();
            let description = schema["description"].as_str().unwrap_or_default();
            assert!(
                is_plain_item || description.len() > 5,
                "{path} has no description"
            );
        });
    }
}

#[test]
fn every_field_is_typed_and_texts_and_lists_of_a_spec_are_bounded() {
    for crd in crds::all() {
        let kind = &crd.spec.names.kind;
        walk(
            "spec",
            &schema(&crd)["properties"]["spec"],
            &mut |path, schema| {
                let bound = match schema["type"].as_str() {
                    Some("string") if schema["enum"].is_array() => return,
                    Some("string") => "maxLength",
                    Some("array") => "maxItems",
                    Some("integer") => "maximum",
                    Some("object") if schema["additionalProperties"].is_object() => "maxProperties",
                    Some("object" | "boolean") => return,
                    other => panic!("{kind}.{path} has type {other:?}"),
                };
                // A text that matches a bounded pattern is bounded.
                assert!(!schema[bound].is_null(), "{kind}.{path} has no {bound}");
            },
        );
    }
}

#[test]
fn no_field_is_nullable_so_that_has_means_that_there_is_a_value() {
    for crd in crds::all() {
        walk(&crd.spec.names.kind, &schema(&crd), &mut |path, schema| {
            assert!(schema["nullable"].is_null(), "{path} is nullable");
        });
    }
}

#[test]
fn every_rule_says_what_is_wrong_to_a_person() {
    for crd in crds::all() {
        walk(&crd.spec.names.kind, &schema(&crd), &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"]
                .as_array()
                .into_iter()
                .flatten()
            {
                // One that is put together begins with a text all the same.
                let composed = rule["messageExpression"].as_str().unwrap_or_default();
                let composed = composed.trim_start_matches('\'');
                let message = rule["message"].as_str().unwrap_or(composed);
                // The field first, because the API server's own path may be that of its parent.
                let field = message.split_once(": ").map_or("", |(field, _)| field);
                assert!(
                    !field.is_empty() && !field.contains(' '),
                    "{path}: the message {message:?} does not begin with a field"
                );
            }
        });
    }
}

#[test]
fn every_kind_has_what_the_design_demands_of_each() {
    for crd in crds::all() {
        let names = &crd.spec.names;
        let kind = &names.kind;
        assert_eq!(crd.spec.group, "tutti.dev", "{kind}");
        assert_eq!(
            names.categories.as_deref(),
            Some(&["tutti".to_owned()][..]),
            "{kind}"
        );
        let version = &crd.spec.versions[0];
        let subresources = version.subresources.as_ref().unwrap();
        assert!(
            subresources.status.is_some(),
            "{kind} has no status subresource"
        );
        let schema = schema(&crd);
        let conditions = &schema["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map", "{kind}");
        let columns = version
            .additional_printer_columns
            .as_deref()
            .unwrap_or_default();
        let columns: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(
            columns.iter().filter(|c| **c == "Age").count(),
            1,
            "{kind}: {columns:?}"
        );
        assert!(names.short_names.is_some(), "{kind}");
        assert!(
            columns.contains(&"Ready") && columns.contains(&"Reason"),
            "{columns:?}"
        );
    }
}

#[test]
fn printer_columns_name_fields_that_exist() {
    for crd in crds::all() {
        let mut fields = BTreeSet::new();
        walk("", &schema(&crd), &mut |path, _| {
            fields.insert(path.replace("[]", ""));
        });
        for column in crd.spec.versions[0]
            .additional_printer_columns
            .iter()
            .flatten()
        {
            // `.a[?(@.type=="Ready")].b` and `.a[*].b` are about the field `.a.b`.
            let mut path = String::new();
            let mut depth = 0;
            for c in column.json_path.chars() {
                match c {
                    '[' => depth += 1,
                    ']' => depth -= 1,
                    c if depth == 0 => path.push(c),
                    _ => {}
                }
            }
            let is_known = path.starts_with(".metadata.") || fields.contains(&path);
            assert!(is_known, "{}: {path}", crd.spec.names.kind);
        }
    }
}
