//! What the bridge has to find again after a kill: rows by table and key, in one file.
//!
//! In: changes that belong together. Out: all of them durable, or none; later the rows again. It is a projection of
//! chain and ledger and can be made anew from them, with one exception: signed transactions. Never here: what a row
//! means, a private key.

use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableTable as _, TableDefinition, TableError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Single facts, by name: how far chain and ledger were followed, the breaker.
    Facts,
    /// Deposits by transfer.
    Deposits,
    /// Addresses by number.
    Addresses,
    /// Credits that the ledger took back, by the key of the credit.
    Reversals,
    /// Withdrawals by request id.
    Withdrawals,
    /// Transactions of our own accounts, by name.
    Outflows,
}

impl Table {
    const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(match self {
            Self::Facts => "facts",
            Self::Deposits => "deposits",
            Self::Addresses => "addresses",
            Self::Reversals => "reversals",
            Self::Withdrawals => "withdrawals",
            Self::Outflows => "outflows",
        })
    }
}

/// A row that is written, or taken away.
#[derive(Clone, Debug)]
pub struct Write {
    table: Table,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Write {
    /// Writes a row.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: &impl Serialize) -> Self {
        // Rows are plain structs of numbers and text: they can always be written as JSON.
        Self { table, key: key.into(), value: Some(serde_json::to_vec(value).unwrap_or_default()) }
    }

    /// Takes a row away.
    pub fn take(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct StoreFault {
    path: PathBuf,
    reason: String,
}

/// The file.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens the file, or makes it. Only one process can have it open.
    ///
    /// # Errors
    /// [`StoreFault`] if it cannot be opened, or is open elsewhere.
    pub fn open(path: &Path) -> Result<Self, StoreFault> {
        let database = Database::create(path)
            .map_err(|fault| StoreFault { path: path.to_owned(), reason: fault.to_string() })?;
        Ok(Self { database, path: path.to_owned() })
    }

    fn fault(&self, reason: impl ToString) -> StoreFault {
        StoreFault { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Writes all of this, durable when it returns, or nothing of it.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing of it may be acted upon.
    pub fn commit(&self, writes: &[Write]) -> Result<(), StoreFault> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin_write().map_err(|fault| self.fault(fault))?;
        transaction.set_durability(Durability::Immediate);
        for write in writes {
            let table = transaction.open_table(write.table.definition());
            let mut table = table.map_err(|fault| self.fault(fault))?;
            let done = match &write.value {
                Some(value) => table.insert(write.key.as_slice(), value.as_slice()).map(|_| ()),
                None => table.remove(write.key.as_slice()).map(|_| ()),
            };
            done.map_err(|fault| self.fault(fault))?;
        }
        transaction.commit().map_err(|fault| self.fault(fault))
    }

    /// All rows of a table, by key.
    ///
    /// # Errors
    /// [`StoreFault`] if the file cannot be read, or a row is not what it must be.
    pub fn rows<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(Vec<u8>, T)>, StoreFault> {
        let transaction = self.database.begin_read().map_err(|fault| self.fault(fault))?;
        let rows = match transaction.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(fault) => return Err(self.fault(fault)),
        };
        let mut found = Vec::new();
        for row in rows.iter().map_err(|fault| self.fault(fault))? {
            let (key, value) = row.map_err(|fault| self.fault(fault))?;
            let value = serde_json::from_slice(value.value())
                .map_err(|fault| self.fault(format!("a row of {table:?}: {fault}")))?;
            found.push((key.value().to_vec(), value));
        }
        Ok(found)
    }

    /// One row.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn row<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreFault> {
        let transaction = self.database.begin_read().map_err(|fault| self.fault(fault))?;
        let rows = match transaction.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(fault) => return Err(self.fault(fault)),
        };
        let Some(value) = rows.get(key).map_err(|fault| self.fault(fault))? else { return Ok(None) };
        let read = serde_json::from_slice(value.value());
        read.map(Some).map_err(|fault| self.fault(format!("a row of {table:?}: {fault}")))
    }
}
