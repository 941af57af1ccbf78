//! A configuration file: TOML, one key for each option.
//!
//! In: the file, and the options that there are. Out: values that have passed the checks of their options, each with its
//! line. Never here: a key that is not known, a value that an option would refuse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction};
use toml::de::{DeTable, DeValue};

use super::{key, refusal};

/// How much two names have to resemble one another for the one to be proposed for the other.
const SIMILAR: f64 = 0.7;

/// The values of a file.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    line: usize,
    values: Vec<String>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileFault {
    #[error("{path}: {source}: expected a configuration file; cage config example prints one", path = path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {reason}", path = path.display())]
    NoToml { path: PathBuf, line: usize, reason: String },
    #[error("{path}:{line}: there is no key `{key}`{proposal}; cage config example prints all of them", path = path.display())]
    Unknown { path: PathBuf, line: usize, key: String, proposal: String },
    #[error("{path}:{line}: `{key}`: {reason}", path = path.display())]
    Value { path: PathBuf, line: usize, key: String, reason: String },
}

impl ConfigFile {
    /// Reads a file for these options.
    ///
    /// # Errors
    /// What is wrong, and on which line.
    pub(super) fn read(path: &Path, options: &[Arg]) -> Result<Self, FileFault> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| FileFault::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text, options)
    }

    fn parse(path: &Path, text: &str, options: &[Arg]) -> Result<Self, FileFault> {
        let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let table = DeTable::parse(text).map_err(|fault| FileFault::NoToml {
            path: path.to_owned(),
            line: fault.span().map_or(1, |span| line_of(span.start)),
            reason: fault.message().to_owned(),
        })?;
        let mut values = BTreeMap::new();
        for (name, value) in table.into_inner() {
            let (line, name) = (line_of(name.span().start), name.into_inner().into_owned());
            let path = path.to_owned();
            let Some(option) = options.iter().find(|arg| key(arg).as_deref() == Some(&*name)) else {
                let proposal = propose(&name, options);
                return Err(FileFault::Unknown { path, line, key: name, proposal });
            };
            let read = texts(value.get_ref(), option).and_then(|texts| match refusal(option, &texts) {
                None => Ok(texts),
                Some(reason) => Err(reason),
            });
            match read {
                Ok(texts) => values.insert(name, Entry { line, values: texts }),
                Err(reason) => return Err(FileFault::Value { path, line, key: name, reason }),
            };
        }
        Ok(Self { path: path.to_owned(), values })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The line of a key.
    pub(super) fn line(&self, key: &str) -> Option<usize> {
        self.values.get(key).map(|entry| entry.line)
    }

    /// The option with its value of the file, if it has one, as its default.
    pub(super) fn as_default(&self, arg: Arg) -> Arg {
        match key(&arg).and_then(|key| self.values.get(&key)) {
            Some(entry) => arg.default_values(entry.values.clone()),
            None => arg,
        }
    }
}

/// The words that a value would be on the command line.
fn texts(value: &DeValue<'_>, option: &Arg) -> Result<Vec<String>, String> {
    let several = matches!(option.get_action(), ArgAction::Append);
    match value {
        DeValue::Array(items) if several => {
            items.iter().map(|item| text(item.get_ref())).collect::<Result<Vec<_>, _>>()
        }
        value => Ok(vec![text(value)?]),
    }
}

fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| "this number is too great".to_owned()),
        other => {
            Err(format!("expected a text, a whole number, true or false, and not a {}", other.type_str()))
        }
    }
}

/// The known key that a wrong one may have been meant for.
fn propose(wrong: &str, options: &[Arg]) -> String {
    let known = options.iter().filter_map(key);
    let scored = known.map(|key| (strsim::jaro_winkler(&wrong.replace('-', "_"), &key), key));
    let best = scored.filter(|(score, _)| *score > SIMILAR).max_by(|one, other| one.0.total_cmp(&other.0));
    best.map_or_else(String::new, |(_, key)| format!(": did you mean `{key}`?"))
}

#[cfg(test)]
mod tests {
    use super::super::serve_options;
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse(Path::new("cage.toml"), text, &serve_options()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_wrong_key_is_refused_with_the_one_that_was_meant() {
        for (wrong, meant) in
            [("segmnt_mib = 1", "segment_mib"), ("\n\ndata-dir = 'x'", "data_dir"), ("lisen = 1", "listen")]
        {
            let refused = parse(wrong).expect_err("no such key");
            let line = wrong.matches('\n').count() + 1;
            assert!(refused.starts_with(&format!("cage.toml:{line}: there is no key")), "{refused}");
            assert!(refused.contains(&format!("did you mean `{meant}`?")), "{refused}");
        }
        let refused = parse("colour = 'red'").expect_err("no such key");
        assert!(!refused.contains("did you mean"), "{refused}");
        for hidden in ["faults = 'sync@1'", "config = 'x'", "help = true"] {
            assert!(parse(hidden).is_err(), "{hidden} is no key of a file");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line() {
        for wrong in [
            "segment_mib = 0",
            "segment_mib = 'x'",
            "segment_mib = 1.5",
            "segment_mib = [1]",
            "listen = 'nowhere'",
            "lock_memory = 'perhaps'",
            "flush = 'sometimes'",
            "data_dir = {}",
            "log = 'a=loud'",
            "hot_mib = 99999999999999999999",
        ] {
            let refused = parse(&format!("# a comment\n{wrong}\n")).expect_err(wrong);
            let key = wrong.split(' ').next().expect("a key");
            assert!(refused.starts_with(&format!("cage.toml:2: `{key}`: ")), "{refused}");
        }
        for wrong in ["a", "a = ", "segment_mib = 1\nsegment_mib = 2"] {
            assert!(parse(wrong).expect_err(wrong).starts_with("cage.toml:"), "{wrong}");
        }
    }

    #[test]
    fn values_are_written_as_toml_writes_them() {
        let file = parse("segment_mib = 0x40\nhot_mib = 1_000\nlock_memory = true\nlisten = '[::1]:1'\n")
            .expect("a file");
        let value = |key: &str| file.values[key].values.join(",");
        assert_eq!(
            [value("segment_mib"), value("hot_mib"), value("lock_memory"), value("listen")],
            ["64", "1000", "true", "[::1]:1"]
        );
    }
}
