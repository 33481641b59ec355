//! Templates: `${instance.url}` and the like in an environment value.
//!
//! The names that a template may use are listed in `crds::app_definition::EnvVar`, where CEL
//! checks them; here they get their values.

use std::collections::BTreeMap;

/// What templates are filled with.
#[derive(Clone, Debug, Default)]
pub struct Values {
    values: BTreeMap<String, String>,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${` without `}`.
    #[error("\"${{\" is never closed by \"}}\"")]
    Unclosed,
    /// A name that stands for nothing.
    #[error("\"${{{0}}}\" stands for nothing")]
    UnknownName(String),
}

impl Values {
    /// Adds a name and what it stands for.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Replaces every `${name}` by its value. Values are not looked at again: a customer's
    /// setting cannot smuggle in a template.
    ///
    /// # Errors
    /// When a name stands for nothing, or is never closed.
    pub fn render(&self, template: &str) -> Result<String, TemplateError> {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(start) = rest.find("${") {
            text.push_str(&rest[..start]);
            let after = &rest[start + 2..];
            let end = after.find('}').ok_or(TemplateError::Unclosed)?;
            let name = &after[..end];
            let value = self
                .values
                .get(name)
                .ok_or_else(|| TemplateError::UnknownName(name.to_owned()))?;
            text.push_str(&escape_for_kubernetes(value));
            rest = &after[end + 1..];
        }
        text.push_str(rest);
        Ok(text)
    }
}

/// Kubernetes expands `$(NAME)` in environment values; `$$` is its escape. The definition's author
/// may use that, a customer's setting must not.
fn escape_for_kubernetes(value: &str) -> String {
    value.replace("$(", "$$(")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.set("instance.name", "blog");
        values.set("settings.title", "${instance.name} $(PASSWORD)");
        values
    }

    #[test]
    fn a_name_is_replaced_and_the_rest_is_kept() {
        assert_eq!(
            values().render("a ${instance.name} $b").unwrap(),
            "a blog $b"
        );
    }

    #[test]
    fn a_setting_can_smuggle_in_neither_a_template_nor_a_variable() {
        assert_eq!(
            values().render("${settings.title}").unwrap(),
            "${instance.name} $$(PASSWORD)"
        );
    }

    #[test]
    fn an_unknown_name_and_an_unclosed_one_are_told_apart() {
        assert_eq!(
            values().render("${instance.nmae}"),
            Err(TemplateError::UnknownName("instance.nmae".to_owned()))
        );
        assert_eq!(
            values().render("${instance.name"),
            Err(TemplateError::Unclosed)
        );
    }
}
