//! What one life of the operator is shown of the API server that many share: its own organization, and
//! a neighbour where it has one.

use bytes::Bytes;
use serde_json::Value;

/// The namespaces that are shown.
#[derive(Clone, Debug)]
pub struct Sight {
    own: String,
    neighbour: Option<String>,
}

impl Sight {
    /// Of an organization, and of another one.
    pub fn new(own: &str, neighbour: Option<&str>) -> Self {
        Self {
            own: own.to_owned(),
            neighbour: neighbour.map(str::to_owned),
        }
    }

    /// The operator's own namespace.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// What is asked instead of a question about the whole cluster: one about a single namespace. With a
    /// neighbour the answer is thinned out instead, see [`Self::hides`].
    pub fn narrow(&self, path: &str) -> Option<String> {
        let narrowed = narrow(path, &self.own)?;
        Some(match self.neighbour {
            None => narrowed,
            Some(_) => path.to_owned(),
        })
    }

    /// Whether the answer to a question tells of organizations that are not shown.
    pub fn hides(&self, path: &str) -> bool {
        self.neighbour.is_some() && narrow(path, &self.own).is_some()
    }

    /// A list without what is not shown.
    pub fn list(&self, answer: &Bytes) -> Bytes {
        let Ok(mut list) = serde_json::from_slice::<Value>(answer) else {
            return answer.clone();
        };
        if let Some(items) = list["items"].as_array_mut() {
            items.retain(|item| self.has(item));
        }
        list.to_string().into()
    }

    /// Whether a line of a watch is shown; what is no object of somebody is.
    pub fn shows(&self, line: &[u8]) -> bool {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            return true;
        };
        let is_object = ["ADDED", "MODIFIED", "DELETED"]
            .iter()
            .any(|it| event["type"] == *it);
        !is_object || self.has(&event["object"])
    }

    fn has(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        // Organizations and namespaces are in none.
        let place = metadata["namespace"]
            .as_str()
            .or_else(|| metadata["name"].as_str());
        place == Some(&self.own) || (place.is_some() && place == self.neighbour.as_deref())
    }
}

/// A question about the whole cluster, asked about a single namespace; `None` for any other one.
fn narrow(path: &str, namespace: &str) -> Option<String> {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let segments: Vec<&str> = route.trim_matches('/').split('/').collect();
    let (prefix, plural) = match segments.as_slice() {
        ["api", version, plural] => (format!("/api/{version}"), *plural),
        ["apis", group, version, plural] => (format!("/apis/{group}/{version}"), *plural),
        _ => return None,
    };
    match plural {
        "appdefinitions" => None,
        "organizations" | "namespaces" => Some(format!(
            "{prefix}/{plural}?{query}&fieldSelector=metadata.name%3D{namespace}"
        )),
        _ => Some(format!("{prefix}/namespaces/{namespace}/{plural}?{query}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questions_about_the_whole_cluster_are_narrowed() {
        let sight = Sight::new("a", None);
        assert_eq!(
            sight.narrow("/api/v1/secrets?watch=true").as_deref(),
            Some("/api/v1/namespaces/a/secrets?watch=true")
        );
        assert_eq!(
            sight
                .narrow("/apis/tutti.dev/v1alpha1/organizations?limit=5")
                .as_deref(),
            Some("/apis/tutti.dev/v1alpha1/organizations?limit=5&fieldSelector=metadata.name%3Da")
        );
        let exact = "/apis/apps/v1/namespaces/a/deployments/x?force=true";
        assert_eq!(sight.narrow(exact), None);
    }

    #[test]
    fn with_a_neighbour_all_is_asked_for_and_others_are_left_out() {
        let sight = Sight::new("a", Some("b"));
        let all = "/api/v1/secrets?watch=true";
        assert_eq!(sight.narrow(all).as_deref(), Some(all));
        assert!(sight.hides(all) && !sight.hides("/api/v1/namespaces/a/secrets/x"));
        let list = br#"{"items":[{"metadata":{"namespace":"b","name":"x"}},
            {"metadata":{"namespace":"c","name":"a"}},{"metadata":{"name":"a"}}]}"#;
        let shown = sight.list(&Bytes::from_static(list));
        assert_eq!(
            shown,
            r#"{"items":[{"metadata":{"name":"x","namespace":"b"}},{"metadata":{"name":"a"}}]}"#
        );
        let told = |text: &str| sight.shows(text.as_bytes());
        assert!(told(
            r#"{"type":"ADDED","object":{"metadata":{"namespace":"a"}}}"#
        ));
        assert!(!told(
            r#"{"type":"DELETED","object":{"metadata":{"namespace":"c"}}}"#
        ));
        assert!(told(r#"{"type":"BOOKMARK","object":{"metadata":{}}}"#));
    }
}
