//! What there is in the cluster, as people see it: organizations, however they were made, the apps that
//! home leads to, and the hostnames by which the door leads to them. What is seen is pure and stands here; how it is watched in `watch`, its rows in `store`.
//!
//! Every replica mirrors; what one has written the others find done.

pub mod store;
pub mod watch;

use std::collections::BTreeMap;

/// An organization's name, and an instance's name in it.
pub type Key = (String, String);

/// An app as home leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub title: String,
    /// Where it signs people in by us, or its address.
    pub url: String,
}

/// What there can be instances of, as its definition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    pub title: String,
    /// The path at which it signs people in by us, if it does.
    pub login_path: Option<String>,
}

/// An instance, as its object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The name of its app's definition.
    pub app: String,
    /// Its address, once it has one.
    pub url: Option<String>,
}

/// A Route of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    pub hostname: String,
    /// Requests whose path begins with it.
    pub path: String,
    pub instance: Key,
}

/// What is in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Titles by name.
    pub organizations: BTreeMap<String, String>,
    /// By the name of the definition.
    pub apps: BTreeMap<String, Kind>,
    pub instances: BTreeMap<Key, Instance>,
    /// Routes that are accepted.
    pub lanes: Vec<Lane>,
}

impl Seen {
    /// What home leads to: instances of organizations that have an address. Of several of the same app each
    /// carries its own name, too.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<Key, Shown> {
        let mut count: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for ((organization, _), instance) in &self.instances {
            *count.entry((organization, &instance.app)).or_default() += 1;
        }
        let mut shown = BTreeMap::new();
        for (key, instance) in &self.instances {
            let (organization, name) = key;
            let Some(url) = &instance.url else {
                continue;
            };
            if !self.organizations.contains_key(organization) {
                continue;
            }
            let kind = self.apps.get(&instance.app);
            let app = kind.map_or(&instance.app, |kind| &kind.title);
            let login_path = kind.and_then(|kind| kind.login_path.as_deref());
            let url = format!("{url}{}", login_path.unwrap_or_default());
            let is_alone = count.get(&(organization.as_str(), instance.app.as_str())) == Some(&1);
            let title = if is_alone {
                app.clone()
            } else {
                format!("{app} ({name})")
            };
            shown.insert(key.clone(), Shown { title, url });
        }
        shown
    }

    /// Where each hostname of an organization leads. Of several Routes the one counts that takes most of it: the
    /// shortest path, then the first instance.
    #[must_use]
    pub fn hostnames(&self) -> BTreeMap<String, Key> {
        let mut lanes: Vec<&Lane> = self
            .lanes
            .iter()
            .filter(|lane| self.organizations.contains_key(&lane.instance.0))
            .collect();
        lanes.sort_by_key(|lane| (lane.path.len(), &lane.instance));
        let mut hostnames = BTreeMap::new();
        for lane in lanes {
            hostnames
                .entry(lane.hostname.clone())
                .or_insert_with(|| lane.instance.clone());
        }
        hostnames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(organization: &str, name: &str) -> Key {
        (organization.to_owned(), name.to_owned())
    }

    fn instance(app: &str, url: Option<&str>) -> Instance {
        Instance {
            app: app.to_owned(),
            url: url.map(str::to_owned),
        }
    }

    #[test]
    fn home_leads_to_what_has_an_address_and_tells_apart_what_is_called_the_same() {
        let seen = Seen {
            organizations: BTreeMap::from([("acme".to_owned(), "Acme".to_owned())]),
            apps: BTreeMap::from([(
                "wordpress".to_owned(),
                Kind {
                    title: "WordPress".to_owned(),
                    login_path: Some("/sign-in".to_owned()),
                },
            )]),
            instances: BTreeMap::from([
                (
                    key("acme", "blog"),
                    instance("wordpress", Some("https://a")),
                ),
                (
                    key("acme", "news"),
                    instance("wordpress", Some("https://b")),
                ),
                (
                    key("acme", "wiki"),
                    instance("mediawiki", Some("https://c")),
                ),
                (key("acme", "late"), instance("late", None)),
                (
                    key("nobody", "blog"),
                    instance("wordpress", Some("https://d")),
                ),
            ]),
            ..Seen::default()
        };
        let shown = seen.shown();
        let shown: Vec<_> = shown
            .iter()
            .map(|((_, name), shown)| (name.as_str(), shown.title.as_str(), shown.url.as_str()))
            .collect();
        let expected = [
            ("blog", "WordPress (blog)", "https://a/sign-in"),
            ("news", "WordPress (news)", "https://b/sign-in"),
            ("wiki", "mediawiki", "https://c"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_hostname_leads_to_the_instance_that_has_most_of_it() {
        let lane = |hostname: &str, path: &str, instance: Key| Lane {
            hostname: hostname.to_owned(),
            path: path.to_owned(),
            instance,
        };
        let seen = Seen {
            organizations: BTreeMap::from([("acme".to_owned(), "Acme".to_owned())]),
            lanes: vec![
                lane("www.acme.example", "/wiki", key("acme", "wiki")),
                lane("www.acme.example", "/", key("acme", "blog")),
                lane("*.acme.example", "/b", key("acme", "shop")),
                lane("*.acme.example", "/a", key("acme", "blog")),
                lane("id.example.com", "/", key("tutti-system", "tutti")),
            ],
            ..Seen::default()
        };
        let expected = BTreeMap::from([
            ("*.acme.example".to_owned(), key("acme", "blog")),
            ("www.acme.example".to_owned(), key("acme", "blog")),
        ]);
        assert_eq!(seen.hostnames(), expected);
    }
}
