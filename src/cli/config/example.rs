//! The configuration file with everything in it: what each key means, and its default.
//!
//! In: the options. Out: a file that changes nothing as it is. Never here: a text that the help of the option does not have.

use std::fmt::Write;

use clap::Arg;

use super::{key, variable};

/// How wide a comment is.
const WIDTH: usize = 116;

const HEAD: &str = "\
# The configuration of `cage serve`, with every key, its description and its default. As it is it changes nothing: take the
# `#` away in front of what you want otherwise.
#
#   cage config check --config cage.toml     what would be used, and where each value comes from
#   cage serve --config cage.toml
#
# A key is the name of a flag with `_` for `-`. Flags win over the environment, the environment over this file, this file
# over the defaults. A key that is not known is refused. Paths are relative to the folder that the server is started in.
";

/// The file.
pub(super) fn text(options: &[Arg]) -> String {
    let mut text = HEAD.to_owned();
    for arg in options {
        let Some(key) = key(arg) else { continue };
        let help =
            arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
        text.push('\n');
        for line in wrapped(&help) {
            let _ = writeln!(text, "# {line}");
        }
        let names: Vec<_> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if !names.is_empty() && arg.get_action().takes_values() {
            let _ = writeln!(text, "# One of: {}", names.join(", "));
        }
        let _ = writeln!(text, "# Environment: {}", variable(&key));
        let default = arg.get_default_values().first().map(|value| literal(&value.to_string_lossy()));
        let _ = writeln!(text, "#{key} = {}", default.unwrap_or_else(|| literal(&placeholder(arg))));
    }
    text
}

/// What stands for a value that nobody has set.
fn placeholder(arg: &Arg) -> String {
    arg.get_value_names().and_then(|names| names.first()).map_or_else(|| "…".to_owned(), ToString::to_string)
}

/// A value as TOML writes it.
pub(super) fn literal(value: &str) -> String {
    if value.parse::<i64>().is_ok() || matches!(value, "true" | "false") {
        return value.to_owned();
    }
    toml::Value::String(value.to_owned()).to_string()
}

/// The lines of a text, none of them too wide.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}
