//! Writes tables: as text for people, CSV, JSON lines or Parquet.
//!
//! In: batches of rows. Out: the same values in each format. Never here: what the rows mean; an amount as a float.

mod lines;
pub mod parquet;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::table::{Batch, Table};

pub use lines::{Csv, Json, Text};

/// A format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns side by side, for people
    #[default]
    Text,
    /// Comma-separated values, with a line of names
    Csv,
    /// One JSON object a line; amounts are strings
    Json,
    /// Apache Parquet, packed with zstd
    Parquet,
}

impl Format {
    /// The end of a file's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }
}

/// What takes batches of one table.
pub trait Sink {
    /// Writes some rows.
    ///
    /// # Errors
    /// Whatever refuses to take the bytes.
    fn write(&mut self, batch: &Batch) -> io::Result<()>;

    /// Ends the table.
    ///
    /// # Errors
    /// Whatever refuses to take the bytes.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Begins a table in a format.
///
/// # Errors
/// Whatever refuses to take the bytes.
pub fn sink<W: Write + Send + 'static>(format: Format, table: Table, out: W) -> io::Result<Box<dyn Sink>> {
    Ok(match format {
        Format::Text => Box::new(Text::new(out)),
        Format::Csv => Box::new(Csv::new(table, out)?),
        Format::Json => Box::new(Json::new(out)),
        Format::Parquet => Box::new(parquet::Parquet::new(table, out)?),
    })
}

/// A file that gets its name when it is whole: nobody takes half a table for all of it.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    temporary: PathBuf,
}

impl WholeFile {
    /// Begins a file; what is written goes to its neighbour with `.tmp` behind its name.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(path: PathBuf) -> io::Result<(Self, BufWriter<File>)> {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        Ok((Self { path, temporary }, file))
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn publish(self) -> io::Result<()> {
        std::fs::rename(self.temporary, self.path)
    }
}
