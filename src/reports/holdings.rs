//! What everybody holds: what the house owes its players, and the house's own accounts.
//!
//! In: the books at a place in the log. Out: sums by brand, class, purse and asset, and each account of the house; together
//! they are zero in each asset, or there is no report. Never here: single players.

use std::collections::BTreeMap;

use cage_engine::{AccountId, AssetId, Balance, PlayerClass, Purse, State};

use super::period::Period;
use super::replay::{Begin, Replayed, ReportFault, replay};
use super::table::{Batch, Column, Kind, Table, Value};
use crate::data::DataDir;

/// The columns of what everybody holds.
pub const LIABILITIES: Table = Table {
    name: "liabilities",
    columns: &[
        Column::new(
            "side",
            Kind::Text,
            "`players`: what the house owes them; `house`: the other side of the books",
        ),
        Column::new("asset", Kind::Number, "the asset's number"),
        Column::new("code", Kind::Text, "the asset's code"),
        Column::new("purse", Kind::Text, "what the money is for"),
        Column::new("brand", Kind::Number, "the players' brand"),
        Column::new("class", Kind::Text, "`real` or `test` players"),
        Column::new("owner", Kind::Number, "the house's: which provider, chain, pool or debtor"),
        Column::new("accounts", Kind::Number, "how many accounts hold something"),
        Column::new("balance", Kind::Amount, "what they hold"),
    ],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    asset: AssetId,
    purse: Purse,
    brand: u16,
    is_test: bool,
}

/// What everybody holds.
#[derive(Debug)]
pub struct Holdings {
    players: BTreeMap<Key, (u64, i128)>,
    house: BTreeMap<AccountId, Balance>,
    /// The books.
    pub replayed: Replayed,
}

/// Adds up what everybody holds at the end of a period.
///
/// # Errors
/// The log cannot be read, or the sums are not zero.
pub fn holdings(data: &DataDir, period: Period, progress: impl FnMut(u64)) -> Result<Holdings, ReportFault> {
    let replayed = replay(data, period, Begin::Late, |_, _, _| {}, progress)?;
    let state = &replayed.state;
    let mut players: BTreeMap<Key, (u64, i128)> = BTreeMap::new();
    for (number, player) in state.players() {
        let is_test = player.class == PlayerClass::Test;
        for (account, held) in state.holdings(number) {
            let Some(purse) = account.purse() else { continue };
            let key = Key { asset: account.asset(), purse, brand: player.brand, is_test };
            let (accounts, sum) = players.entry(key).or_default();
            (*accounts, *sum) = (*accounts + 1, sum.saturating_add(held.0));
        }
    }
    let house: BTreeMap<_, _> = state.house_accounts().filter(|(_, held)| held.0 != 0).collect();
    check(state, &players, &house)?;
    Ok(Holdings { players, house, replayed })
}

/// In each asset all of it together is nothing.
fn check(
    state: &State,
    players: &BTreeMap<Key, (u64, i128)>,
    house: &BTreeMap<AccountId, Balance>,
) -> Result<(), ReportFault> {
    for asset in state.asset_ids() {
        let of_players = players.iter().filter(|(key, _)| key.asset == asset).map(|(_, (_, held))| *held);
        let of_house = house.iter().filter(|(account, _)| account.asset() == asset).map(|(_, held)| held.0);
        // On the way the sum may pass what fits; in the end it fits again.
        let sum = of_players.chain(of_house).fold(0, i128::wrapping_add);
        if sum != 0 {
            return Err(ReportFault::Differs(format!("asset {asset} adds up to {sum}, expected 0")));
        }
    }
    Ok(())
}

impl Holdings {
    /// The rows.
    #[must_use]
    pub fn rows(&self) -> Batch {
        let mut batch = Batch::new(LIABILITIES);
        for (key, (accounts, held)) in &self.players {
            let class = if key.is_test { PlayerClass::Test } else { PlayerClass::Real };
            let owner = [Value::Number(key.brand.into()), Value::Text(class.name()), Value::Missing];
            self.row("players", key.asset, Some(key.purse), owner, (*accounts, *held), &mut batch);
        }
        for (account, held) in &self.house {
            let owner = [Value::Missing, Value::Missing, Value::Number(account.owner())];
            self.row("house", account.asset(), account.purse(), owner, (1, held.0), &mut batch);
        }
        batch
    }

    fn row(
        &self,
        side: &str,
        asset: AssetId,
        purse: Option<Purse>,
        [brand, class, owner]: [Value<'_>; 3],
        (accounts, held): (u64, i128),
        batch: &mut Batch,
    ) {
        let code = self.replayed.state.asset(asset).map(|asset| asset.code);
        batch.push(&[
            Value::Text(side),
            Value::Number(asset.0.into()),
            code.as_ref().map_or(Value::Missing, |code| Value::Text(code.as_str())),
            Value::Text(purse.map_or("?", Purse::name)),
            brand,
            class,
            owner,
            Value::Number(accounts),
            Value::Amount(held),
        ]);
    }
}
