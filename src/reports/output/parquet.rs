//! Tables as Apache Parquet, for any engine that queries columns.
//!
//! In: batches; each becomes a group of rows. Out: a file with typed columns, packed with zstd. Never here: an amount that
//! lost a digit.
//!
//! An amount is a decimal of 38 digits without places, which is as wide as engines have. What is longer (a balance can have
//! 39 digits) is missing there and stands in the column `beyond`, as `name=value` in words.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::Sink;
use crate::reports::table::{Batch, Column, Filled, Kind, Table, Values, text_at};

/// The digits of a decimal that every engine has.
const DIGITS: u32 = 38;
/// The least amount that needs more.
const BEYOND: u128 = 10_u128.pow(DIGITS);
const WIDE_BYTES: usize = 16;
/// Where amounts are that do not fit.
const BEYOND_NAME: &str = "beyond";
/// Fast, and still packs records to a fifth.
const ZSTD_LEVEL: i32 = 1;

/// A Parquet file that is being written.
pub struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    with_beyond: bool,
}

impl<W: Write + Send> std::fmt::Debug for Parquet<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parquet").finish_non_exhaustive()
    }
}

impl<W: Write + Send> Parquet<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Whatever refuses to take the bytes.
    pub fn new(table: Table, out: W) -> io::Result<Self> {
        let with_beyond = table.columns.iter().any(|column| column.kind == Kind::Amount);
        let schema = schema(table, with_beyond).map_err(refused)?;
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties(table)?)).map_err(refused)?;
        Ok(Self { writer, with_beyond })
    }
}

impl<W: Write + Send> Sink for Parquet<W> {
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.rows() == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(refused)?;
        let mut beyond = vec![String::new(); if self.with_beyond { batch.rows() } else { 0 }];
        for (filled, column) in batch.columns.iter().zip(batch.table.columns) {
            write_column(&mut group, filled, column, batch.rows(), &mut beyond).map_err(refused)?;
        }
        if self.with_beyond {
            write_beyond(&mut group, &beyond).map_err(refused)?;
        }
        group.close().map_err(refused)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.writer.into_inner().map_err(refused)?.flush()
    }
}

fn refused(fault: ParquetError) -> io::Error {
    match fault {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(cause) => io::Error::other(cause),
        },
        fault => io::Error::other(fault),
    }
}

/// The schema of a table, every column optional: what is missing is null.
fn schema(table: Table, with_beyond: bool) -> Result<TypePtr, ParquetError> {
    let beyond = Column::new(BEYOND_NAME, Kind::Text, "amounts with more than 38 digits, as words");
    let columns = table.columns.iter().chain(with_beyond.then_some(&beyond));
    let fields = columns.map(|column| field(column).map(Arc::new)).collect::<Result<_, _>>()?;
    Ok(Arc::new(Type::group_type_builder(table.name).with_fields(fields).build()?))
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical, bytes) = match column.kind {
        Kind::Number => (Physical::INT64, Some(LogicalType::Integer { bit_width: 64, is_signed: false }), 0),
        Kind::Time => {
            // Without a zone: engines that have zones for times have them to the microsecond only.
            let logical = LogicalType::Timestamp { is_adjusted_to_u_t_c: false, unit: TimeUnit::NANOS };
            (Physical::INT64, Some(logical), 0)
        }
        Kind::Ratio => (Physical::INT64, Some(LogicalType::Decimal { scale: 6, precision: 18 }), 0),
        Kind::Amount => {
            let logical = LogicalType::Decimal { scale: 0, precision: DIGITS.cast_signed() };
            (Physical::FIXED_LEN_BYTE_ARRAY, Some(logical), WIDE_BYTES)
        }
        Kind::Id => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), WIDE_BYTES),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), 0),
        Kind::Flag => (Physical::BOOLEAN, None, 0),
    };
    let (scale, precision) = match column.kind {
        Kind::Ratio => (6, 18),
        Kind::Amount => (0, DIGITS.cast_signed()),
        _ => (-1, -1),
    };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .with_length(if bytes == 0 { -1 } else { bytes as i32 })
        .with_scale(scale)
        .with_precision(precision)
        .build()
}

fn properties(table: Table) -> io::Result<WriterProperties> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(refused)?;
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("cage ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for column in table.columns {
        let path = ColumnPath::from(column.name);
        properties = match column.kind {
            // What repeats: words. Ids and amounts hardly do, and numbers lie close to each other.
            Kind::Text => properties.set_column_dictionary_enabled(path, true),
            Kind::Number | Kind::Time => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            Kind::Amount | Kind::Id | Kind::Flag | Kind::Ratio => {
                properties.set_column_dictionary_enabled(path, false)
            }
        };
    }
    Ok(properties.build())
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    filled: &Filled,
    column: &Column,
    rows: usize,
    beyond: &mut [String],
) -> Result<(), ParquetError> {
    let mut levels = levels_of(filled, rows);
    match &filled.values {
        Values::Numbers(numbers) => put::<Int64Type, W>(group, numbers, &levels),
        Values::Flags(flags) => put::<BoolType, W>(group, flags, &levels),
        Values::Ids(ids) => put::<FixedLenByteArrayType, W>(group, &wide(ids, wide_bytes::of_id), &levels),
        Values::Amounts(amounts) => {
            let wide_amounts = |amounts: &[i128]| wide(amounts, wide_bytes::of_amount);
            if amounts.iter().all(|amount| amount.unsigned_abs() < BEYOND) {
                return put::<FixedLenByteArrayType, W>(group, &wide_amounts(amounts), &levels);
            }
            let fit = set_aside(amounts, column, &mut levels, beyond);
            put::<FixedLenByteArrayType, W>(group, &wide_amounts(&fit), &levels)
        }
        Values::Texts(all, ends) => {
            let all = Bytes::copy_from_slice(all.as_bytes());
            let words: Vec<_> =
                (0..ends.len()).map(|index| ByteArray::from(all.slice(text_at(ends, index)))).collect();
            put::<ByteArrayType, W>(group, &words, &levels)
        }
    }
}

/// Parquet has its wide values with the highest byte first.
#[allow(clippy::big_endian_bytes, reason = "the format asks for it")]
mod wide_bytes {
    pub(super) const fn of_id(id: u128) -> [u8; super::WIDE_BYTES] {
        id.to_be_bytes()
    }

    pub(super) const fn of_amount(amount: i128) -> [u8; super::WIDE_BYTES] {
        amount.to_be_bytes()
    }
}

/// For each row 1 if it has a value, else 0.
fn levels_of(filled: &Filled, rows: usize) -> Vec<i16> {
    if filled.any_missing() {
        (0..rows).map(|row| i16::from(!filled.is_missing(row))).collect()
    } else {
        vec![1; rows]
    }
}

/// Takes the amounts away that have too many digits, and writes them down in words.
fn set_aside(amounts: &[i128], column: &Column, levels: &mut [i16], beyond: &mut [String]) -> Vec<i128> {
    let mut amounts = amounts.iter();
    let mut fit = Vec::with_capacity(amounts.len());
    for (level, words) in levels.iter_mut().zip(beyond).filter(|(level, _)| **level == 1) {
        let Some(amount) = amounts.next() else { break };
        if amount.unsigned_abs() < BEYOND {
            fit.push(*amount);
        } else {
            *level = 0;
            let space = if words.is_empty() { "" } else { " " };
            let _ = write!(words, "{space}{}={amount}", column.name);
        }
    }
    fit
}

fn write_beyond<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    beyond: &[String],
) -> Result<(), ParquetError> {
    let levels: Vec<_> = beyond.iter().map(|words| i16::from(!words.is_empty())).collect();
    let words = beyond.iter().filter(|words| !words.is_empty());
    let words: Vec<_> = words.map(|words| ByteArray::from(words.clone().into_bytes())).collect();
    put::<ByteArrayType, W>(group, &words, &levels)
}

/// Values of sixteen bytes, all in one piece of memory.
fn wide<T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; WIDE_BYTES]) -> Vec<FixedLenByteArray> {
    let mut all = Vec::with_capacity(values.len() * WIDE_BYTES);
    values.iter().for_each(|value| all.extend_from_slice(&bytes(*value)));
    let all = Bytes::from(all);
    let piece = |at: usize| ByteArray::from(all.slice(at * WIDE_BYTES..(at + 1) * WIDE_BYTES)).into();
    (0..values.len()).map(piece).collect()
}

fn put<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: &[i16],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns than the table".to_owned()));
    };
    column.typed::<T>().write_batch(values, Some(levels), None)?;
    column.close()
}
