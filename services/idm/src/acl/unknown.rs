//! A word that the model does not have.

/// A word that the model does not have; the text lists those that it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no {what}; there are: {exist}")]
pub struct Unknown {
    what: String,
    given: String,
    exist: String,
}

impl Unknown {
    pub(super) fn new(
        what: impl Into<String>,
        given: &str,
        exist: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        Self {
            what: what.into(),
            given: given.to_owned(),
            exist: exist.into_iter().collect::<Vec<_>>().join(", "),
        }
    }
}
