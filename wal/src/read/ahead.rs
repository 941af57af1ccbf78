//! The next file is brought into memory while this one is looked at: the disk and whoever reads work at the same time.
//!
//! In: files by number, how one is loaded, what is done with its bytes. Out: the bytes in the order of the numbers. Never
//! here: more than one file ahead.

use std::{ops::Range, panic, thread};

use super::scanner::Progress;
use crate::{error::StorageError, storage::Content};

type Loaded = Result<Content, StorageError>;

/// Shows `take` what `load` gives for each number, until it has had enough.
pub(super) fn each_ahead<E>(
    numbers: Range<usize>,
    load: &(impl Fn(usize) -> Loaded + Sync),
    mut take: impl FnMut(usize, Loaded) -> Result<Progress, E>,
) -> Result<Progress, E> {
    thread::scope(|scope| {
        let begin = |number: usize| scope.spawn(move || load(number).inspect(Content::wait_for_all));
        let mut ahead = None;
        for number in numbers.clone() {
            let loading = ahead.take().unwrap_or_else(|| begin(number));
            let loaded = loading.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
            ahead = numbers.contains(&(number + 1)).then(|| begin(number + 1));
            if take(number, loaded)? == Progress::Stop {
                return Ok(Progress::Stop);
            }
        }
        Ok(Progress::Continue)
    })
}
