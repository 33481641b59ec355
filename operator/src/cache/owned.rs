//! Which fields of an object are ours: as managedFields tell, and as they must be after an apply.
//!
//! Somebody who changes a field of ours, or adds one, gets an entry in managedFields; somebody who
//! only removes one gets none, and the field merely leaves our entry. While the operator runs it
//! sees that. After a restart it compares the two digests here, so that what was removed meanwhile
//! is found without a read or a write.
//!
//! The second is computed from what we apply and from the few facts of Kubernetes' schemas below.
//! Were it wrong for a field, an object would be applied once after each restart, to no effect.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::{Map, Value};

/// Lists whose items are told apart by these fields. All others are owned as a whole.
const LISTS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("env", &["name"]),
    ("ownerReferences", &["uid"]),
    ("ports", &["containerPort", "protocol"]),
    ("ports", &["port", "protocol"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];
/// Objects that are owned as a whole.
const WHOLE: &[&str] = &[
    "configMapKeyRef",
    "fieldRef",
    "nodeSelector",
    // An item of that list.
    "ownerReferences",
    "podSelector",
    "roleRef",
    "secretKeyRef",
    "selector",
];
/// What of metadata says which object it is, and is nobody's.
const IDENTITY: &[&str] = &["name", "namespace", "uid"];

/// Digest of the fields that these entries of managedFields name.
#[must_use]
pub fn in_entries<'a>(entries: impl Iterator<Item = &'a Value>) -> u64 {
    let mut owned = Owned::default();
    for fields in entries {
        owned.entry(fields, 0);
    }
    owned.digest()
}

/// Digest of the fields that we own after applying this.
#[must_use]
pub fn after_applying(body: &Value) -> u64 {
    let mut owned = Owned::default();
    let Value::Object(fields) = body else {
        return 0;
    };
    for (name, value) in fields {
        if matches!(name.as_str(), "apiVersion" | "kind" | "status") {
            continue;
        }
        let path = step(0, &format!("f:{name}"));
        match value {
            Value::Object(metadata) if name == "metadata" => {
                let metadata = metadata
                    .iter()
                    .filter(|(name, _)| !IDENTITY.contains(&name.as_str()));
                for (name, value) in metadata {
                    owned.field(name, value, path);
                }
            }
            _ => owned.field(name, value, 0),
        }
    }
    owned.digest()
}

/// Paths, each by its hash.
#[derive(Default)]
struct Owned(HashSet<u64>);

impl Owned {
    /// A sum: in whatever order they come.
    fn digest(&self) -> u64 {
        self.0.iter().fold(0, |sum, path| sum.wrapping_add(*path))
    }

    fn add(&mut self, path: u64) {
        self.0.insert(path);
    }

    fn entry(&mut self, fields: &Value, path: u64) {
        let Value::Object(fields) = fields else {
            return;
        };
        if fields.is_empty() {
            self.add(path);
        }
        for (name, below) in fields {
            // "." is the map or the item itself, which goes with the last of its fields.
            if name != "." {
                self.entry(below, step(path, name));
            }
        }
    }

    fn field(&mut self, name: &str, value: &Value, above: u64) {
        let path = step(above, &format!("f:{name}"));
        match value {
            Value::Object(fields) if !fields.is_empty() && !WHOLE.contains(&name) => {
                self.fields(fields, path);
            }
            Value::Array(items) if !items.is_empty() => self.items(name, items, path),
            Value::Null => {}
            _ => self.add(path),
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>, path: u64) {
        for (name, value) in fields {
            self.field(name, value, path);
        }
    }

    fn items(&mut self, name: &str, items: &[Value], path: u64) {
        let keys = LISTS.iter().find(|(list, keys)| {
            *list == name && items.iter().all(|item| item.get(keys[0]).is_some())
        });
        let Some((_, keys)) = keys else {
            self.add(path);
            return;
        };
        for item in items {
            let Value::Object(fields) = item else {
                continue;
            };
            // serde_json sorts the names of an object, as the API server does.
            let key: Map<String, Value> = keys
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), fields.get(*key)?.clone())))
                .collect();
            let path = step(path, &format!("k:{}", Value::Object(key)));
            if WHOLE.contains(&name) {
                self.add(path);
            } else {
                self.fields(fields, path);
            }
        }
    }
}

fn step(path: u64, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_applied_is_what_the_api_server_says_is_ours() {
        let body = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "a",
                "labels": { "x": "1" },
                "ownerReferences": [{ "uid": "u", "name": "b" }],
            },
            "spec": {
                "selector": { "matchLabels": { "x": "1" } },
                "template": { "spec": {
                    "containers": [{ "name": "app", "command": ["a"], "env": [
                        { "name": "P", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                    ]}],
                    "volumes": [{ "name": "tmp", "emptyDir": {} }],
                }},
            },
        });
        // As the API server wrote it.
        let mut entry = json!({
            "f:metadata": {
                "f:labels": { "f:x": {} },
                "f:ownerReferences": { "k:{\"uid\":\"u\"}": {} },
            },
            "f:spec": {
                "f:selector": {},
                "f:template": { "f:spec": {
                    "f:containers": { "k:{\"name\":\"app\"}": {
                        ".": {}, "f:name": {}, "f:command": {},
                        "f:env": { "k:{\"name\":\"P\"}": {
                            ".": {}, "f:name": {}, "f:valueFrom": { "f:secretKeyRef": {} },
                        }},
                    }},
                    "f:volumes": { "k:{\"name\":\"tmp\"}": { ".": {}, "f:name": {}, "f:emptyDir": {} } },
                }},
            },
        });
        assert_eq!(in_entries([&entry].into_iter()), after_applying(&body));
        entry["f:metadata"]["f:labels"] = json!({});
        assert_ne!(in_entries([&entry].into_iter()), after_applying(&body));
    }
}
