//! Kubernetes quantities (`500m`, `2Gi`) as text, checked and compared.
//!
//! Rule: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
//! We keep the text that a person wrote and compare by value.

use std::cmp::Ordering;

use kube_core::{Message, Rule};

/// How the quantities of a field are written.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    has_fractions: bool,
    /// The empty one where a bare number will do.
    units: &'static [&'static str],
    /// What is said of a text that is none, after the text.
    told: &'static str,
}

/// Sizes of volumes.
pub const SIZE: Form = Form {
    has_fractions: true,
    units: &[
        "", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi",
    ],
    told: "is no quantity; write a number and a unit, such as 512Mi or 10Gi",
};

/// Cores.
pub const CPU: Form = Form {
    has_fractions: true,
    units: &["", "m"],
    told: "is no quantity; write a number of cores, or of thousandths with an m, such as 2 or 250m",
};

/// Bytes that are promised or at most used: memory, and a customer's storage.
pub const BYTES: Form = Form {
    has_fractions: true,
    units: &["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"],
    told: "is no quantity; write a number and a unit up to Ti, such as 512Mi or 10Gi",
};

/// The body of a request.
pub const BODY: Form = Form {
    has_fractions: false,
    units: &["", "k", "M", "G", "Ki", "Mi", "Gi"],
    told: "is no quantity; write a whole number and a unit up to Gi, such as 100Mi",
};

/// The head of a request.
pub const HEAD: Form = Form {
    has_fractions: false,
    units: &["k", "Ki"],
    told: "is no quantity; write a whole number and k or Ki, such as 32Ki",
};

impl Form {
    /// What is wrong with a text and how to mend it; `None` when it is written so.
    #[must_use]
    pub fn complaint(&self, text: &str) -> Option<String> {
        let digits_end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let is_well = self.units.contains(&unit)
            && (self.has_fractions || !number.contains('.'))
            && in_thousandths(text).is_some();
        (!is_well).then(|| format!("{text:?} {}", self.told))
    }

    /// The same for the API server: a rule on a text of bounded length. By CEL and not by a pattern of
    /// the schema, which a person would be shown in place of words.
    #[must_use]
    pub fn rule(&self, field: &str) -> Rule {
        let fraction = if self.has_fractions {
            "([.][0-9]+)?"
        } else {
            ""
        };
        let units = self.units.join("|");
        let told = self.told;
        Rule::new(format!("self.matches('^[0-9]+{fraction}({units})$')")).message(
            Message::Expression(format!("'{field}: \\'' + self + '\\' {told}'")),
        )
    }
}

/// What is promised (`requests`) of a resource is no more than what may be used (`limits`): Kubernetes
/// refuses such pods, which nobody would see on the definition. What is no quantity has its own rule.
#[must_use]
pub fn promise_rule(resource: &str) -> Rule {
    let request = format!("self.requests.{resource}");
    let limit = format!("self.limits.{resource}");
    Rule::new(format!(
        "!isQuantity({request}) || !isQuantity({limit}) || \
         quantity({request}).compareTo(quantity({limit})) <= 0"
    ))
    .message(Message::Expression(format!(
        "'requests.{resource}: \\'' + {request} + '\\' is more than the limit of \\'' + {limit} + \
         '\\'; promise at most what may be used'"
    )))
}

/// The value in thousandths, or `None` when the text is no quantity that we accept.
///
/// Thousandths because `m` is the smallest suffix that CPU and memory use; `u128` because
/// `1Pi` in thousandths leaves `u64` behind.
#[must_use]
pub fn in_thousandths(text: &str) -> Option<u128> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let scale: u128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_u128.pow(2),
        "M" => 1_000_u128.pow(3),
        "G" => 1_000_u128.pow(4),
        "T" => 1_000_u128.pow(5),
        "P" => 1_000_u128.pow(6),
        // Not for people, but the API server writes `1024Pi` so.
        "E" => 1_000_u128.pow(7),
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        "Ei" => 1_000 << 60,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u128 = whole.parse().ok()?;
    let fraction_digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u128 = fraction.parse().ok()?;
    let divisor = 10_u128.checked_pow(fraction_digits)?;
    whole
        .checked_mul(scale)?
        .checked_add(fraction.checked_mul(scale)?.checked_div(divisor)?)
}

/// Compares two quantities by value; `None` when either is no quantity.
#[must_use]
pub fn compare(left: &str, right: &str) -> Option<Ordering> {
    Some(in_thousandths(left)?.cmp(&in_thousandths(right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_compare_by_value_and_not_by_text() {
        assert_eq!(compare("1Gi", "1024Mi"), Some(Ordering::Equal));
        assert_eq!(compare("1000m", "1"), Some(Ordering::Equal));
        assert_eq!(compare("1.5Gi", "1Gi"), Some(Ordering::Greater));
        assert_eq!(compare("9G", "9Gi"), Some(Ordering::Less));
        assert_eq!(compare("500m", "0.5"), Some(Ordering::Equal));
    }

    #[test]
    fn what_the_api_server_makes_of_a_quantity_is_the_same_quantity() {
        for (written, stored) in [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("5000000000", "5G"),
            ("1024Pi", "1Ei"),
            ("1000P", "1E"),
            ("2000m", "2"),
        ] {
            assert_eq!(compare(written, stored), Some(Ordering::Equal), "{written}");
        }
    }

    #[test]
    fn the_largest_text_that_the_schema_admits_does_not_overflow() {
        assert!(in_thousandths("999999999999999999Pi").is_some());
        assert!(in_thousandths("0.9999999999999999Pi").is_some());
        assert_eq!(
            in_thousandths("99999999999999999999999999999999999999Ei"),
            None
        );
    }

    #[test]
    fn a_form_has_its_own_units_and_says_how_they_are_written() {
        for (form, right, wrong) in [
            (SIZE, ["10", "1.5Gi", "1Pi"], ["5Gb", "10 Gi", "1e3"]),
            (CPU, ["2", "0.5", "250m"], ["2k", "1.m", "two"]),
            (BYTES, ["0", "1.5Gi", "1T"], ["1Pi", "250m", "1Ei"]),
            (BODY, ["10", "100Mi", "1G"], ["1.5Mi", "1Ti", ""]),
            (HEAD, ["1k", "32Ki", "0Ki"], ["32", "1Mi", "1.5Ki"]),
        ] {
            for text in right {
                assert_eq!(form.complaint(text), None, "{form:?}");
            }
            for text in wrong {
                assert!(form.complaint(text).is_some(), "{text:?} {form:?}");
            }
        }
        assert_eq!(
            SIZE.complaint("5Gb").as_deref(),
            Some("\"5Gb\" is no quantity; write a number and a unit, such as 512Mi or 10Gi")
        );
    }

    #[test]
    fn text_that_is_no_quantity_has_no_value() {
        for text in [
            "", "Gi", "1 Gi", "-1", "1e3", "1.2.3", "ten", "1.", ".5", "1Zi",
        ] {
            assert_eq!(in_thousandths(text), None, "{text}");
        }
    }
}
