//! What games took and gave: stakes, winnings and what is left, by day, brand, game and asset.
//!
//! In: records of a period with the books. Out: sums that re-add to the providers' accounts and to the house's expense of
//! prizes, exactly; or the account that does not. Never here: a rate, a conversion, a float.

use std::collections::BTreeMap;

use cage_engine::{
    AccountId, AssetId, Balance, GameId, Lsn, OperationKind, PlayerClass, Purse, Record, RequestId, State,
};
use time::{Duration, OffsetDateTime};

use super::period::Period;
use super::replay::{Begin, Replayed, ReportFault, replay};
use super::table::{Batch, Column, Kind, Table, Value};
use crate::data::DataDir;

/// The columns of what games took and gave.
pub const REVENUE: Table = Table {
    name: "ggr",
    columns: &[
        Column::new("day", Kind::Text, "the brand's day (rule 4), its month, or `all`"),
        Column::new("brand", Kind::Number, "the players' brand"),
        Column::new("class", Kind::Text, "`real` or `test` players"),
        Column::new("provider", Kind::Number, "the provider"),
        Column::new("game", Kind::Number, "the game"),
        Column::new("asset", Kind::Number, "the asset's number"),
        Column::new("code", Kind::Text, "the asset's code"),
        Column::new("bets", Kind::Number, "how often a stake was taken"),
        Column::new("stakes", Kind::Amount, "what was staked, imported bets included"),
        Column::new("wins", Kind::Number, "how often something was won"),
        Column::new("winnings", Kind::Amount, "what was won, jackpots aside"),
        Column::new("given_back", Kind::Amount, "given back to players by rollbacks, voids and corrections"),
        Column::new("taken_back", Kind::Amount, "taken back from players by the same, debts included"),
        Column::new("ggr", Kind::Amount, "gross: stakes less winnings, less given back, plus taken back"),
        Column::new("rtp", Kind::Ratio, "winnings less taken back, of stakes less given back"),
        Column::new("contributions", Kind::Amount, "what went into jackpots"),
        Column::new("jackpot_wins", Kind::Amount, "what jackpots paid, from their pools or the house"),
        Column::new("provider_prizes", Kind::Amount, "prizes at the provider's expense"),
        Column::new("house_prizes", Kind::Amount, "prizes at the house's expense"),
        Column::new("ngr", Kind::Amount, "net: gross less contributions and the house's prizes"),
    ],
};

/// How long the time is that is added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Per {
    /// A day of the brand
    #[default]
    Day,
    /// A month of such days
    Month,
    /// All of the period
    All,
}

/// Whose play is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Whose {
    /// Of customers
    #[default]
    Real,
    /// Of testers
    Test,
    /// Of both
    All,
}

impl Whose {
    /// Whether players of a class are among them.
    #[must_use]
    pub const fn wants(self, class: PlayerClass) -> bool {
        matches!(
            (self, class),
            (Self::All, _) | (Self::Real, PlayerClass::Real) | (Self::Test, PlayerClass::Test)
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    day: String,
    brand: u16,
    is_test: bool,
    provider: u64,
    game: u32,
    asset: AssetId,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    bets: u64,
    stakes: i128,
    wins: u64,
    winnings: i128,
    given_back: i128,
    taken_back: i128,
    contributions: i128,
    jackpot_wins: i128,
    provider_prizes: i128,
    house_prizes: i128,
}

impl Sums {
    const fn gross(&self) -> i128 {
        let (came, went) =
            (self.stakes.saturating_add(self.taken_back), self.winnings.saturating_add(self.given_back));
        came.saturating_sub(went)
    }

    /// By how much the provider's account rose.
    const fn cleared(&self) -> i128 {
        self.gross().saturating_sub(self.contributions).saturating_sub(self.provider_prizes)
    }

    const fn net(&self) -> i128 {
        self.gross().saturating_sub(self.contributions).saturating_sub(self.house_prizes)
    }

    fn return_to_player(&self) -> Option<i64> {
        let staked = self.stakes.saturating_sub(self.given_back);
        let won = self.winnings.saturating_sub(self.taken_back);
        let millionths = won.checked_mul(1_000_000)?.checked_div(staked)?;
        i64::try_from(millionths).ok().filter(|_| staked > 0)
    }
}

/// What games took and gave in a period.
#[derive(Debug)]
pub struct Revenue {
    sums: BTreeMap<Key, Sums>,
    /// Beside what it is told.
    pub replayed: Replayed,
}

/// Adds up what games took and gave, and compares it with the books.
///
/// # Errors
/// The log cannot be read, or the sums are not the books'.
pub fn revenue(
    data: &DataDir,
    period: Period,
    per: Per,
    progress: impl FnMut(u64),
) -> Result<Revenue, ReportFault> {
    let mut adder = Adder { period, per, sums: BTreeMap::new(), before: None, head: None };
    let replayed =
        replay(data, period, Begin::Before, |state, lsn, record| adder.see(state, lsn, record), progress)?;
    adder.compare(&replayed.state)?;
    Ok(Revenue { sums: adder.sums, replayed })
}

struct Adder {
    period: Period,
    per: Per,
    sums: BTreeMap<Key, Sums>,
    /// The house's accounts before the period's first record.
    before: Option<BTreeMap<AccountId, Balance>>,
    /// The record whose further legs a continuation carries.
    head: Option<Record>,
}

impl Adder {
    fn see(&mut self, state: &State, lsn: Lsn, record: &Record) {
        if !self.period.holds(lsn, record.decided) {
            return;
        }
        self.before.get_or_insert_with(|| state.house_accounts().collect());
        if record.request.kind != OperationKind::Continue {
            self.head = Some(*record);
        }
        let Some(head) = self.head.filter(|head| head.result.is_executed()) else { return };
        let game = game_of(state, &head);
        for leg in record.legs() {
            let amount = i128::try_from(leg.amount.0).unwrap_or(i128::MAX);
            for (account, rises) in [(leg.debit, false), (leg.credit, true)] {
                let (Some(purse), kind) = (account.purse(), head.request.kind) else { continue };
                let provider =
                    if purse == Purse::ProviderClearing { account.owner() } else { game.provider().into() };
                let key = || self.key(state, &head, provider, game, account.asset());
                let Some(count) = counting(purse, rises, kind) else { continue };
                count(self.sums.entry(key()).or_default(), amount);
            }
        }
    }

    fn key(&self, state: &State, record: &Record, provider: u64, game: GameId, asset: AssetId) -> Key {
        let player = state.player(record.request.player);
        let day = state.day(record.request.player, record.decided);
        Key {
            day: day_text(day.0, self.per),
            brand: player.map_or(0, |player| player.brand),
            is_test: player.is_some_and(|player| player.class == PlayerClass::Test),
            provider,
            game: game.0,
            asset,
        }
    }

    /// The sums are what the accounts moved by.
    fn compare(&self, state: &State) -> Result<(), ReportFault> {
        let before = self.before.clone().unwrap_or_default();
        let mut moved: BTreeMap<AccountId, i128> = BTreeMap::new();
        for (key, sums) in &self.sums {
            let clearing = AccountId::of_house(key.asset, Purse::ProviderClearing, key.provider as u32);
            add(moved.entry(clearing).or_default(), sums.cleared());
            let expense = AccountId::of_house(key.asset, Purse::BonusExpense, 0);
            add(moved.entry(expense).or_default(), sums.house_prizes.saturating_neg());
        }
        let told = |account: &AccountId| {
            account.is_of(Purse::ProviderClearing) || account.is_of(Purse::BonusExpense)
        };
        let of_books = state.house_accounts().map(|(account, _)| account).filter(told);
        let accounts: Vec<_> = of_books.chain(moved.keys().copied()).collect();
        // A period without records moves nothing; the books were not looked at before it.
        for account in accounts.iter().filter(|_| self.before.is_some()) {
            let was = before.get(account).copied().unwrap_or_default();
            let books = state.balance(*account).0.saturating_sub(was.0);
            let sums = moved.get(account).copied().unwrap_or_default();
            if books != sums {
                return Err(ReportFault::Differs(format!(
                    "{account} moved by {books}, the report has {sums}"
                )));
            }
        }
        Ok(())
    }
}

/// What is too great to be added up no longer re-adds to the books, and is told as that.
const fn add(sum: &mut i128, amount: i128) {
    *sum = sum.saturating_add(amount);
}

/// What a movement on a house account counts as.
fn counting(purse: Purse, rises: bool, kind: OperationKind) -> Option<fn(&mut Sums, i128)> {
    use OperationKind as Op;
    Some(match (purse, rises, kind) {
        (Purse::ProviderClearing, true, Op::Bet | Op::BetWin | Op::Settle | Op::ImportBet) => {
            |sums, amount| {
                sums.bets += u64::from(amount != 0);
                add(&mut sums.stakes, amount);
            }
        }
        (Purse::ProviderClearing, false, Op::Win | Op::BetWin | Op::Settle) => |sums, amount| {
            sums.wins += u64::from(amount != 0);
            add(&mut sums.winnings, amount);
        },
        (Purse::ProviderClearing, false, Op::JackpotContribute) => {
            |sums, amount| add(&mut sums.contributions, amount)
        }
        (Purse::ProviderClearing, false, Op::PromoCredit) => {
            |sums, amount| add(&mut sums.provider_prizes, amount)
        }
        // Whatever else moves it undoes something.
        (Purse::ProviderClearing, true, _) => |sums, amount| add(&mut sums.taken_back, amount),
        (Purse::ProviderClearing, false, _) => |sums, amount| add(&mut sums.given_back, amount),
        (Purse::BonusExpense, false, _) => |sums, amount| add(&mut sums.house_prizes, amount),
        (Purse::BonusExpense, true, _) => |sums, amount| add(&mut sums.house_prizes, -amount),
        (Purse::Jackpot | Purse::JackpotShortfall, false, Op::JackpotWin) => {
            |sums, amount| add(&mut sums.jackpot_wins, amount)
        }
        _ => return None,
    })
}

/// The game that a record is about: its own, or that of the hold or proposal it names.
pub(super) fn game_of(state: &State, record: &Record) -> GameId {
    let request = &record.request;
    let target = RequestId(request.reference);
    match request.kind {
        OperationKind::Settle | OperationKind::Cancel | OperationKind::Expire => {
            state.hold(target).map(|hold| hold.game).unwrap_or_default()
        }
        OperationKind::AdjustApprove | OperationKind::AdjustReject => {
            state.adjustment(target).map(|adjustment| adjustment.game).unwrap_or_default()
        }
        _ => request.game,
    }
}

/// A day since 1970, its month, or all of the time.
fn day_text(day: i32, per: Per) -> String {
    let date = OffsetDateTime::UNIX_EPOCH.date().checked_add(Duration::days(day.into()));
    match (per, date) {
        (Per::All, _) => "all".to_owned(),
        (Per::Day, Some(date)) => date.to_string(),
        (Per::Month, Some(date)) => format!("{:04}-{:02}", date.year(), u8::from(date.month())),
        (_, None) => format!("day {day}"),
    }
}

impl Revenue {
    /// The rows of those who are wanted.
    #[must_use]
    pub fn rows(&self, whose: Whose) -> Batch {
        let mut batch = Batch::new(REVENUE);
        for (key, sums) in &self.sums {
            let class = if key.is_test { PlayerClass::Test } else { PlayerClass::Real };
            if whose.wants(class) {
                self.row(key, sums, class, &mut batch);
            }
        }
        batch
    }

    fn row(&self, key: &Key, sums: &Sums, class: PlayerClass, batch: &mut Batch) {
        let code = self.replayed.state.asset(key.asset).map(|asset| asset.code);
        batch.push(&[
            Value::Text(&key.day),
            Value::Number(key.brand.into()),
            Value::Text(class.name()),
            Value::Number(key.provider),
            Value::Number(key.game.into()),
            Value::Number(key.asset.0.into()),
            code.as_ref().map_or(Value::Missing, |code| Value::Text(code.as_str())),
            Value::Number(sums.bets),
            Value::Amount(sums.stakes),
            Value::Number(sums.wins),
            Value::Amount(sums.winnings),
            Value::Amount(sums.given_back),
            Value::Amount(sums.taken_back),
            Value::Amount(sums.gross()),
            sums.return_to_player().map_or(Value::Missing, Value::Ratio),
            Value::Amount(sums.contributions),
            Value::Amount(sums.jackpot_wins),
            Value::Amount(sums.provider_prizes),
            Value::Amount(sums.house_prizes),
            Value::Amount(sums.net()),
        ]);
    }
}
