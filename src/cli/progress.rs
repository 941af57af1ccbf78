//! Progress bars of commands that take long: how much, how fast, how long still. On stderr, and only for people.
//!
//! In: how many bytes there are to do, and how many more are done. Out: one line that is gone when the work is done. Never
//! here: anything on stdout, or on a stderr that is no terminal.

use cage_wal::storage::Storage;
use indicatif::{ProgressBar, ProgressStyle};

/// What a bar looks like.
const TEMPLATE: &str = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";

/// A bar for so many bytes; one that nobody sees if `quiet`.
pub(super) fn bar(what: &'static str, bytes: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(bytes).with_style(style.progress_chars("=> ")).with_message(what);
    // Something is seen at once, however long the first piece takes.
    bar.tick();
    bar
}

/// The bytes of all files of a folder, or of a log over several.
pub(super) fn bytes_of(storage: &dyn Storage) -> u64 {
    storage.list().unwrap_or_default().iter().map(|file| file.bytes).sum()
}
