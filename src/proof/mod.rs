//! What makes the past of a log undeniable: signed checkpoints, the witnesses that keep them, proofs of single records.
//!
//! ```text
//!  flusher --ends of frames--> signer (once a second) --> witness file, clients
//!                                 |                            |
//!                          tree over the frames          audit: is it still this log?
//!                                 '--------------------> prove: is this record in it?
//! ```
//!
//! A chain of hashes alone proves nothing against somebody who can write the files: the whole chain can be written anew.
//! A checkpoint that lies elsewhere cannot. Never here: a decision, a wait on the way of money.

use std::fs::File;
use std::io;
use std::path::Path;

pub mod inclusion;
pub mod keys;
pub mod merkle;
pub mod signer;
pub mod witness;

/// Makes a file's name durable.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new("."))).and_then(|folder| folder.sync_all())
}
