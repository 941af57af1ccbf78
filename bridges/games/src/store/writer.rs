//! Writes what changes, some changes at a time, on a thread of its own.
//!
//! In: changes in their order. Out: a word to whoever waits for one to be on the disk. Never here: a change that is lost
//! when the store is dropped.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redb::{Database, Durability, WriteTransaction};

use super::{
    BETS, CANCELLED, CLOSED, Change, DECISIONS, DISPUTES, Fault, GENERATIONS, HOLDS, POSITIONS, SESSIONS,
    TRANSACTIONS, Young, closes, is_bet, lock, undoes,
};
use crate::limits::{STORE_BATCH_MAX, STORE_SYNC_EVERY};

pub(super) struct Writer {
    pub(super) base: Arc<Database>,
    pub(super) young: Arc<Mutex<Young>>,
    pub(super) arriving: Receiver<Change>,
    pub(super) written: u64,
}

impl Writer {
    pub(super) fn run(mut self) {
        let mut synced = Instant::now();
        let mut unsynced = false;
        loop {
            let wait = STORE_SYNC_EVERY.saturating_sub(synced.elapsed());
            let mut batch = Vec::new();
            let first = self.arriving.recv_timeout(if unsynced { wait } else { Duration::MAX });
            let over = matches!(first, Err(RecvTimeoutError::Disconnected));
            batch.extend(first);
            batch.extend(self.arriving.try_iter().take(STORE_BATCH_MAX));
            let any = !batch.is_empty();
            let awaited = batch.iter().any(|change| matches!(change, Change::Hold(..) | Change::Session(..)));
            let sync = over || awaited || unsynced && synced.elapsed() >= STORE_SYNC_EVERY;
            if let Err(reason) = self.write(batch, sync) {
                tracing::error!(%reason, "transactions of providers cannot be written: they stay in memory");
                return;
            }
            unsynced = !sync && (unsynced || any);
            if sync || !unsynced {
                synced = Instant::now();
            }
            if over {
                return;
            }
        }
    }

    fn write(&mut self, batch: Vec<Change>, sync: bool) -> Result<(), Fault> {
        let mut write = self.base.begin_write()?;
        write.set_durability(if sync { Durability::Immediate } else { Durability::None });
        for change in &batch {
            apply(&write, change)?;
        }
        write.commit()?;
        self.written += batch.len() as u64;
        for change in batch {
            if let Change::Hold(_, _, durable) | Change::Session(_, _, durable) = change {
                // Whoever waited may have gone.
                let _ = durable.send(());
            }
        }
        let written = self.written;
        let mut young = lock(&self.young);
        young.rows.retain(|_, (number, _)| *number > written);
        young.closed.retain(|_, (number, _)| *number > written);
        young.generations.retain(|_, (number, _)| *number > written);
        Ok(())
    }
}

fn apply(write: &WriteTransaction, change: &Change) -> Result<(), Fault> {
    match change {
        Change::Row(key, row) => {
            write.open_table(TRANSACTIONS)?.insert(key, row.to_bytes().as_slice())?;
            if is_bet(row) {
                write.open_table(BETS)?.insert((row.round.0, row.lsn.0), key)?;
            }
            if undoes(row) {
                write.open_table(CANCELLED)?.insert(row.bet.0, row.lsn.0)?;
            }
            if closes(row) && row.round.0 != 0 {
                write.open_table(CLOSED)?.insert(row.round.0, (row.lsn.0, row.decided.0))?;
            }
        }
        Change::Closed(round, lsn, when) => {
            write.open_table(CLOSED)?.insert(round.0, (lsn.0, when.0))?;
        }
        Change::Position(provider, position) => {
            write.open_table(POSITIONS)?.insert(provider, position.0)?;
        }
        Change::Hold(id, text, _) => {
            write.open_table(HOLDS)?.insert(id.0, text.as_str())?;
        }
        Change::HoldGone(id) => {
            write.open_table(HOLDS)?.remove(id.0)?;
        }
        Change::Dispute(bet, when) => {
            write.open_table(DISPUTES)?.insert(bet.as_str(), when.0)?;
        }
        Change::Session(session, player, _) => {
            write.open_table(SESSIONS)?.insert(session.0, player.number())?;
        }
        Change::SessionGone(session) => {
            write.open_table(SESSIONS)?.remove(session.0)?;
        }
        Change::Decision(bet, text) => {
            write.open_table(DECISIONS)?.insert(bet.as_str(), text.as_str())?;
        }
        Change::Generation(session, generation) => {
            write.open_table(GENERATIONS)?.insert(session.0, generation)?;
        }
    }
    Ok(())
}
