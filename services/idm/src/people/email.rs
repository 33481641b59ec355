//! E-mail addresses: which are taken, and when two are the same. Pure.
//!
//! Not here: whether mail arrives; that is what a confirmation is for.

/// Bytes that SMTP carries (RFC 5321 §4.5.3.1).
const LONGEST: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;

/// An address: its domain in lower case and in ASCII, the rest as its owner writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    text: String,
}

impl Email {
    /// Reads what somebody typed. `None` when it is no address that our mail can reach: the part before
    /// the `@` is in ASCII and not quoted, the domain has a dot.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let (local, domain) = typed.trim().rsplit_once('@')?;
        let domain = idna::domain_to_ascii_strict(domain.trim_end_matches('.')).ok()?;
        let text = format!("{local}@{domain}");
        let is_well = is_local_part(local) && is_domain(&domain) && text.len() <= LONGEST;
        is_well.then_some(Self { text })
    }

    /// As it is written to.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Two addresses with one key are the same person's: no provider in use tells upper from lower case.
    #[must_use]
    pub fn key(&self) -> String {
        key(&self.text)
    }
}

/// The key of whatever somebody typed at sign-in, which need not be an address.
#[must_use]
pub fn key(typed: &str) -> String {
    Email::parse(typed)
        .map_or_else(|| typed.trim().to_owned(), |email| email.text)
        .to_lowercase()
}

/// RFC 5322's dot-atom.
fn is_local_part(text: &str) -> bool {
    let is_atom = |atom: &str| {
        let is_taken =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        !atom.is_empty() && atom.bytes().all(is_taken)
    };
    text.len() <= LONGEST_LOCAL_PART && text.split('.').all(is_atom)
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_trimmed_and_its_domain_is_ascii_in_lower_case() {
        let read = |text: &str| Email::parse(text).map(|email| email.text);
        assert_eq!(read("  Ann@Acme.TEST "), Some("Ann@acme.test".into()));
        assert_eq!(
            read("ann+tag@bücher.example"),
            Some("ann+tag@xn--bcher-kva.example".into())
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@acme.test", "a".repeat(65));
        for wrong in [
            "",
            "ann",
            "@acme.test",
            "ann@",
            "ann@acme",
            "ann@@acme.test",
            "a n@acme.test",
            "ann@acme..test",
            ".ann@acme.test",
            "ann@-",
            "\"ann\"@acme.test",
            "ann\n@acme.test",
            "änn@acme.test",
            &long,
            "ann@acme.test\r\nBcc: x@example.com",
        ] {
            assert_eq!(Email::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn upper_case_makes_no_other_person() {
        assert_eq!(key(" ANN@Acme.Test"), key("ann@acme.test"));
        assert_eq!(key("no address"), "no address");
    }

    proptest! {
        #[test]
        fn reading_twice_changes_nothing(text in "[a-zA-Z.+]{1,12}@[a-zA-ZäöüÄ-]{1,12}\\.[a-zA-Z.]{1,9}") {
            if let Some(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.as_str()), Some(email.clone()));
                prop_assert_eq!(key(&text), email.key());
                prop_assert!(email.as_str().is_ascii());
            }
        }
    }
}
