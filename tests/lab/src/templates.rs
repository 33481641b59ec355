//! Fills the `${NAME}` places of the manifests and configuration files that are kept under
//! `tests/lab/manifests`. Nothing cleverer: a template that needs a condition becomes two files.

use anyhow::{Result, bail};

/// Replaces every `${NAME}` of `template` by its value. A place without a value is an error, so
/// that a forgotten one never reaches a component's configuration.
pub fn render(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    if let Some(start) = text.find("${") {
        let place: String = text[start..].chars().take_while(|c| *c != '\n').collect();
        bail!("a template has a place without a value: {place}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled() {
        let text = render("a: ${A}\nb: ${B} ${A}", &[("A", "1"), ("B", "2")]).unwrap();
        assert_eq!(text, "a: 1\nb: 2 1");
    }

    #[test]
    fn a_place_without_a_value_is_named() {
        let error = render("a: ${MISSING}", &[]).unwrap_err().to_string();
        assert!(error.contains("${MISSING}"), "{error}");
    }
}
