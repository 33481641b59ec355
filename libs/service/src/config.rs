//! A program's flags, and what is in force of them, as a person writes it: for `--check-config`.
//! Not for what stands in the files that flags name: there may be secrets in it.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command, Parser, parser::ValueSource};

/// The flag that asks for what is told here.
const ASKED_BY: &str = "check-config";

/// Reads a program's flags and environment; with them a text, what is in force. Ends the process when
/// they are wrong, or when help was asked for.
#[must_use]
pub fn parse<P: Parser>() -> (P, String) {
    let mut command = P::command();
    let matches = command.get_matches_mut();
    let parsed =
        P::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
    (parsed, in_force(&command, &matches))
}

/// One line for each flag of a command and of the subcommand that was given: the flag, its value, and
/// where it comes from.
#[must_use]
pub fn in_force(command: &Command, matches: &ArgMatches) -> String {
    let mut text = String::new();
    for arg in command.get_arguments() {
        if let Some((flag, from)) = line(arg, matches) {
            // A String takes everything.
            let _ = writeln!(text, "{flag}  ({from})");
        }
    }
    if let Some((name, matches)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        text += &in_force(command, matches);
    }
    text
}

/// `None` for what sets nothing.
fn line(arg: &Arg, matches: &ArgMatches) -> Option<(String, String)> {
    let name = arg.get_long().filter(|name| *name != ASKED_BY)?;
    let is_switch = match arg.get_action() {
        ArgAction::Set | ArgAction::Append => false,
        ArgAction::SetTrue => true,
        _ => return None,
    };
    let id = arg.get_id().as_str();
    let from = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "flag".to_owned(),
        Some(ValueSource::EnvVariable) => {
            let variable = arg.get_env().unwrap_or_default();
            format!("environment {}", variable.to_string_lossy())
        }
        Some(_) if !is_switch => "default".to_owned(),
        _ => "not set".to_owned(),
    };
    if is_switch {
        let from = if matches.get_flag(id) {
            from
        } else {
            "not set".to_owned()
        };
        return Some((format!("--{name}"), from));
    }
    let Some(values) = matches.get_raw(id) else {
        return Some((format!("--{name}"), from));
    };
    let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
    let delimiter = arg.get_value_delimiter().unwrap_or(' ');
    let value = quoted(&values.join(&delimiter.to_string()));
    Some((format!("--{name} {value}"), from))
}

/// As a shell reads it back.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &[&str]) -> String {
        let run = Command::new("run")
            .arg(Arg::new("platform_zone").long("platform-zone"))
            .arg(
                Arg::new("proxies")
                    .long("proxies")
                    .value_delimiter(',')
                    .default_value("10.0.0.0/8,192.168.0.0/16"),
            )
            .arg(Arg::new("brand").long("brand").default_value("Ann's"))
            .arg(Arg::new("path").long("path").env("PATH"))
            .arg(Arg::new("registry").long("registry"))
            .arg(Arg::new("watch").long("watch").action(ArgAction::SetTrue))
            .arg(
                Arg::new("check_config")
                    .long("check-config")
                    .action(ArgAction::SetTrue),
            );
        let mut command = Command::new("program")
            .version("1")
            .arg(Arg::new("url_file").long("url-file"))
            .subcommand(run);
        let matches = command
            .try_get_matches_from_mut(arguments)
            .expect("the flags are well");
        in_force(&command, &matches)
    }

    #[test]
    fn each_flag_is_told_with_its_value_and_where_it_comes_from() {
        let zone = ["--platform-zone", "apps.example.com"];
        let before = [
            "program",
            "--url-file",
            "/nowhere/url",
            "run",
            "--check-config",
        ];
        let path = std::env::var("PATH").expect("tests are found by it");
        assert_eq!(
            told(&[&before[..], &zone].concat()),
            format!(
                "\
--url-file /nowhere/url  (flag)
--platform-zone apps.example.com  (flag)
--proxies 10.0.0.0/8,192.168.0.0/16  (default)
--brand 'Ann'\\''s'  (default)
--path {}  (environment PATH)
--registry  (not set)
--watch  (not set)
",
                quoted(&path)
            )
        );
        let switched = told(&["program", "run", "--watch", "--registry="]);
        assert!(
            switched.contains("--watch  (flag)\n") && switched.contains("--registry ''  (flag)\n"),
            "{switched}"
        );
    }

    #[test]
    fn a_command_without_its_subcommand_tells_its_own_flags() {
        assert_eq!(told(&["program"]), "--url-file  (not set)\n");
    }
}
