//! Kubernetes quantities (`500m`, `2Gi`) as text, checked and compared.
//!
//! Rule: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
//! We keep the text that a person wrote and compare by value.

use std::cmp::Ordering;

/// What a quantity may look like, for schemas and CEL messages.
pub const PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

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
    fn text_that_is_no_quantity_has_no_value() {
        for text in [
            "", "Gi", "1 Gi", "-1", "1e3", "1.2.3", "ten", "1.", ".5", "1Zi",
        ] {
            assert_eq!(in_thousandths(text), None, "{text}");
        }
    }
}
