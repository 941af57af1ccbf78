//! The ledger as its documents tell it, written by hand: slow, obvious, and without one line of the engine's own
//! deciding. Where the two differ, one of them is wrong.
//!
//! In: a time, an id and an operation. Out: a [`Verdict`], with the model already changed accordingly.
//! Shared with the engine are words alone (operations, ids, result codes), never a rule.

use std::collections::{BTreeMap, VecDeque};

use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, Expiry, GameId, Operation, OperationKind, PlayerClass, PlayerId,
    RequestId, ResultCode, Rule, SessionId, Settings, Timestamp,
};

/// One place where money lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    Available(AssetId, PlayerId),
    Reserved(AssetId, PlayerId),
    Provider(AssetId, u16),
    Chain(AssetId, u32),
}

impl Account {
    pub(crate) const fn asset(self) -> AssetId {
        match self {
            Self::Available(asset, _)
            | Self::Reserved(asset, _)
            | Self::Provider(asset, _)
            | Self::Chain(asset, _) => asset,
        }
    }

    pub(crate) const fn is_player(self) -> bool {
        matches!(self, Self::Available(..) | Self::Reserved(..))
    }
}

/// Money that went from one account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) debit: Account,
    pub(crate) credit: Account,
    pub(crate) amount: Amount,
    pub(crate) debit_after: i128,
    pub(crate) credit_after: i128,
}

/// What a request must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A record at this position.
    Written(Written),
    /// The same request was answered by the record there.
    Same(u64),
    /// Another request has this id; the record there answered it.
    Conflict(u64),
    /// Nothing was written.
    Not(ResultCode),
}

/// What a record must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) lsn: u64,
    pub(crate) code: ResultCode,
    /// The asset's number, if the ledger had to name it.
    pub(crate) named_asset: Option<AssetId>,
    /// The player's number, if the ledger had to name it.
    pub(crate) named_player: Option<PlayerId>,
    pub(crate) moves: Vec<Move>,
    pub(crate) previous: u64,
    pub(crate) counterparty_previous: u64,
}

/// How a hold came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Settled,
    Cancelled,
    Expired,
    Tombstone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssetRow {
    pub(crate) code: AssetCode,
    pub(crate) scale: u8,
    pub(crate) transfers: bool,
    pub(crate) amount_max: Amount,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlayerRow {
    pub(crate) caller_id: CallerId,
    pub(crate) brand: u16,
    pub(crate) jurisdiction: u16,
    pub(crate) class: PlayerClass,
    pub(crate) latest: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldRow {
    pub(crate) opened: u64,
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) game: GameId,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) remaining: u128,
    pub(crate) payout_left: u128,
    settled_in_part: bool,
}

/// Something that is remembered for a while, oldest first.
#[derive(Clone, Debug)]
struct Fact {
    about: About,
    lsn: u64,
    written: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
enum About {
    Request(RequestId, Operation),
    Hold(RequestId, End),
}

/// What an operation that may happen does.
struct Deed {
    code: ResultCode,
    moves: Vec<Move>,
    change: Change,
}

enum Change {
    Nothing,
    Settings(Settings),
    Rule(Rule, u64, u128),
    NameAsset(AssetId),
    NewAsset(AssetRow),
    NamePlayer(PlayerId),
    NewPlayer(PlayerRow),
    OpenHold(HoldRow),
    TakeFromHold { hold: RequestId, stake: u128, payout: u128 },
    EndHold(RequestId, End),
}

/// The books.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) records: u64,
    pub(crate) clock: Timestamp,
    pub(crate) settings: Option<Settings>,
    pub(crate) assets: Vec<AssetRow>,
    pub(crate) players: Vec<PlayerRow>,
    pub(crate) money: BTreeMap<Account, i128>,
    pub(crate) holds: BTreeMap<RequestId, HoldRow>,
    rules: BTreeMap<(Rule, u64), u128>,
    pub(crate) horizon: Timestamp,
    facts: VecDeque<Fact>,
    keys: BTreeMap<RequestId, (Operation, u64)>,
}

/// An id may lie this much ahead of the ledger's time.
const AHEAD: u64 = 5_000;
/// What one amount can be at most.
const AMOUNT_MAX: u128 = 1 << 125;
const ASSETS_MAX: usize = 1024;

/// What is wrong with a request as such, whatever the books say.
pub(crate) fn malformed(id: RequestId, operation: &Operation) -> Option<ResultCode> {
    use ResultCode::{AmountOverLimit, AmountZero, IdZero, Malformed, OperationUnknown, PlayerMistyped};
    if is_internal(operation) {
        return Some(OperationUnknown);
    }
    if id == RequestId::NONE {
        return Some(IdZero);
    }
    let (amount, payout) = match *operation {
        Operation::OpenAsset { amount_max, .. } => (Some(amount_max), None),
        Operation::DepositCredit { amount, .. } | Operation::Transfer { amount, .. } => (Some(amount), None),
        Operation::Reserve { stake, payout_max, .. } => (Some(stake), Some(payout_max)),
        Operation::Settle { stake, payout, .. } => (Some(stake), Some(payout)),
        _ => (None, None),
    };
    let over = |amount: Option<Amount>| amount.is_some_and(|amount| amount.0 > AMOUNT_MAX);
    if over(amount) || over(payout) {
        return Some(AmountOverLimit);
    }
    let nothing = match operation {
        Operation::Settle { stake, payout, .. } => stake.0 == 0 && payout.0 == 0,
        _ => amount.is_some_and(|amount| amount.0 == 0),
    };
    if nothing {
        return Some(AmountZero);
    }
    let nobody = |player: PlayerId| player == PlayerId::NONE;
    let wrong = match *operation {
        Operation::OpenAsset { scale, .. } => scale > 30,
        Operation::OpenPlayer { caller_id, .. } => caller_id.0 == 0,
        Operation::Settle { player, asset, hold, .. } | Operation::Cancel { player, asset, hold } => {
            nobody(player) || asset.0 == 0 || hold.0 == 0
        }
        Operation::DepositCredit { player, asset, .. } | Operation::Reserve { player, asset, .. } => {
            nobody(player) || asset.0 == 0
        }
        Operation::Transfer { from, asset, .. } => nobody(from) || asset.0 == 0,
        _ => false,
    };
    if wrong {
        return Some(Malformed);
    }
    match *operation {
        Operation::Transfer { to, .. } if nobody(to) => Some(PlayerMistyped),
        _ => None,
    }
}

/// Whether only the ledger itself asks for it.
pub(crate) fn is_internal(operation: &Operation) -> bool {
    matches!(operation.kind(), OperationKind::Configure | OperationKind::StateDigest | OperationKind::Expire)
}

const fn is_permanent(operation: &Operation) -> bool {
    matches!(operation, Operation::DepositCredit { .. })
}

impl Model {
    /// Answers a request, and does what it asks for.
    pub(crate) fn ask(&mut self, now: Timestamp, id: RequestId, operation: &Operation) -> Verdict {
        if let Some(verdict) = self.known(id, operation) {
            return verdict;
        }
        if let Some(code) = self.not_taken(now, id, operation) {
            return Verdict::Not(code);
        }
        let deed = match self.judge(now, id, operation) {
            Ok(deed) => deed,
            Err(code) if code.number() >= 700 => return Verdict::Not(code),
            // A refusal is remembered under its id, and there must be room for that.
            Err(_) if self.needs_id(operation) && !self.has_room(1 + self.room_for_ends(), now) => {
                return Verdict::Not(ResultCode::IdTableFull);
            }
            Err(code) => Deed { code, moves: Vec::new(), change: Change::Nothing },
        };
        Verdict::Written(self.write(now, id, operation, deed))
    }

    pub(crate) fn held(&self, account: Account) -> i128 {
        self.money.get(&account).copied().unwrap_or(0)
    }

    pub(crate) fn facts(&self) -> u64 {
        self.facts.len() as u64
    }

    pub(crate) fn ending(&self, hold: RequestId) -> Option<End> {
        self.facts.iter().find_map(|fact| match fact.about {
            About::Hold(ended, end) if ended == hold => Some(end),
            _ => None,
        })
    }

    /// The open hold whose deadline passed first; among equals the smallest id.
    pub(crate) fn due(&self, now: Timestamp) -> Option<RequestId> {
        let due = self.holds.iter().filter_map(|(id, hold)| Some((hold.deadline?, *id)));
        due.filter(|(deadline, _)| *deadline <= now).min().map(|(_, id)| id)
    }

    /// What players (or the house) hold together. Only the end of the sum has to fit.
    pub(crate) fn total(&self, asset: AssetId, players: bool) -> i128 {
        let held = self.money.iter();
        held.filter(|(account, _)| account.asset() == asset && account.is_player() == players)
            .fold(0, |sum: i128, (_, held)| sum.wrapping_add(*held))
    }

    fn needs_id(&self, operation: &Operation) -> bool {
        !is_internal(operation) && !is_permanent(operation)
    }

    /// A repeated request is answered from its record, whatever has happened since.
    fn known(&self, id: RequestId, operation: &Operation) -> Option<Verdict> {
        let (known, lsn) = if is_permanent(operation) {
            self.keys.get(&id).map(|(known, lsn)| (known, *lsn))?
        } else if self.needs_id(operation) {
            self.facts.iter().find_map(|fact| match &fact.about {
                About::Request(asked, known) if *asked == id => Some((known, fact.lsn)),
                _ => None,
            })?
        } else {
            return None;
        };
        Some(if known == operation { Verdict::Same(lsn) } else { Verdict::Conflict(lsn) })
    }

    /// Why nothing is decided at all, if so.
    fn not_taken(&self, now: Timestamp, id: RequestId, operation: &Operation) -> Option<ResultCode> {
        if is_internal(operation) {
            return None;
        }
        let Some(settings) = self.settings else { return Some(ResultCode::NotConfigured) };
        if is_permanent(operation) {
            return None;
        }
        if id.time() > now.plus_millis(AHEAD) {
            return Some(ResultCode::IdFromFuture);
        }
        let opens = !matches!(
            operation,
            Operation::Settle { .. } | Operation::Cancel { .. } | Operation::SetRule { .. }
        );
        // A part of a hold that was taken and forgotten must not be taken again.
        let continues = match operation {
            Operation::Settle { hold, .. } => self.holds.get(hold).is_some_and(|hold| hold.settled_in_part),
            _ => false,
        };
        if (opens || continues) && id.time() <= self.horizon {
            return Some(ResultCode::IdTooOld);
        }
        if !opens {
            return None;
        }
        let own = match operation {
            // Its id, its end, and the id of the request that ends it.
            Operation::Reserve { .. } => 3,
            _ => 1,
        };
        // A sixteenth is kept for what must always find room.
        if !self.has_room(own + self.room_for_ends() + settings.ids_capacity / 16, now) {
            return Some(ResultCode::IdTableFull);
        }
        match operation {
            Operation::Reserve { .. } if self.holds.len() as u64 >= settings.holds_max => {
                Some(ResultCode::HoldTableFull)
            }
            _ => None,
        }
    }

    /// For each open hold two facts are kept free: how it ends, and the id of the request that ends it.
    fn room_for_ends(&self) -> u64 {
        2 * self.holds.len() as u64
    }

    /// Whether that many facts can be remembered without forgetting one that is too young.
    fn has_room(&self, needed: u64, now: Timestamp) -> bool {
        self.settings.is_some_and(|settings| self.has_room_under(settings, needed, now))
    }

    fn has_room_under(&self, settings: Settings, needed: u64, now: Timestamp) -> bool {
        let free = settings.ids_capacity - self.facts();
        if needed <= free {
            return true;
        }
        if needed > settings.ids_capacity {
            return false;
        }
        let to_forget = (needed - free) as usize;
        // A fact counts as old as the one after it.
        (0..to_forget).all(|place| {
            let next = self.facts.get(place + 1);
            next.is_some_and(|next| next.written.plus_millis(settings.ids_retention_millis) <= now)
        })
    }

    fn judge(&self, now: Timestamp, id: RequestId, operation: &Operation) -> Result<Deed, ResultCode> {
        let done = |moves: Vec<Move>, change: Change| Ok(Deed { code: ResultCode::Done, moves, change });
        let existing = |change| Ok(Deed { code: ResultCode::Existing, moves: Vec::new(), change });
        match *operation {
            Operation::Configure { settings } => {
                let fits = settings.ids_capacity >= 16
                    && settings.ids_capacity <= 1 << 30
                    && settings.ids_capacity >= self.facts()
                    && self.has_room_under(settings, self.room_for_ends(), now)
                    && settings.holds_max <= 1 << 27
                    && settings.players_max <= (1 << 28) - 2;
                refuse_unless(fits, ResultCode::SettingsUnfit)?;
                done(Vec::new(), Change::Settings(settings))
            }
            Operation::StateDigest { .. } => done(Vec::new(), Change::Nothing),
            Operation::SetRule { rule, scope, value } => {
                refuse_unless(scope < 1 << 16 && value <= 1, ResultCode::RuleUnfit)?;
                done(Vec::new(), Change::Rule(rule, scope, value))
            }
            Operation::OpenAsset { code, scale, transfers, amount_max } => {
                let wanted = AssetRow { code, scale, transfers, amount_max };
                if let Some(place) = self.assets.iter().position(|asset| asset.code == code) {
                    refuse_unless(self.assets[place] == wanted, ResultCode::AssetDiffers)?;
                    return existing(Change::NameAsset(AssetId(place as u16 + 1)));
                }
                refuse_unless(self.assets.len() < ASSETS_MAX, ResultCode::AssetTableFull)?;
                done(Vec::new(), Change::NewAsset(wanted))
            }
            Operation::OpenPlayer { caller_id, brand, jurisdiction, class } => {
                let known = self.players.iter().position(|player| player.caller_id == caller_id);
                if let Some(place) = known {
                    let player = &self.players[place];
                    let same = (player.brand, player.jurisdiction, player.class);
                    refuse_unless(same == (brand, jurisdiction, class), ResultCode::PlayerDiffers)?;
                    return existing(Change::NamePlayer(PlayerId::from_index(place as u32)));
                }
                let players_max = self.settings.map_or(0, |settings| settings.players_max);
                refuse_unless((self.players.len() as u64) < players_max, ResultCode::PlayerTableFull)?;
                done(
                    Vec::new(),
                    Change::NewPlayer(PlayerRow { caller_id, brand, jurisdiction, class, latest: 0 }),
                )
            }
            Operation::DepositCredit { player, asset, amount, chain, .. } => {
                let bound = self.known_asset(asset)?.amount_max;
                self.known_player(player, ResultCode::PlayerUnknown)?;
                refuse_unless(amount <= bound, ResultCode::AmountOverBound)?;
                let moved = [(Account::Chain(asset, chain), Account::Available(asset, player), amount.0)];
                done(self.pay(&moved)?, Change::Nothing)
            }
            Operation::Transfer { from, to, asset, amount, session } => {
                let rules = self.known_asset(asset)?;
                self.known_player(from, ResultCode::PlayerUnknown)?;
                self.known_player(to, ResultCode::CounterpartyUnknown)?;
                refuse_unless(from != to, ResultCode::SamePlayer)?;
                refuse_unless(rules.transfers, ResultCode::TransferNotAllowed)?;
                let (payer, payee) = (self.row(from), self.row(to));
                let brands = self.both_allow(Rule::TransfersInBrand, payer.brand, payee.brand);
                refuse_unless(brands, ResultCode::TransferBrand)?;
                let places = (payer.jurisdiction, payee.jurisdiction);
                let places = self.both_allow(Rule::TransfersInJurisdiction, places.0, places.1);
                refuse_unless(places, ResultCode::TransferJurisdiction)?;
                refuse_unless(payer.class == payee.class, ResultCode::TransferClass)?;
                refuse_unless(amount <= rules.amount_max, ResultCode::AmountOverBound)?;
                refuse_unless(session == SessionId::NONE, ResultCode::SessionUnknown)?;
                let moved = [(Account::Available(asset, from), Account::Available(asset, to), amount.0)];
                done(self.pay(&moved)?, Change::Nothing)
            }
            Operation::Reserve { player, asset, stake, payout_max, game, expiry, session, .. } => {
                let bound = self.known_asset(asset)?.amount_max;
                self.known_player(player, ResultCode::PlayerUnknown)?;
                refuse_unless(self.ending(id).is_none(), ResultCode::CancelledBefore)?;
                refuse_unless(stake <= bound, ResultCode::AmountOverBound)?;
                let deadline = match expiry {
                    Expiry::Never => None,
                    Expiry::Release(at) => Some(at),
                };
                refuse_unless(deadline.is_none_or(|at| at > now), ResultCode::DeadlinePassed)?;
                // No session was ever opened in this model.
                refuse_unless(session == SessionId::NONE, ResultCode::SessionUnknown)?;
                let moved = [(Account::Available(asset, player), Account::Reserved(asset, player), stake.0)];
                let hold = HoldRow {
                    opened: self.records + 1,
                    player,
                    asset,
                    game,
                    deadline,
                    remaining: stake.0,
                    payout_left: payout_max.0,
                    settled_in_part: false,
                };
                done(self.pay(&moved)?, Change::OpenHold(hold))
            }
            Operation::Settle { player, asset, hold: target, stake, payout } => {
                self.known_asset(asset)?;
                self.known_player(player, ResultCode::PlayerUnknown)?;
                let hold = self.open_hold(target)?.ok_or(ResultCode::HoldUnknown)?;
                fits(hold, player, asset)?;
                refuse_unless(!is_due(hold, now), ResultCode::HoldExpired)?;
                refuse_unless(stake.0 <= hold.remaining, ResultCode::StakeOverRemaining)?;
                refuse_unless(payout.0 <= hold.payout_left, ResultCode::PayoutOverGreatest)?;
                let provider = Account::Provider(asset, hold.game.provider());
                let moved = [
                    (Account::Reserved(asset, player), provider, stake.0),
                    (provider, Account::Available(asset, player), payout.0),
                ];
                let change = Change::TakeFromHold { hold: target, stake: stake.0, payout: payout.0 };
                done(self.pay(&moved)?, change)
            }
            Operation::Cancel { player, asset, hold: target } => {
                self.known_asset(asset)?;
                self.known_player(player, ResultCode::PlayerUnknown)?;
                let Some(hold) = self.open_hold(target)? else {
                    // The bet that this forbids can only come under an id that may be used by now.
                    refuse_unless(target.time() <= now.plus_millis(AHEAD), ResultCode::IdFromFuture)?;
                    let change = Change::EndHold(target, End::Tombstone);
                    return Ok(Deed { code: ResultCode::Tombstoned, moves: Vec::new(), change });
                };
                fits(hold, player, asset)?;
                refuse_unless(!is_due(hold, now), ResultCode::HoldExpired)?;
                done(self.release(hold)?, Change::EndHold(target, End::Cancelled))
            }
            Operation::Expire { player, asset, hold: target } => {
                self.known_asset(asset)?;
                self.known_player(player, ResultCode::PlayerUnknown)?;
                let hold = self.open_hold(target)?.ok_or(ResultCode::HoldUnknown)?;
                fits(hold, player, asset)?;
                refuse_unless(is_due(hold, now), ResultCode::HoldNotDue)?;
                done(self.release(hold)?, Change::EndHold(target, End::Expired))
            }
            _ => unreachable!("the model knows every operation"),
        }
    }

    fn known_asset(&self, asset: AssetId) -> Result<&AssetRow, ResultCode> {
        let place = usize::from(asset.0).checked_sub(1);
        place.and_then(|place| self.assets.get(place)).ok_or(ResultCode::AssetUnknown)
    }

    fn row(&self, player: PlayerId) -> &PlayerRow {
        let place = (0..self.players.len()).find(|place| PlayerId::from_index(*place as u32) == player);
        &self.players[place.expect("the player was looked for")]
    }

    /// A rule that is switched on for each of the two.
    fn both_allow(&self, rule: Rule, one: u16, other: u16) -> bool {
        [one, other].iter().all(|scope| self.rules.get(&(rule, u64::from(*scope))) == Some(&1))
    }

    fn known_player(&self, player: PlayerId, otherwise: ResultCode) -> Result<(), ResultCode> {
        let known = (0..self.players.len()).any(|place| PlayerId::from_index(place as u32) == player);
        refuse_unless(known, otherwise)
    }

    /// The hold if it is open, nothing if nothing is known of it, a refusal that says how it ended.
    fn open_hold(&self, id: RequestId) -> Result<Option<&HoldRow>, ResultCode> {
        if let Some(hold) = self.holds.get(&id) {
            return Ok(Some(hold));
        }
        match self.ending(id) {
            None => Ok(None),
            Some(End::Settled) => Err(ResultCode::HoldSettled),
            Some(End::Cancelled | End::Tombstone) => Err(ResultCode::HoldCancelled),
            Some(End::Expired) => Err(ResultCode::HoldExpired),
        }
    }

    fn release(&self, hold: &HoldRow) -> Result<Vec<Move>, ResultCode> {
        let (asset, player) = (hold.asset, hold.player);
        self.pay(&[(Account::Reserved(asset, player), Account::Available(asset, player), hold.remaining)])
    }

    /// Works the payments out on a copy of the books: all of them, or the reason against the first that cannot be.
    fn pay(&self, payments: &[(Account, Account, u128)]) -> Result<Vec<Move>, ResultCode> {
        let mut books = self.money.clone();
        let mut moves = Vec::new();
        for (debit, credit, amount) in payments {
            let signed = i128::try_from(*amount).map_err(|_| ResultCode::BalanceOverflow)?;
            let held = |books: &BTreeMap<Account, i128>, account| books.get(account).copied().unwrap_or(0);
            let debit_after = held(&books, debit).checked_sub(signed).ok_or(ResultCode::BalanceOverflow)?;
            refuse_unless(!debit.is_player() || debit_after >= 0, ResultCode::InsufficientFunds)?;
            books.insert(*debit, debit_after);
            let credit_after = held(&books, credit).checked_add(signed).ok_or(ResultCode::BalanceOverflow)?;
            books.insert(*credit, credit_after);
            // All that players hold in an asset is one number, too.
            let players = books.iter().filter(|(of, _)| of.asset() == debit.asset() && of.is_player());
            players
                .map(|(_, held)| *held)
                .try_fold(0_i128, i128::checked_add)
                .ok_or(ResultCode::BalanceOverflow)?;
            moves.push(Move {
                debit: *debit,
                credit: *credit,
                amount: Amount(*amount),
                debit_after,
                credit_after,
            });
        }
        Ok(moves)
    }

    fn write(&mut self, now: Timestamp, id: RequestId, operation: &Operation, deed: Deed) -> Written {
        let lsn = self.records + 1;
        for moved in &deed.moves {
            self.money.insert(moved.debit, moved.debit_after);
            self.money.insert(moved.credit, moved.credit_after);
        }
        let (player, counterparty) = players_of(operation);
        let mut written = Written {
            lsn,
            code: deed.code,
            named_asset: None,
            named_player: None,
            moves: deed.moves,
            previous: player.map_or(0, |player| self.latest(player)),
            counterparty_previous: counterparty.map_or(0, |player| self.latest(player)),
        };
        match deed.change {
            Change::Nothing => {}
            Change::Settings(settings) => self.settings = Some(settings),
            Change::Rule(rule, scope, value) => {
                self.rules.insert((rule, scope), value);
            }
            Change::NameAsset(asset) => written.named_asset = Some(asset),
            Change::NewAsset(asset) => {
                self.assets.push(asset);
                written.named_asset = Some(AssetId(self.assets.len() as u16));
            }
            Change::NamePlayer(player) => {
                written.named_player = Some(player);
                written.previous = self.latest(player);
            }
            Change::NewPlayer(player) => {
                written.named_player = Some(PlayerId::from_index(self.players.len() as u32));
                self.players.push(player);
            }
            Change::OpenHold(hold) => {
                let there = self.holds.insert(id, hold);
                assert!(there.is_none(), "a hold was opened twice under {id}");
            }
            Change::TakeFromHold { hold: target, stake, payout } => {
                let hold = self.holds.get_mut(&target).expect("the hold was looked at");
                hold.remaining -= stake;
                hold.payout_left -= payout;
                hold.settled_in_part = true;
                if hold.remaining == 0 {
                    self.end(target, End::Settled, lsn, now);
                }
            }
            Change::EndHold(hold, end) => self.end(hold, end, lsn, now),
        }
        for player in [written.named_player, player, counterparty].into_iter().flatten() {
            let place = (0..self.players.len()).find(|place| PlayerId::from_index(*place as u32) == player);
            if let Some(place) = place {
                self.players[place].latest = lsn;
            }
        }
        if is_permanent(operation) && written.code.number() < 100 {
            self.keys.insert(id, (*operation, lsn));
        }
        if self.needs_id(operation) {
            self.remember(About::Request(id, *operation), lsn, now);
        }
        self.records = lsn;
        self.clock = now;
        written
    }

    pub(crate) fn latest(&self, player: PlayerId) -> u64 {
        let mut numbered = self.players.iter().enumerate();
        let found = numbered.find(|(place, _)| PlayerId::from_index(*place as u32) == player);
        found.map_or(0, |(_, player)| player.latest)
    }

    fn end(&mut self, hold: RequestId, end: End, lsn: u64, now: Timestamp) {
        self.holds.remove(&hold);
        self.remember(About::Hold(hold, end), lsn, now);
    }

    /// Remembers a fact; the oldest makes room, and with it every id that is not younger is given up.
    fn remember(&mut self, about: About, lsn: u64, written: Timestamp) {
        let capacity = self.settings.expect("nothing is remembered before the settings").ids_capacity;
        if self.facts() == capacity {
            let (About::Request(id, _) | About::Hold(id, _)) =
                self.facts.pop_front().expect("the capacity is not zero").about;
            self.horizon = self.horizon.max(id.time());
        }
        self.facts.push_back(Fact { about, lsn, written });
    }
}

const fn players_of(operation: &Operation) -> (Option<PlayerId>, Option<PlayerId>) {
    match *operation {
        Operation::DepositCredit { player, .. }
        | Operation::Reserve { player, .. }
        | Operation::Settle { player, .. }
        | Operation::Cancel { player, .. }
        | Operation::Expire { player, .. } => (Some(player), None),
        Operation::Transfer { from, to, .. } => (Some(from), Some(to)),
        _ => (None, None),
    }
}

fn is_due(hold: &HoldRow, now: Timestamp) -> bool {
    hold.deadline.is_some_and(|deadline| deadline <= now)
}

fn fits(hold: &HoldRow, player: PlayerId, asset: AssetId) -> Result<(), ResultCode> {
    refuse_unless(hold.player == player && hold.asset == asset, ResultCode::HoldDiffers)
}

const fn refuse_unless(holds: bool, code: ResultCode) -> Result<(), ResultCode> {
    if holds { Ok(()) } else { Err(code) }
}
