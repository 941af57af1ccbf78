//! `cage config`, and how the settings of `cage serve` come together: defaults, then the file, then the environment,
//! then flags; the later wins.
//!
//! In: the options of `cage serve`, as the command line describes them: a key of the file is the name of a flag with `_`
//! for `-`, a variable is `CAGE_` and the key in capitals. Out: the same command line with other defaults. Never here: a
//! second description of an option; a key that is passed over in silence.

mod example;
mod file;
mod show;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::serve::Serve;
use super::{Cli, fail};
use file::ConfigFile;

/// Exit code: the file or a value does not do.
const EXIT_WRONG: u8 = 2;
/// The option that names the file.
pub(super) const CONFIG: &str = "config";

/// Look at the configuration of the server.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cage config check --config etc/cage.toml\n  cage config check --segment-mib 64\n  cage config example"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print what the server would be started with, and where each value comes from
    ///
    /// Takes the options of `cage serve`. What it prints can be used as a file. Exit codes: 0 the values can be used, 2
    /// one of them cannot.
    #[command(after_help = "Example: cage config check --config etc/cage.toml")]
    Check {
        #[command(flatten)]
        serve: Box<Serve>,
    },
    /// Print a file with every key, its description and its default
    #[command(after_help = "Example: cage config example")]
    Example,
}

impl Config {
    pub(crate) fn run(self, matches: &ArgMatches) -> ExitCode {
        match self.command {
            ConfigCommand::Check { serve } => {
                let given = matches.subcommand_matches("check").unwrap_or(matches);
                show::print(&serve_options(), given, serve.config())
            }
            ConfigCommand::Example => {
                say!("{}", example::text(&serve_options()).trim_end());
                ExitCode::SUCCESS
            }
        }
    }
}

/// The command line: with variables for all options of the server.
pub(super) fn described() -> Command {
    let command = <Cli as clap::CommandFactory>::command();
    on_servers(command, &|serve| serve.mut_args(with_variable))
}

/// Changes the two commands that take the server's options.
fn on_servers(command: Command, change: &dyn Fn(Command) -> Command) -> Command {
    command
        .mut_subcommand("serve", change)
        .mut_subcommand("config", |config| config.mut_subcommand("check", change))
}

fn with_variable(arg: Arg) -> Arg {
    match key(&arg) {
        Some(key) => arg.env(variable(&key)),
        None => arg,
    }
}

/// The key of an option in the file; none if it has none.
fn key(arg: &Arg) -> Option<String> {
    let long = arg.get_long()?;
    (!arg.is_hide_set() && !["help", "version"].contains(&long)).then(|| long.replace('-', "_"))
}

fn variable(key: &str) -> String {
    format!("CAGE_{}", key.to_uppercase())
}

/// The options of `cage serve` that a file can set, in the order of the help.
fn serve_options() -> Vec<Arg> {
    let command = described();
    let serve =
        command.find_subcommand("serve").map(|serve| serve.get_arguments().cloned().collect::<Vec<_>>());
    let options = serve.unwrap_or_default().into_iter();
    options.filter(|arg| arg.get_id() != CONFIG && key(arg).is_some()).collect()
}

/// Reads the command line; a wrong one ends the process, as clap does it.
pub(super) fn parse() -> (Cli, ArgMatches) {
    let words: Vec<OsString> = std::env::args_os().collect();
    let matches = described().get_matches_from(&words);
    let matches = match config_path(&matches) {
        Some(path) => with_file(&path, &words),
        None => matches,
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|fault| fault.exit());
    (cli, matches)
}

/// The file that a command line for the server names.
fn config_path(matches: &ArgMatches) -> Option<PathBuf> {
    let (name, serve) = matches.subcommand()?;
    let serve = match name {
        "serve" => serve,
        "config" => serve.subcommand_matches("check")?,
        _ => return None,
    };
    serve.get_one::<PathBuf>(CONFIG).cloned()
}

/// Reads the command line again, over the values of a file.
fn with_file(path: &std::path::Path, words: &[OsString]) -> ArgMatches {
    let options = serve_options();
    let file = match ConfigFile::read(path, &options) {
        Ok(file) => file,
        Err(reason) => {
            fail(EXIT_WRONG, &reason);
            std::process::exit(EXIT_WRONG.into());
        }
    };
    let set = |serve: Command| serve.mut_args(|arg| file.as_default(arg));
    on_servers(described(), &set).get_matches_from(words)
}

/// What is wrong with a value, in clap's words; nothing if it can be used.
fn refusal(arg: &Arg, values: &[String]) -> Option<String> {
    let words = values.iter().map(|value| format!("--{}={value}", arg.get_long().unwrap_or_default()));
    // Alone, without the environment: what other options say of it is looked at with all of them.
    let serve = described().find_subcommand("serve")?.clone().no_binary_name(true);
    match serve.mut_args(|arg| arg.env(None::<&'static str>)).try_get_matches_from(words) {
        Ok(_) => None,
        Err(fault)
            if matches!(fault.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict) =>
        {
            None
        }
        Err(fault) => {
            let text = fault.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            Some(first.trim_start_matches("error: ").replace('\n', " "))
        }
    }
}

/// Where the value of an option comes from.
fn origin(source: Option<ValueSource>, arg: &Arg, file: Option<&ConfigFile>) -> String {
    let key = key(arg).unwrap_or_default();
    let line = file.and_then(|file| file.line(&key).map(|line| format!("{}:{line}", file.path().display())));
    match (source, line) {
        (Some(ValueSource::CommandLine), _) => format!("flag --{}", arg.get_long().unwrap_or_default()),
        (Some(ValueSource::EnvVariable), _) => format!("environment {}", variable(&key)),
        (_, Some(line)) => line,
        _ => "default".to_owned(),
    }
}
