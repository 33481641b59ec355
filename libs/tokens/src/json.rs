//! JSON in which no name comes twice: readers differ in which of two they believe, and a token must say
//! the same to all of them (RFC 7515 §4, RFC 8725 §2.4).

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// The names of an object's members, or what is wrong with it.
pub(crate) fn names(json: &[u8]) -> Result<HashSet<String>, &'static str> {
    let value: Value = serde_json::from_slice(json).map_err(|_| "not JSON")?;
    if value.has_duplicates {
        return Err("JSON with a name that comes twice");
    }
    value.names.ok_or("not a JSON object")
}

/// What is of interest about a value.
struct Value {
    /// The members' names, of an object.
    names: Option<HashSet<String>>,
    /// Here or in anything below.
    has_duplicates: bool,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Look)
    }
}

struct Look;

const SCALAR: Value = Value {
    names: None,
    has_duplicates: false,
};

impl<'de> Visitor<'de> for Look {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(SCALAR)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(SCALAR)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(SCALAR)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(SCALAR)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(SCALAR)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(SCALAR)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = SCALAR;
        while let Some(item) = items.next_element::<Value>()? {
            list.has_duplicates |= item.has_duplicates;
        }
        Ok(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut names = HashSet::new();
        let mut has_duplicates = false;
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            has_duplicates |= !names.insert(name) | value.has_duplicates;
        }
        Ok(Value {
            names: Some(names),
            has_duplicates,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_is_found_at_any_depth_and_in_any_spelling() {
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            r#"{"b":{"c":{"a":null,"a":"x"}}}"#,
        ] {
            assert_eq!(
                names(twice.as_bytes()).unwrap_err(),
                "JSON with a name that comes twice",
                "{twice}"
            );
        }
        let once = names(br#"{"a":{"a":[1,-1,1.5,true,null,{"a":2}]},"b":{"a":3}}"#).unwrap();
        assert_eq!(once, HashSet::from(["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn only_an_object_has_names() {
        for other in ["[]", "1", "null", "\"a\""] {
            assert_eq!(names(other.as_bytes()).unwrap_err(), "not a JSON object");
        }
        let deep = "[".repeat(2_000);
        for broken in ["", "{", "{} {}", "{\"a\":1,}", deep.as_str()] {
            assert_eq!(names(broken.as_bytes()).unwrap_err(), "not JSON");
        }
    }
}
