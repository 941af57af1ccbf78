//! `cage config check`: the values in force, and where each comes from.

use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgMatches};

use super::example::literal;
use super::file::ConfigFile;
use super::{EXIT_WRONG, key, origin};
use crate::cli::fail;

/// How wide most values are: the origins behind them stand below one another.
const VALUE_WIDTH: usize = 20;

/// Prints the options as a file, each with its origin behind it.
pub(super) fn print(options: &[Arg], given: &ArgMatches, path: Option<&Path>) -> ExitCode {
    // Read once already, without complaint; somebody may have changed it since.
    let file = match path.map(|path| ConfigFile::read(path, options)).transpose() {
        Ok(file) => file,
        Err(reason) => return fail(EXIT_WRONG, &reason),
    };
    let width = options.iter().filter_map(key).map(|key| key.len()).max().unwrap_or_default();
    for arg in options {
        let (id, name) = (arg.get_id().as_str(), key(arg).unwrap_or_default());
        let origin = origin(given.value_source(id), arg, file.as_ref());
        match given.get_raw(id) {
            // Such a value may hold a password.
            Some(_) if arg.is_hide_env_values_set() => say!("# {name:width$} = not shown  # {origin}"),
            Some(values) => {
                let values: Vec<_> = values.map(|value| literal(&value.to_string_lossy())).collect();
                let value = match &values[..] {
                    [value] => value.clone(),
                    values => format!("[{}]", values.join(", ")),
                };
                say!("{name:width$} = {value:VALUE_WIDTH$}  # {origin}");
            }
            None => say!("# {name} is not set"),
        }
    }
    ExitCode::SUCCESS
}
