//! The files of a witness: the one that is added to, under the witness's own name, and beside it those that were closed when
//! they were full, `NAME.closed-000001` and so on.
//!
//! In: the witness's path. Out: the closed ones in the order of their numbers. Never here: a file that is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::WitnessError;

/// Digits of a number, at least: a name for each second of eleven days, in an order that people see.
const DIGITS: usize = 6;

/// The name of a closed file.
pub(super) fn closed_name(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".closed-{number:0DIGITS$}"));
    PathBuf::from(name)
}

/// The closed files, in the order of their numbers.
pub(super) fn closed(path: &Path) -> Result<Vec<(u64, PathBuf)>, WitnessError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = match fs::read_dir(folder.unwrap_or_else(|| Path::new("."))) {
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| WitnessError::file(path, source))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|source| WitnessError::file(path, source))?.file_name();
        let number = name.to_str().and_then(|name| name.rsplit_once(".closed-")?.1.parse().ok());
        let file = number.map(|number| (number, closed_name(path, number)));
        // Spelled as they are made, so that nothing else is taken for one.
        found.extend(file.filter(|(_, file)| file.file_name() == Some(&name)));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_closed_under_the_witnesss_own_name_is_a_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        for name in [
            "witness",
            "witness.closed-000002",
            "witness.closed-000010",
            "witness.closed-1234567",
            "witness.closed-000001",
            "witness.closed-2",
            "witness.closed-+00003",
            "witness.closed-000003.gz",
            "witness.closed-000004.closed-000001",
            "other.closed-000005",
            "witness.20261127",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let numbers: Vec<_> = closed(&path).unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 10, 1_234_567]);
        assert_eq!(closed(&dir.path().join("nowhere").join("witness")).unwrap(), []);
    }
}
