//! Tables as lines: text for people, CSV, JSON.
//!
//! In: batches. Out: lines; the same value is spelled the same way in each. Never here: a float; amounts in JSON are
//! strings, which no reader takes for floats.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serializer as _;
use serde::ser::SerializeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Sink;
use crate::reports::table::{Batch, Column, Kind, Table, Value};

/// How a value is spelled. A value that is missing is an empty word.
pub(crate) fn spell(value: Value<'_>, out: &mut String) {
    // Writing to a string never fails.
    let _ = match value {
        Value::Missing => Ok(()),
        Value::Number(number) => write!(out, "{number}"),
        Value::Amount(amount) => write!(out, "{amount}"),
        Value::Id(id) => write!(out, "{id:032x}"),
        Value::Flag(flag) => write!(out, "{flag}"),
        Value::Time(nanos) => write!(out, "{}", time_text(nanos)),
        Value::Ratio(millionths) => {
            let sign = if millionths < 0 { "-" } else { "" };
            let size = millionths.unsigned_abs();
            write!(out, "{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
        }
        Value::Text(text) => {
            out.push_str(text);
            Ok(())
        }
    };
}

/// A time in the notation of RFC 3339, in UTC.
pub(crate) fn time_text(nanos: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(nanos.into())
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{nanos} ns"))
}

/// Columns side by side. How wide they are the first batch says.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    widths: Vec<usize>,
}

impl<W: Write> Text<W> {
    pub(super) const fn new(out: W) -> Self {
        Self { out, widths: Vec::new() }
    }

    fn line(&mut self, columns: &[Column], cells: &[String]) -> io::Result<()> {
        let mut line = String::new();
        for ((column, cell), width) in columns.iter().zip(cells).zip(&self.widths) {
            let to_the_right = matches!(column.kind, Kind::Number | Kind::Amount | Kind::Ratio);
            let _ = if to_the_right {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        writeln!(self.out, "{}", line.trim_end())
    }
}

impl<W: Write> Sink for Text<W> {
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let columns = batch.table.columns;
        let mut rows = Vec::with_capacity(batch.rows());
        batch.each_row(|row| {
            let spelled = row.iter().map(|value| {
                let mut cell = String::new();
                spell(*value, &mut cell);
                cell
            });
            rows.push(spelled.collect::<Vec<_>>());
            Ok::<_, io::Error>(())
        })?;
        if self.widths.is_empty() {
            let widest = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or(0);
            self.widths = (0..columns.len()).map(|at| widest(at).max(columns[at].name.len())).collect();
            let names: Vec<_> = columns.iter().map(|column| column.name.to_owned()).collect();
            self.line(columns, &names)?;
        }
        rows.iter().try_for_each(|row| self.line(columns, row))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// Comma-separated values as in RFC 4180, with a line of names.
pub struct Csv<W: Write> {
    out: csv::Writer<W>,
    cell: String,
}

impl<W: Write> std::fmt::Debug for Csv<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Csv").finish_non_exhaustive()
    }
}

impl<W: Write> Csv<W> {
    pub(super) fn new(table: Table, out: W) -> io::Result<Self> {
        let mut out = csv::Writer::from_writer(out);
        out.write_record(table.columns.iter().map(|column| column.name))?;
        Ok(Self { out, cell: String::new() })
    }
}

impl<W: Write> Sink for Csv<W> {
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        batch.each_row(|row| {
            for value in row {
                self.cell.clear();
                spell(*value, &mut self.cell);
                self.out.write_field(&self.cell)?;
            }
            self.out.write_record(None::<&[u8]>)?;
            Ok::<_, io::Error>(())
        })
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// One JSON object a line. What is missing is left out.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    pub(super) const fn new(out: W) -> Self {
        Self { out }
    }

    fn row(&mut self, columns: &[Column], row: &[Value<'_>]) -> io::Result<()> {
        let mut json = serde_json::Serializer::new(&mut self.out);
        let mut map = json.serialize_map(None)?;
        let mut text = String::new();
        for (column, value) in columns.iter().zip(row) {
            match value {
                Value::Missing => {}
                Value::Number(number) => map.serialize_entry(column.name, number)?,
                Value::Flag(flag) => map.serialize_entry(column.name, flag)?,
                value => {
                    text.clear();
                    spell(*value, &mut text);
                    map.serialize_entry(column.name, &text)?;
                }
            }
        }
        map.end()?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> Sink for Json<W> {
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        batch.each_row(|row| self.row(batch.table.columns, row))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
