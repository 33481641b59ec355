//! Parameters of a query or a form, of which none may come twice (RFC 6749 §3.1): readers differ in which of two
//! they believe. Pure.

use std::collections::HashSet;

/// No request of the protocol has more, and strangers send them.
const MOST: usize = 64;

/// Names and values, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// `None` when it is not what a form encodes, or far too many.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let read: Vec<(String, String)> = serde_urlencoded::from_bytes(text).ok()?;
        if read.len() > MOST {
            return None;
        }
        // No text of ours holds a NUL, and the database takes none.
        let has_nul = read.iter().any(|(_, value)| value.contains('\0'));
        (!has_nul).then_some(Self(read))
    }

    /// The value of one that is there once. One without a value is not there (RFC 6749 §3.1).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(found, _)| found == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value.as_str()).filter(|value| !value.is_empty()),
            _ => None,
        }
    }

    /// Whether any is there twice.
    #[must_use]
    pub fn has_twice(&self) -> bool {
        let mut names = HashSet::new();
        !self.0.iter().all(|(name, _)| names.insert(name))
    }

    /// As a query, without some.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> String {
        let rest: Vec<&(String, String)> = self
            .0
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()))
            .collect();
        serde_urlencoded::to_string(rest).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parameters {
        Parameters::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_comes_twice_or_is_empty_is_not_there() {
        let parameters = read("a=1&b=&c=2&c=2&d=%2B+x");
        assert_eq!(parameters.get("a"), Some("1"));
        assert_eq!(parameters.get("b"), None);
        assert_eq!(parameters.get("c"), None);
        assert_eq!(parameters.get("d"), Some("+ x"));
        assert!(parameters.has_twice());
        assert!(!read("a=1&b=1").has_twice());
        assert!(Parameters::read(b"a=%00").is_none());
        let many = |count| "a=1&".repeat(count);
        assert!(Parameters::read(many(64).as_bytes()).is_some());
        assert!(Parameters::read(many(65).as_bytes()).is_none());
    }

    #[test]
    fn the_rest_stays_as_it_is_without_some() {
        let parameters = read("a=1&prompt=login&b=%26");
        assert_eq!(parameters.without(&["prompt"]), "a=1&b=%26");
    }
}
