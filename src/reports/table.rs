//! Tables: one description of the columns, from which every format is written.
//!
//! In: columns, and rows value by value. Out: batches of rows, column by column, for whoever writes them. Never here: a
//! format, a float, an amount that lost a digit.

use std::ops::Range;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count, or a number of the ledger's: player, asset, game, position, …
    Number,
    /// An amount or a balance, in the asset's smallest units, exact.
    Amount,
    /// A name of 128 bits: a request id, a round, a provider's transaction.
    Id,
    /// Words.
    Text,
    /// A time, in nanoseconds since 1970.
    Time,
    /// Yes or no.
    Flag,
    /// A quotient, in millionths.
    Ratio,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What they mean.
    pub meaning: &'static str,
}

impl Column {
    /// A column.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self { name, kind, meaning }
    }
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, in words without spaces.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// There is none.
    Missing,
    /// Of [`Kind::Number`].
    Number(u64),
    /// Of [`Kind::Amount`].
    Amount(i128),
    /// Of [`Kind::Id`].
    Id(u128),
    /// Of [`Kind::Text`].
    Text(&'a str),
    /// Of [`Kind::Time`].
    Time(u64),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Ratio`].
    Ratio(i64),
}

impl Value<'_> {
    /// An unsigned amount; the ledger has none that does not fit.
    #[must_use]
    pub fn amount(amount: u128) -> Self {
        Value::Amount(i128::try_from(amount).unwrap_or(i128::MAX))
    }

    /// A number, or nothing if it is 0.
    #[must_use]
    pub fn some_number(number: u64) -> Self {
        if number == 0 { Value::Missing } else { Value::Number(number) }
    }

    /// A name, or nothing if it is 0.
    #[must_use]
    pub const fn some_id(id: u128) -> Self {
        if id == 0 { Value::Missing } else { Value::Id(id) }
    }

    /// Words, or nothing if there are none.
    #[must_use]
    pub const fn some_text(text: &str) -> Value<'_> {
        if text.is_empty() { Value::Missing } else { Value::Text(text) }
    }
}

/// The values of one column, without those that are missing.
#[derive(Clone, Debug)]
pub enum Values {
    /// Of numbers, times and ratios.
    Numbers(Vec<i64>),
    /// Of amounts.
    Amounts(Vec<i128>),
    /// Of ids.
    Ids(Vec<u128>),
    /// Of words: all of them in one string, and where each ends.
    Texts(String, Vec<usize>),
    /// Of yes and no.
    Flags(Vec<bool>),
}

/// A column of some rows.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The values that are there.
    pub values: Values,
    /// For each row, whether there is one; empty as long as all rows have one.
    missing: Vec<bool>,
    rows: usize,
}

impl Filled {
    fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Number | Kind::Time | Kind::Ratio => Values::Numbers(Vec::new()),
            Kind::Amount => Values::Amounts(Vec::new()),
            Kind::Id => Values::Ids(Vec::new()),
            Kind::Text => Values::Texts(String::new(), Vec::new()),
            Kind::Flag => Values::Flags(Vec::new()),
        };
        Self { values, missing: Vec::new(), rows: 0 }
    }

    fn push(&mut self, column: &Column, value: Value<'_>) {
        match (&mut self.values, value) {
            (_, Value::Missing) => {
                self.missing.resize(self.rows, false);
                self.missing.push(true);
                self.rows += 1;
                return;
            }
            (Values::Numbers(numbers), Value::Number(number) | Value::Time(number)) => {
                // The same 64 bits: the column's kind says that they are unsigned.
                numbers.push(number.cast_signed());
            }
            (Values::Numbers(numbers), Value::Ratio(ratio)) => numbers.push(ratio),
            (Values::Amounts(amounts), Value::Amount(amount)) => amounts.push(amount),
            (Values::Ids(ids), Value::Id(id)) => ids.push(id),
            (Values::Flags(flags), Value::Flag(flag)) => flags.push(flag),
            (Values::Texts(all, ends), Value::Text(text)) => {
                all.push_str(text);
                ends.push(all.len());
            }
            (_, value) => unreachable!("{}: expected {:?}, found {value:?}", column.name, column.kind),
        }
        if !self.missing.is_empty() {
            self.missing.push(false);
        }
        self.rows += 1;
    }

    /// Whether row `row` has no value.
    #[must_use]
    pub fn is_missing(&self, row: usize) -> bool {
        self.missing.get(row).copied().unwrap_or(false)
    }

    /// Whether any row has no value.
    #[must_use]
    pub const fn any_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    fn clear(&mut self) {
        match &mut self.values {
            Values::Numbers(numbers) => numbers.clear(),
            Values::Amounts(amounts) => amounts.clear(),
            Values::Ids(ids) => ids.clear(),
            Values::Flags(flags) => flags.clear(),
            Values::Texts(all, ends) => {
                all.clear();
                ends.clear();
            }
        }
        self.missing.clear();
        self.rows = 0;
    }
}

/// Where the `index`-th of some texts lies in their string.
#[must_use]
pub fn text_at(ends: &[usize], index: usize) -> Range<usize> {
    index.checked_sub(1).map_or(0, |before| ends[before])..ends[index]
}

/// Some rows of a table.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Of which table.
    pub table: Table,
    /// Its columns.
    pub columns: Vec<Filled>,
    rows: usize,
}

impl Batch {
    /// No rows yet.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let columns = table.columns.iter().map(|column| Filled::new(column.kind)).collect();
        Self { table, columns, rows: 0 }
    }

    /// Adds a row: a value for each column, of its kind or missing.
    ///
    /// # Panics
    /// If there are more or fewer values than columns, or one is of another kind: the table's description is wrong.
    pub fn push(&mut self, row: &[Value<'_>]) {
        assert_eq!(row.len(), self.columns.len(), "{}: a value for each column", self.table.name);
        for ((filled, column), value) in self.columns.iter_mut().zip(self.table.columns).zip(row) {
            filled.push(column, *value);
        }
        self.rows += 1;
    }

    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets the rows and keeps their room.
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Filled::clear);
        self.rows = 0;
    }

    /// Calls `see` for each row with its values.
    ///
    /// # Errors
    /// What `see` says.
    pub fn each_row<E>(&self, mut see: impl FnMut(&[Value<'_>]) -> Result<(), E>) -> Result<(), E> {
        let mut next = vec![0; self.columns.len()];
        let mut row = Vec::with_capacity(self.columns.len());
        for number in 0..self.rows {
            row.clear();
            for ((filled, column), next) in self.columns.iter().zip(self.table.columns).zip(&mut next) {
                if filled.is_missing(number) {
                    row.push(Value::Missing);
                    continue;
                }
                row.push(value(&filled.values, column.kind, *next));
                *next += 1;
            }
            see(&row)?;
        }
        Ok(())
    }
}

fn value(values: &Values, kind: Kind, index: usize) -> Value<'_> {
    match values {
        Values::Numbers(numbers) if kind == Kind::Ratio => Value::Ratio(numbers[index]),
        Values::Numbers(numbers) if kind == Kind::Time => Value::Time(numbers[index].cast_unsigned()),
        Values::Numbers(numbers) => Value::Number(numbers[index].cast_unsigned()),
        Values::Amounts(amounts) => Value::Amount(amounts[index]),
        Values::Ids(ids) => Value::Id(ids[index]),
        Values::Flags(flags) => Value::Flag(flags[index]),
        Values::Texts(all, ends) => Value::Text(&all[text_at(ends, index)]),
    }
}
