//! What is open: rounds, holds and withdrawals under way, each with its age.
//!
//! In: the books at a place in the log, and the records that opened what is open. Out: a row for each, the oldest first.
//! Never here: what is closed.

use cage_engine::state::Stage;
use cage_engine::{Amount, AssetId, GameId, Lsn, PlayerId, Record, Timestamp};
use cage_wal::{Lookup, ReadError};

use super::period::Period;
use super::replay::{Begin, Replayed, ReportFault, replay};
use super::revenue::Whose;
use super::table::{Batch, Column, Kind, Table, Value};
use crate::data::DataDir;

/// The columns of what is open.
pub const OPEN: Table = Table {
    name: "open",
    columns: &[
        Column::new("what", Kind::Text, "`round`, `hold` or `withdrawal`"),
        Column::new("id", Kind::Id, "its key or id"),
        Column::new("player", Kind::Number, "whose"),
        Column::new("brand", Kind::Number, "the player's brand"),
        Column::new("class", Kind::Text, "`real` or `test`"),
        Column::new("asset", Kind::Number, "the asset's number"),
        Column::new("code", Kind::Text, "the asset's code"),
        Column::new("game", Kind::Number, "on which game, or over which chain"),
        Column::new("opened", Kind::Number, "the record that opened it"),
        Column::new("since", Kind::Time, "when that was"),
        Column::new("age_seconds", Kind::Number, "how long before the last record of the period"),
        Column::new("ends", Kind::Time, "when the ledger ends it by itself"),
        Column::new(
            "amount",
            Kind::Amount,
            "the stake that is not given back or settled; what is to be paid out",
        ),
        Column::new("won", Kind::Amount, "of a round: what it won so far"),
        Column::new("stage", Kind::Text, "of a withdrawal: how far it is"),
    ],
};

/// One thing that is open.
#[derive(Clone, Copy, Debug)]
struct Item {
    what: &'static str,
    id: u128,
    player: PlayerId,
    asset: AssetId,
    game: u32,
    opened: Lsn,
    ends: Option<Timestamp>,
    amount: Amount,
    won: Option<Amount>,
    stage: Option<&'static str>,
}

/// What is open at the end of a period.
#[derive(Debug)]
pub struct Open {
    items: Vec<(Item, Option<Timestamp>)>,
    /// The books.
    pub replayed: Replayed,
}

/// Looks for everything that is open at the end of a period.
///
/// # Errors
/// The log cannot be read.
pub fn open(data: &DataDir, period: Period, progress: impl FnMut(u64)) -> Result<Open, ReportFault> {
    let replayed = replay(data, period, Begin::Late, |_, _, _| {}, progress)?;
    let mut items = items(&replayed);
    items.sort_by_key(|item| (item.opened, item.id));
    let Some(mut log) = Lookup::open(data.whole_log(u64::MAX))? else {
        return Err(ReportFault::NoLog(data.root().display().to_string()));
    };
    let timed = items.into_iter().map(|item| opened_at(&mut log, item.opened).map(|time| (item, time)));
    Ok(Open { items: timed.collect::<Result<_, _>>()?, replayed })
}

fn items(replayed: &Replayed) -> Vec<Item> {
    let state = &replayed.state;
    let none = GameId::default();
    let item = |what, id, player, asset, game: GameId, opened, amount| Item {
        what,
        id,
        player,
        asset,
        game: game.0,
        opened,
        ends: None,
        amount,
        won: None,
        stage: None,
    };
    let rounds = state.rounds().map(|round| Item {
        ends: Some(round.closes),
        won: Some(round.won),
        ..item("round", round.key.0, round.player, round.asset, round.game, round.opened, round.stake)
    });
    let holds = state.holds().map(|hold| Item {
        ends: hold.deadline,
        ..item("hold", hold.id.0, hold.player, hold.asset, hold.game, hold.opened, hold.remaining)
    });
    let withdrawals = state.withdrawals().map(|row| Item {
        game: row.chain,
        stage: Some(match row.stage {
            Stage::Requested => "requested",
            Stage::Approved => "approved",
            Stage::Signed => "signed",
        }),
        ..item("withdrawal", row.id.0, row.player, row.asset, none, row.opened, row.amount)
    });
    rounds.chain(holds).chain(withdrawals).collect()
}

/// When a record was decided; nothing if its segment is not here any more.
fn opened_at(log: &mut Lookup, lsn: Lsn) -> Result<Option<Timestamp>, ReportFault> {
    match log.record(cage_wal::Lsn(lsn.0)) {
        Ok(bytes) => Ok(Record::from_bytes(&bytes).ok().map(|record| record.decided)),
        Err(ReadError::TooOld { .. }) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

impl Open {
    /// The rows of those who are wanted.
    #[must_use]
    pub fn rows(&self, whose: Whose) -> Batch {
        let mut batch = Batch::new(OPEN);
        for (item, since) in &self.items {
            self.row(item, *since, whose, &mut batch);
        }
        batch
    }

    fn row(&self, item: &Item, since: Option<Timestamp>, whose: Whose, batch: &mut Batch) {
        let state = &self.replayed.state;
        let Some(player) = state.player(item.player).filter(|player| whose.wants(player.class)) else {
            return;
        };
        let code = state.asset(item.asset).map(|asset| asset.code);
        let now = state.clock().0;
        batch.push(&[
            Value::Text(item.what),
            Value::Id(item.id),
            Value::Number(item.player.number()),
            Value::Number(player.brand.into()),
            Value::Text(player.class.name()),
            Value::Number(item.asset.0.into()),
            code.as_ref().map_or(Value::Missing, |code| Value::Text(code.as_str())),
            Value::some_number(item.game.into()),
            Value::Number(item.opened.0),
            since.map_or(Value::Missing, |since| Value::Time(since.0)),
            since.map_or(Value::Missing, |since| Value::Number(now.saturating_sub(since.0) / 1_000_000_000)),
            item.ends.map_or(Value::Missing, |ends| Value::Time(ends.0)),
            Value::amount(item.amount.0),
            item.won.map_or(Value::Missing, |won| Value::amount(won.0)),
            item.stage.map_or(Value::Missing, Value::Text),
        ]);
    }
}
