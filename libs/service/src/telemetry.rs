//! Logs: one line per event on standard error, as text for people or JSON for machines, with a
//! filter that can be changed while the program runs. Standard output stays free for answers.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Flags for logs; flatten them into a program's own.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// How log lines are written
    #[arg(long, env = "TUTTI_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Which log lines are written: a level, or target=level pairs
    #[arg(long, env = "TUTTI_LOG_FILTER", default_value = "info", value_parser = filter)]
    pub log_filter: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Why logs could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error(
        "log filter {filter:?} does not parse; write a level such as info, or target=level pairs such as info,kube=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser said.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody set up logs before.
    #[error("logs were set up already")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
    /// The subscriber is gone, which happens only while the program ends.
    #[error("the log filter cannot be changed any more")]
    Gone(#[from] reload::Error),
}

/// The filter in force; clones change the same one.
#[derive(Clone, Debug)]
pub struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogFilter {
    /// Replaces the filter; the old one stays when the new one does not parse.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        Ok(self.handle.reload(parse(filter)?)?)
    }

    /// The filter in force, as text.
    #[must_use]
    pub fn current(&self) -> String {
        self.handle
            .with_current(ToString::to_string)
            .unwrap_or_default()
    }
}

/// Sets up logs for the whole process; once, early in `main`.
///
/// # Errors
/// When the filter does not parse, or logs were set up before.
pub fn init(args: &LogArgs) -> Result<LogFilter, LogError> {
    let (subscriber, filter) = subscriber(args)?;
    subscriber.try_init()?;
    Ok(filter)
}

fn subscriber(
    args: &LogArgs,
) -> Result<(impl tracing::Subscriber + Send + Sync + 'static, LogFilter), LogError> {
    let (filter, handle) = reload::Layer::new(parse(&args.log_filter)?);
    let lines = match args.log_format {
        LogFormat::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // The filter lies below the lines and holds for all layers: what it refuses costs one atomic
    // load at its call site.
    Ok((
        tracing_subscriber::registry().with(filter).with(lines),
        LogFilter { handle },
    ))
}

/// A filter that will do, so that a wrong one is told with the flags.
fn filter(text: &str) -> Result<String, LogError> {
    parse(text).map(|_| text.to_owned())
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

/// Some words about an error, with those of its causes that they leave out, in one line.
#[must_use]
pub fn with_causes(mut text: String, error: &dyn std::error::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_changes_at_run_time_and_a_broken_one_leaves_the_old_one() {
        let args = LogArgs {
            log_format: LogFormat::Text,
            log_filter: "info".into(),
        };
        let (subscriber, filter) = subscriber(&args).expect("a level parses");
        // For this thread only: a process has one global subscriber, and tests share the process.
        let _guard = tracing::subscriber::set_default(subscriber);
        assert!(tracing::enabled!(tracing::Level::INFO));
        assert!(!tracing::enabled!(tracing::Level::DEBUG));

        filter.set("debug").expect("a level parses");
        assert!(tracing::enabled!(tracing::Level::DEBUG));

        let refused = filter.set("tower=loud").expect_err("no such level");
        assert!(refused.to_string().contains("tower=loud"), "{refused}");
        assert_eq!(filter.current(), "debug");
    }
}
