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
            close_dollars(&mut text);
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

/// Kubernetes expands `$(NAME)` in environment values, and takes `$$` for `$`. The definition's
/// author may use that, a customer's setting must not: every dollar in it stands for itself.
fn escape_for_kubernetes(value: &str) -> String {
    value.replace('$', "$$")
}

/// A lone dollar of the author's before a value would make one with the value's first letters.
fn close_dollars(text: &mut String) {
    let dollars = text.bytes().rev().take_while(|byte| *byte == b'$').count();
    if dollars % 2 == 1 {
        text.push('$');
    }
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

    /// What a pod would see, by Kubernetes' rules: `$$` is `$`, `$(NAME)` is a variable.
    fn expand(text: &str) -> String {
        let mut seen = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            seen.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                seen.push('$');
                rest = after;
            } else if let Some((_, after)) =
                rest.strip_prefix('(').and_then(|name| name.split_once(')'))
            {
                seen.push_str("SECRET");
                rest = after;
            } else {
                seen.push('$');
            }
        }
        seen + rest
    }

    #[test]
    fn a_setting_can_smuggle_in_neither_a_template_nor_a_variable() {
        assert_eq!(
            expand(&values().render("${settings.title}").unwrap()),
            "${instance.name} $(PASSWORD)"
        );
        for setting in ["$(P)", "$$(P)", "$$$(P)", "(P)", "$", "$$", "a$(P)$"] {
            for template in [
                "${settings.x}",
                "$${settings.x}",
                "${settings.x}(P)",
                "a$$${settings.x}",
            ] {
                let mut values = Values::default();
                values.set("settings.x", setting);
                let rendered = values.render(template).unwrap();
                let seen = expand(&rendered);
                assert!(
                    !seen.contains("SECRET"),
                    "{template} with {setting}: {rendered}"
                );
                assert!(
                    seen.contains(setting),
                    "{template} with {setting}: {rendered}"
                );
            }
        }
    }

    #[test]
    fn the_author_may_refer_to_earlier_variables() {
        assert_eq!(
            values().render("mysql://$(USER)@${instance.name}").unwrap(),
            "mysql://$(USER)@blog"
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
