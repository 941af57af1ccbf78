//! What is used of every limit, counted anew from the records alone: as an auditor would, with a list of events and
//! a calendar, and nothing of the ledger's own counters.

use std::collections::BTreeMap;

use cage_engine::{
    Amount, AssetId, LimitKind, Lsn, Operation, Period, PlayerId, Record, Reference, ResultCode, Rule,
    Timestamp,
};

/// Loss, wager, deposit, net deposit; each over a day, a week and a month.
pub(crate) type Used = [[i64; 3]; 4];

pub(crate) const KINDS: [LimitKind; 4] =
    [LimitKind::Loss, LimitKind::Wager, LimitKind::Deposit, LimitKind::DepositNet];
pub(crate) const PERIODS: [Period; 3] = [Period::Day, Period::Week, Period::Month];

/// Something that counts: at a time, and, if it takes back what counted earlier, only where both times lie in one
/// period.
struct Event {
    player: PlayerId,
    kind: LimitKind,
    value: i64,
    at: Timestamp,
    since: Timestamp,
    only: Option<Period>,
}

struct Stake {
    player: PlayerId,
    at: Timestamp,
    left: u128,
    counted: u128,
    round: u128,
    /// What was counted for what a bet won at once.
    counted_paid: i64,
    /// Whether the player had limits when it was placed: else nothing that it wins counts.
    limited: bool,
}

/// Of what belongs to no open round any more.
const CLOSED: u128 = 0;

struct Win {
    player: PlayerId,
    at: Timestamp,
    counted: i64,
    round: u128,
}

/// What counted in a round and belongs to no bet or win that is open in it.
struct Loose {
    at: Timestamp,
    stake: i64,
    payout: i64,
}

#[derive(Default)]
struct Count {
    reference: Option<AssetId>,
    scales: Vec<u32>,
    prices: BTreeMap<AssetId, u128>,
    day_begins: BTreeMap<u64, i64>,
    brands: BTreeMap<PlayerId, u64>,
    limited: BTreeMap<PlayerId, Lsn>,
    holds: BTreeMap<u128, Stake>,
    bets: BTreeMap<u128, Stake>,
    wins: BTreeMap<u128, Win>,
    loose: BTreeMap<u128, Vec<Loose>>,
    withdrawals: BTreeMap<u128, u128>,
    events: Vec<Event>,
}

/// What every limited player has used, at `now`.
pub(crate) fn recount(records: &[Record], now: Timestamp) -> BTreeMap<PlayerId, Used> {
    let mut count = Count::default();
    for (place, record) in records.iter().enumerate() {
        if record.result.is_executed() {
            count.read(Lsn(place as u64 + 1), record);
        }
    }
    let players = count.limited.keys().map(|player| (*player, count.used(*player, now)));
    players.collect()
}

impl Count {
    fn read(&mut self, lsn: Lsn, record: &Record) {
        let (at, id) = (record.decided, record.request.id.0);
        let player = record.request.player;
        let operation = Operation::try_from(&record.request).expect("a record of an operation");
        match operation {
            Operation::SetRule { rule: Rule::ReferenceAsset, value, .. } => {
                self.reference = (value != 0).then_some(AssetId(value as u16));
            }
            Operation::SetRule { rule: Rule::DayBegins, scope, value } => {
                self.day_begins.insert(scope, value as i64);
            }
            Operation::OpenAsset { scale, .. } if record.result == ResultCode::Done => {
                self.scales.push(u32::from(scale));
            }
            Operation::OpenPlayer { brand, .. } => {
                self.brands.insert(player, u64::from(brand));
            }
            Operation::PublishRate { asset, price } => {
                self.prices.insert(asset, price.0);
            }
            Operation::SetLimit { .. } => {
                self.limited.entry(player).or_insert(lsn);
            }
            Operation::ImportUsage { kind, period, value, .. } => {
                self.limited.entry(player).or_insert(lsn);
                let value = value.0 as i64;
                self.events.push(Event { player, kind, value, at, since: at, only: Some(period) });
            }
            Operation::DepositCredit { asset, amount, .. } => {
                let value = self.value(player, asset, amount.0);
                self.add(player, LimitKind::Deposit, value, at);
                self.add(player, LimitKind::DepositNet, value, at);
            }
            Operation::WithdrawRequest { amount, .. } => {
                self.withdrawals.insert(id, amount.0);
            }
            Operation::WithdrawSettle { asset, withdrawal, .. } => {
                let amount = self.withdrawals[&withdrawal.0];
                let value = self.value(player, asset, amount);
                self.add(player, LimitKind::DepositNet, -value, at);
            }
            _ => self.read_wager(record, &operation, at, id),
        }
    }

    fn read_wager(&mut self, record: &Record, operation: &Operation, at: Timestamp, id: u128) {
        match *operation {
            Operation::Reserve { player, asset, stake, round, .. } => {
                let stake = self.stake(player, asset, stake, at, round.map_or(0, |round| round.0), true);
                self.holds.insert(id, stake);
            }
            Operation::ImportHold { player, asset, stake, hold, .. } => {
                let stake = self.stake(player, asset, stake, at, 0, false);
                self.holds.insert(hold.0, stake);
            }
            Operation::Settle { player, asset, hold, stake, payout } => {
                let Some(row) = self.holds.get_mut(&hold.0) else { panic!("a settle of a hold") };
                let part = row.counted * stake.0 / row.left.max(1);
                row.counted -= part;
                row.left -= stake.0;
                let (closed, round, since, limited) = (row.left == 0, row.round, row.at, row.limited);
                let paid = if limited { self.wins_more(player, asset, payout, at) } else { 0 };
                let loose = self.loose.entry(round).or_default();
                loose.push(Loose { at: since, stake: part as i64, payout: 0 });
                loose.push(Loose { at, stake: 0, payout: paid });
                if closed {
                    self.holds.remove(&hold.0);
                }
            }
            Operation::Cancel { hold, .. } | Operation::Expire { hold, .. } => {
                if let Some(row) = self.holds.remove(&hold.0) {
                    self.give_back(row.player, row.counted, row.at, at);
                }
            }
            Operation::Bet { player, asset, stake, bet, round, ends_round, .. } => {
                let stake = self.stake(player, asset, stake, at, round.0, true);
                self.wins.remove(&bet.0);
                self.bets.insert(bet.0, stake);
                self.end_if(ends_round, round);
            }
            Operation::BetWin { player, asset, stake, bet, payout, round, ends_round, .. } => {
                let stake = self.stake(player, asset, stake, at, round.0, true);
                let counted_paid = self.wins_more(player, asset, payout, at);
                self.bets.insert(bet.0, Stake { counted_paid, ..stake });
                self.end_if(ends_round, round);
            }
            Operation::ImportBet { player, asset, stake, bet, round, .. } => {
                let stake = self.stake(player, asset, stake, at, round.0, false);
                self.bets.insert(bet.0, stake);
            }
            Operation::Win { player, asset, amount, bet, ends_round, .. } => {
                let open = self.bets.get(&bet.0).filter(|bet| bet.round != CLOSED);
                let open = open.map(|bet| (bet.round, bet.limited));
                if let Some((round, limited)) = open {
                    let counted = if limited { self.wins_more(player, asset, amount, at) } else { 0 };
                    self.bets.remove(&id);
                    self.wins.insert(id, Win { player, at, counted, round });
                    self.end_if(ends_round, Reference(round));
                }
            }
            // What was forgotten can be answered, too; then nothing is undone.
            Operation::Rollback { amount, target, .. }
                if matches!(record.result, ResultCode::Done | ResultCode::Shortfall) =>
            {
                self.roll_back(amount.0, target.0, at);
            }
            Operation::EndRound { round, .. } | Operation::CloseRound { round, .. } => {
                self.end_if(record.result == ResultCode::Done, round);
            }
            Operation::VoidRound { player, round, .. } if record.result != ResultCode::AlreadyCancelled => {
                self.void(player, round, at);
            }
            _ => {}
        }
    }

    /// Everything that counted in the round is taken back where it counted.
    fn void(&mut self, player: PlayerId, round: Reference, at: Timestamp) {
        let bets = self.bets.values().filter(|bet| bet.round == round.0);
        let bets = bets.map(|bet| (bet.at, bet.counted as i64, bet.counted_paid));
        let wins = self.wins.values().filter(|win| win.round == round.0);
        let wins = wins.map(|win| (win.at, 0, win.counted));
        let loose = self.loose.get(&round.0).into_iter().flatten();
        let loose = loose.map(|loose| (loose.at, loose.stake, loose.payout));
        let counted: Vec<_> = bets.chain(wins).chain(loose).collect();
        for (since, stake, payout) in counted {
            self.give_back(player, stake as u128, since, at);
            self.lose_again(player, payout, since, at);
        }
        // What was voided is gone; what was closed can still be undone.
        self.bets.retain(|_, bet| bet.round != round.0);
        self.wins.retain(|_, win| win.round != round.0);
        self.loose.remove(&round.0);
    }

    fn roll_back(&mut self, amount: u128, target: u128, at: Timestamp) {
        if let Some(bet) = self.bets.get_mut(&target) {
            let amount = if amount == 0 { bet.left } else { amount };
            let back = if amount == bet.left { bet.counted } else { bet.counted * amount / bet.left };
            bet.counted -= back;
            bet.left -= amount;
            let (player, since, left) = (bet.player, bet.at, bet.left);
            let counted_paid = bet.counted_paid;
            self.give_back(player, back, since, at);
            self.lose_again(player, counted_paid, since, at);
            if left == 0 {
                self.bets.remove(&target);
            }
        } else if let Some(win) = self.wins.remove(&target) {
            self.lose_again(win.player, win.counted, win.at, at);
        }
    }

    fn end_if(&mut self, ends: bool, round: Reference) {
        if ends {
            self.bets.values_mut().filter(|bet| bet.round == round.0).for_each(|bet| bet.round = CLOSED);
            self.wins.values_mut().filter(|win| win.round == round.0).for_each(|win| win.round = CLOSED);
            self.loose.remove(&round.0);
        }
    }

    fn stake(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        stake: Amount,
        at: Timestamp,
        round: u128,
        counts: bool,
    ) -> Stake {
        let value = if counts { self.value(player, asset, stake.0) } else { 0 };
        self.add(player, LimitKind::Loss, value, at);
        self.add(player, LimitKind::Wager, value, at);
        let limited = self.limited.contains_key(&player);
        Stake { player, at, left: stake.0, counted: value as u128, round, counted_paid: 0, limited }
    }

    fn wins_more(&mut self, player: PlayerId, asset: AssetId, amount: Amount, at: Timestamp) -> i64 {
        let value = self.value(player, asset, amount.0);
        self.add(player, LimitKind::Loss, -value, at);
        value
    }

    /// A payout is undone: what it took off the losses is lost again.
    fn lose_again(&mut self, player: PlayerId, value: i64, since: Timestamp, at: Timestamp) {
        self.events.push(Event { player, kind: LimitKind::Loss, value, at, since, only: None });
    }

    fn give_back(&mut self, player: PlayerId, counted: u128, since: Timestamp, at: Timestamp) {
        for kind in [LimitKind::Loss, LimitKind::Wager] {
            self.events.push(Event { player, kind, value: -(counted as i64), at, since, only: None });
        }
    }

    fn add(&mut self, player: PlayerId, kind: LimitKind, value: i64, at: Timestamp) {
        self.events.push(Event { player, kind, value, at, since: at, only: None });
    }

    /// In the reference asset, rounded up; nothing for those who have no limits, or where no price is known.
    fn value(&self, player: PlayerId, asset: AssetId, amount: u128) -> i64 {
        if !self.limited.contains_key(&player) {
            return 0;
        }
        if self.reference == Some(asset) {
            return amount as i64;
        }
        let Some(price) = self.prices.get(&asset) else { return 0 };
        let whole = 10_u128.pow(self.scales[usize::from(asset.0) - 1]) * 1_000_000_000;
        (amount * price).div_ceil(whole) as i64
    }

    fn used(&self, player: PlayerId, now: Timestamp) -> Used {
        let brand = self.brands[&player];
        let begins = self.day_begins.get(&brand).copied().unwrap_or(0);
        let first_days = |time: Timestamp| first_days((time.0 / 1_000_000_000) as i64 - begins * 60);
        let mut used = [[0_i64; 3]; 4];
        for event in self.events.iter().filter(|event| event.player == player) {
            let row = KINDS.iter().position(|kind| *kind == event.kind).expect("a counted kind");
            for (at, period) in PERIODS.iter().enumerate() {
                let in_this = |time| first_days(time)[at] == first_days(now)[at];
                let named = event.only.is_none_or(|only| only == *period);
                if named && in_this(event.at) && in_this(event.since) {
                    let sum = used[row][at] + event.value;
                    let may_fall = matches!(event.kind, LimitKind::Loss | LimitKind::DepositNet);
                    used[row][at] = if may_fall { sum } else { sum.max(0) };
                }
            }
        }
        used
    }
}

/// The first day of the day, week and month of a time, counted with a wall calendar.
fn first_days(seconds: i64) -> [i64; 3] {
    let day = seconds.div_euclid(86_400);
    let week = (day - 6..=day).find(|day| (day + 3).rem_euclid(7) == 0).expect("a Monday");
    let (mut first, mut year) = (0, 1970);
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for days in [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if day < first + days {
                return [day, week, first];
            }
            first += days;
        }
        year += 1;
    }
}

#[test]
fn a_wall_calendar_knows_mondays_and_firsts_of_a_month() {
    // 2025-06-15 was a Sunday; 1_749_945_600 is its first second.
    let sunday = 1_749_945_600 / 86_400;
    assert_eq!(first_days(1_749_945_600), [sunday, sunday - 6, sunday - 14]);
    assert_eq!(first_days(1_749_945_599)[0], sunday - 1);
}
