//! The file of a witness that is added to, and what happens when it is full.
//!
//! In: checkpoints. Out: a line for each, durable; a full file gets the name of a closed one, and its successor begins with
//! the last checkpoint of it. So a start has one file of bounded length to read, each file says by itself what it continues,
//! and a kill between any two steps leaves either the old file or a beginning that the next line completes. Never here: two
//! writers (the log has one), a name that is taken away from a file that is there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cage_protocol::SignedCheckpoint;

use super::{WitnessError, files, last_of_closed, last_of_file, line};
use crate::proof::sync_folder_of;

/// A witness that is added to.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    /// A file of so many bytes is closed before the next line.
    full_bytes: u64,
    /// None between a file that was closed and the next one.
    working: Option<Working>,
    /// What the next file begins with.
    last: Option<SignedCheckpoint>,
    /// The last attempt to close a full file has failed.
    grows: bool,
}

/// The file that is added to.
#[derive(Debug)]
struct Working {
    file: File,
    bytes: u64,
    /// The last line has no end, or may have none: the next one begins with it.
    cut: bool,
}

impl Witness {
    /// Opens (or creates) a witness, to add to it; a file of `full_bytes` is closed.
    ///
    /// # Errors
    /// [`WitnessError`] if it cannot be opened.
    pub fn open(path: &Path, full_bytes: u64) -> Result<Self, WitnessError> {
        let mut witness = Self { path: path.to_owned(), full_bytes, working: None, last: None, grows: false };
        witness.working = Some(witness.begin()?);
        Ok(witness)
    }

    /// Adds a checkpoint, durably.
    ///
    /// # Errors
    /// [`WitnessError`] if the operating system refuses. Whether the line is there is not known then: the same checkpoint has
    /// to be added again before another one is.
    pub fn add(&mut self, signed: &SignedCheckpoint) -> Result<(), WitnessError> {
        if self.working.as_ref().is_some_and(|working| working.bytes >= self.full_bytes && !working.cut) {
            self.close();
        }
        let mut working = match self.working.take() {
            Some(working) => working,
            None => self.begin()?,
        };
        let added = working.add(signed);
        self.working = Some(working);
        added.map_err(|source| WitnessError::file(&self.path, source))?;
        self.last = Some(*signed);
        Ok(())
    }

    /// Whether the file is longer than it should be, because it cannot be closed.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.grows
    }

    /// Gives the full file the name of a closed one. If that is refused it is told, and the file goes on: better too long than
    /// without the next checkpoint.
    fn close(&mut self) {
        let closed = self.next_name().and_then(|name| {
            fs::rename(&self.path, &name).map_err(|source| WitnessError::file(&name, source))?;
            Ok(name)
        });
        self.grows = closed.is_err();
        match closed {
            Ok(name) => {
                self.working = None;
                tracing::info!(file = %name.display(), "a file of the witness is full and was closed");
            }
            Err(reason) => {
                tracing::warn!(%reason, "the witness's file is full and cannot be closed: it grows")
            }
        }
    }

    fn next_name(&self) -> Result<PathBuf, WitnessError> {
        let newest = files::closed(&self.path)?.last().map_or(0, |(number, _)| *number);
        Ok(files::closed_name(&self.path, newest + 1))
    }

    /// Opens the file that is added to. One that is new, or that a crash left without a whole line, begins with the last
    /// checkpoint of its predecessor.
    fn begin(&mut self) -> Result<Working, WitnessError> {
        let path = self.path.clone();
        let failed = |source| WitnessError::file(&path, source);
        // The predecessor's new name first: the loss of both names would be the loss of its lines.
        sync_folder_of(&path).map_err(failed)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        sync_folder_of(&path).map_err(failed)?;
        let (bytes, cut) = (file.metadata().map_err(failed)?.len(), ends_inside_a_line(&mut file));
        let mut working = Working { file, bytes, cut: cut.map_err(failed)? };
        let own = last_of_file(&path)?;
        self.last = self.last.or(own).map_or_else(|| last_of_closed(&path), |last| Ok(Some(last)))?;
        if let (None, Some(last)) = (own, &self.last) {
            working.add(last).map_err(failed)?;
        }
        Ok(working)
    }
}

impl Working {
    fn add(&mut self, signed: &SignedCheckpoint) -> io::Result<()> {
        let line = line(signed);
        let text = if self.cut { format!("\n{line}") } else { line };
        self.cut = true;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.bytes += text.len() as u64;
        self.cut = false;
        Ok(())
    }
}

fn ends_inside_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::signed;
    use super::super::{last, read};
    use super::*;

    /// Never full.
    const ENDLESS: u64 = u64::MAX;

    fn add(path: &Path, full_bytes: u64, lsns: std::ops::RangeInclusive<u64>) {
        let mut witness = Witness::open(path, full_bytes).unwrap();
        for lsn in lsns {
            witness.add(&signed(lsn)).unwrap();
        }
    }

    fn lsns(path: &Path) -> Vec<u64> {
        read(path).unwrap().checkpoints.iter().map(|signed| signed.checkpoint.lsn).collect()
    }

    /// Everything in a folder, by name.
    fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn what_was_added_is_read_back_over_every_cut_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        assert_eq!(last(&path).unwrap(), None);
        add(&path, ENDLESS, 1..=1);
        let first = fs::metadata(&path).unwrap().len() as usize;
        add(&path, ENDLESS, 2..=2);
        let whole = fs::read(&path).unwrap();
        for cut in first..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let kept = read(&path).unwrap();
            let whole_but_its_end = cut + 1 == whole.len();
            assert_eq!(kept.checkpoints.len(), 1 + usize::from(whole_but_its_end), "cut at {cut}");
            assert_eq!(kept.cut.len(), usize::from(cut > first && !whole_but_its_end), "cut at {cut}");
            add(&path, ENDLESS, 3..=3);
            assert_eq!(lsns(&path).last(), Some(&3), "cut at {cut}");
        }
    }

    #[test]
    fn a_full_file_is_closed_and_all_of_them_are_one_witness() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let line_bytes = line(&signed(1)).len() as u64;
        // Three lines each: the carried one and two of its own, but for the first.
        add(&path, 3 * line_bytes, 1..=8);
        assert_eq!(lsns(&path), [1, 2, 3, 4, 5, 6, 7, 8]);
        let files = contents(dir.path());
        let in_file = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
        assert_eq!(files.iter().map(|(path, _)| in_file(path)).collect::<Vec<_>>(), [2, 3, 3, 3]);
        for ((before, _), (after, _)) in
            [(&files[1], &files[2]), (&files[2], &files[3]), (&files[3], &files[0])]
        {
            let (before, after) = (fs::read_to_string(before).unwrap(), fs::read_to_string(after).unwrap());
            assert_eq!(before.lines().last(), after.lines().next(), "a file begins with what it continues");
        }
        // A longer file of an earlier version is closed as it is.
        add(&path, 1, 9..=9);
        assert_eq!(lsns(&path), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(last(&path).unwrap(), Some(signed(9)));
    }

    /// Every state that a kill can leave: the full file under its old name; under its new name and nothing beside it; and
    /// beside it a new file that was cut anywhere, in the line that is carried over or in the next one.
    #[test]
    fn wherever_a_change_of_files_is_broken_off_there_is_no_gap_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        add(&path, ENDLESS, 1..=3);
        let full = fs::metadata(&path).unwrap().len();
        let line_bytes = full as usize / 3;
        let continued = |at: &str| {
            let before = lsns(&path);
            let seen = last(&path).unwrap().map(|signed| signed.checkpoint.lsn);
            assert_eq!(before.last(), seen.as_ref(), "{at}");
            assert!(before == [1, 2, 3] || before == [1, 2, 3, 4], "{at}: {before:?}");
            let next = before.len() as u64 + 1;
            add(&path, full, next..=next + 2);
            assert_eq!(lsns(&path), (1..=next + 2).collect::<Vec<_>>(), "{at}");
        };
        let closed = files::closed_name(&path, 1);
        let old = fs::read(&path).unwrap();
        let clear = || contents(dir.path()).iter().for_each(|(path, _)| fs::remove_file(path).unwrap());

        continued("before the first step");
        clear();
        fs::write(&closed, &old).unwrap();
        continued("there is no file to add to");
        clear();
        fs::write(&path, &old).unwrap();
        add(&path, full, 4..=4);
        let new = fs::read(&path).unwrap();
        assert_eq!((fs::read(&closed).unwrap(), new.len()), (old.clone(), 2 * line_bytes));
        for cut in 0..=new.len() {
            clear();
            fs::write(&closed, &old).unwrap();
            fs::write(&path, &new[..cut]).unwrap();
            continued(&format!("the new file is cut at {cut}"));
        }
    }

    #[test]
    fn a_file_that_is_missing_leaves_a_gap_in_the_positions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        add(&path, 3 * line(&signed(1)).len() as u64, 1..=9);
        for (missing, bytes) in contents(dir.path()) {
            fs::remove_file(&missing).unwrap();
            let kept = read(&path).unwrap().checkpoints;
            let gap = |pair: &[SignedCheckpoint]| pair[1].checkpoint.previous_lsn != pair[0].checkpoint.lsn;
            let at_an_end = kept[0] != signed(1) || kept.last() != Some(&signed(9));
            assert!(at_an_end || kept.windows(2).any(gap), "{}", missing.display());
            fs::write(&missing, bytes).unwrap();
        }
        assert_eq!(lsns(&path), (1..=9).collect::<Vec<_>>());
    }

    /// Somebody has moved it away while it was written: nothing that can still be signed is given up for that.
    #[test]
    fn a_file_that_cannot_be_closed_is_added_to() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("witness"), dir.path().join("elsewhere"));
        let mut witness = Witness::open(&path, 1).unwrap();
        witness.add(&signed(1)).unwrap();
        fs::rename(&path, &elsewhere).unwrap();
        witness.add(&signed(2)).unwrap();
        assert!(!path.exists() && witness.grows(), "no second one is begun beside it, and it is told");
        fs::rename(&elsewhere, &path).unwrap();
        witness.add(&signed(3)).unwrap();
        assert!(!witness.grows());
        assert_eq!(lsns(&path), [1, 2, 3]);
    }
}
