//! The operations: every one with its fields, their types and their places in a request. A [`Request`] is their
//! fixed-size form.
//!
//! In: values that are valid by their types. Out: requests, and back; the list of fields for documents and checks.
//! Never here: rules that need the ledger; who may ask and what happens is in the [table](crate::table).

use core::fmt;

use crate::amount::Amount;
use crate::code::ResultCode;
use crate::field::{Field, FieldSpec, Shape, Slot, holds_game};
use crate::id::{AssetId, CallerId, GameId, Lsn, PlayerId, Reference, RequestId, SessionId};
use crate::request::{Detail, Malformed, Request};
use crate::time::Timestamp;

pub use crate::field::{LimitKind, LockReason, PastTransaction, Period, PlayerClass, Rule, Status};

/// An asset's short name: 1 to 16 of `A-Z`, `0-9`, `.`, `-` and `_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetCode([u8; Self::BYTES]);

impl AssetCode {
    /// The longest code.
    pub const BYTES: usize = 16;

    /// A code from its text; `None` if it is empty, too long or has other characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Self::from_bytes(bytes)
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(Self::BYTES);
        let (text, rest) = bytes.split_at(length);
        let known = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b".-_".contains(byte);
        (length > 0 && text.iter().all(known) && rest.iter().all(|byte| *byte == 0)).then_some(Self(bytes))
    }

    /// The code's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::BYTES);
        core::str::from_utf8(&self.0[..length]).unwrap_or("")
    }

    pub(crate) const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When a hold may be released without anybody saying so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// Never: the right choice for every bet that was sent to somebody.
    #[default]
    Never,
    /// At this time.
    Release(Timestamp),
}

/// What decisions depend on beside the books. Entered by a record, so that a replay needs no configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// How many request ids (and closed holds) are remembered.
    pub ids_capacity: u64,
    /// For how long an id is remembered at least, in milliseconds.
    pub ids_retention_millis: u64,
    /// How many holds can be open at a time.
    pub holds_max: u64,
    /// How many players can be opened.
    pub players_max: u64,
    /// How many bets and wins of closed rounds are kept in full, so that they can be undone by their own names.
    pub closed_wagers_max: u64,
}

/// The least number of ids that can be remembered.
pub const IDS_CAPACITY_MIN: u64 = 16;
/// The greatest number of ids that can be remembered: their places are numbered in 30 bits.
pub const IDS_CAPACITY_MAX: u64 = 1 << 30;
/// The greatest number of open holds.
pub const HOLDS_MAX: u64 = 1 << 27;
/// The greatest number of bets and wins of closed rounds that are kept in full.
pub const CLOSED_WAGERS_MAX: u64 = 1 << 26;

impl Settings {
    /// For a server: 64 Mi ids, ten minutes at 100,000 a second.
    pub const DEFAULT: Self = Self {
        ids_capacity: 64 << 20,
        ids_retention_millis: 10 * 60 * 1000,
        holds_max: 16 << 20,
        players_max: 100_000_000,
        closed_wagers_max: 1 << 20,
    };
}

/// Where a field lies: the name of a place, or the first byte in the detail.
macro_rules! slot {
    (asset) => {
        Slot::Asset
    };
    (player) => {
        Slot::Player
    };
    (amount) => {
        Slot::Amount
    };
    (reference) => {
        Slot::Reference
    };
    (session) => {
        Slot::Session
    };
    (game) => {
        Slot::Game
    };
    (ends_round) => {
        Slot::EndsRound
    };
    ([$at:literal]) => {
        Slot::Detail($at)
    };
}

macro_rules! put {
    ($request:ident, asset, $type:ty, $value:expr) => {
        $request.asset = AssetId(u16::from_le_bytes(bytes_of($value)))
    };
    ($request:ident, player, $type:ty, $value:expr) => {
        $request.player = PlayerId::trusted(u64::from_le_bytes(bytes_of($value)))
    };
    ($request:ident, amount, $type:ty, $value:expr) => {
        $request.amount = $value
    };
    ($request:ident, reference, $type:ty, $value:expr) => {
        $request.reference = u128::from_le_bytes(bytes_of($value))
    };
    ($request:ident, session, $type:ty, $value:expr) => {
        $request.session = $value
    };
    ($request:ident, game, $type:ty, $value:expr) => {
        $request.game = GameId(u32::from_le_bytes(bytes_of($value)))
    };
    ($request:ident, ends_round, $type:ty, $value:expr) => {
        $request.ends_round = $value
    };
    ($request:ident, [$at:literal], $type:ty, $value:expr) => {
        Field::put($value, &mut $request.detail.0[$at..$at + <$type as Field>::BYTES])
    };
}

macro_rules! get {
    ($request:ident, asset, $type:ty) => {
        <$type as Field>::get(&$request.asset.0.to_le_bytes())
    };
    ($request:ident, player, $type:ty) => {
        <$type as Field>::get(&$request.player.number().to_le_bytes())
    };
    ($request:ident, amount, $type:ty) => {
        Ok::<_, ResultCode>($request.amount)
    };
    ($request:ident, reference, $type:ty) => {
        <$type as Field>::get(&$request.reference.to_le_bytes())
    };
    ($request:ident, session, $type:ty) => {
        Ok::<_, ResultCode>($request.session)
    };
    ($request:ident, game, $type:ty) => {
        <$type as Field>::get(&$request.game.0.to_le_bytes())
    };
    ($request:ident, ends_round, $type:ty) => {
        Ok::<_, ResultCode>($request.ends_round)
    };
    ($request:ident, [$at:literal], $type:ty) => {
        <$type as Field>::get(&$request.detail.0[$at..$at + <$type as Field>::BYTES])
    };
}

/// Checks a field of the detail; the fields in places of their own are checked by their shape.
macro_rules! check {
    ($request:ident, [$at:literal], $type:ty, $name:expr) => {
        let fault = |code| Malformed { code, field: $name };
        get!($request, [$at], $type).map_err(fault)?;
        if <$type as Field>::REQUIRED
            && $request.detail.0[$at..$at + <$type as Field>::BYTES] == [0; <$type as Field>::BYTES]
        {
            return Err(fault(ResultCode::Malformed));
        }
    };
    ($request:ident, $slot:tt, $type:ty, $name:expr) => {};
}

macro_rules! operations {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident = $number:literal, $name:literal {
            $($(#[doc = $meaning:literal])+ $field:ident: $type:ty = $slot:tt,)*
        }
    )+) => {
        /// What can be asked. Numbers are permanent and below 0x1000; gaps are for operations to come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum OperationKind { $($(#[doc = $doc])+ $kind = $number,)+ }

        impl OperationKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The operation's name on the command line, in documents and in other languages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$kind => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The kind with this number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)+ _ => None }
            }

            /// What a request of this kind says, and where.
            #[must_use]
            pub const fn fields(self) -> &'static [FieldSpec] {
                match self {
                    $(Self::$kind => const { &[$(FieldSpec {
                        name: stringify!($field),
                        meaning: concat!($($meaning),+).trim_ascii(),
                        slot: slot!($slot),
                        bytes: <$type as Field>::BYTES,
                        required: <$type as Field>::REQUIRED,
                        amount: <$type as Field>::AMOUNT,
                    },)*] },)+
                }
            }

            /// Whether the place for games holds a game; for others it is empty, or holds a chain, or whom a grant is for.
            #[must_use]
            pub const fn names_game(self) -> bool {
                match self { $(Self::$kind => const { holds_game(Self::$kind.fields()) },)+ }
            }

            pub(crate) const fn shape(self) -> &'static Shape {
                match self { $(Self::$kind => const { &Shape::of(Self::$kind.fields()) },)+ }
            }
        }

        /// Everything that can be asked of the ledger.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Operation {
            $($(#[doc = $doc])+ $kind { $($(#[doc = $meaning])+ $field: $type,)* },)+
        }

        impl Operation {
            /// Which row of the table this is.
            #[must_use]
            pub const fn kind(&self) -> OperationKind {
                match self { $(Self::$kind { .. } => OperationKind::$kind,)+ }
            }

            fn fill(&self, request: &mut Request) {
                match *self {
                    $(Self::$kind { $($field,)* } => { $(put!(request, $slot, $type, $field);)* })+
                }
            }
        }

        impl TryFrom<&Request> for Operation {
            type Error = Malformed;

            /// Reads a request back as its operation; fails where [`Request::parse`] would have.
            fn try_from(request: &Request) -> Result<Self, Malformed> {
                let fault = |field| move |code| Malformed { code, field };
                Ok(match request.kind {
                    $(OperationKind::$kind => Self::$kind {
                        $($field: get!(request, $slot, $type).map_err(fault(stringify!($field)))?,)*
                    },)+
                })
            }
        }

        /// Checks the values in the detail.
        pub(crate) fn check_detail(request: &Request) -> Result<(), Malformed> {
            match request.kind {
                $(OperationKind::$kind => { $(check!(request, $slot, $type, stringify!($field));)* })+
            }
            Ok(())
        }
    };
}

operations! {
    /// Sets the capacities and times that decisions depend on. The first record of every log.
    Configure = 1, "configure" {
        /// The settings.
        settings: Settings = [0],
    }
    /// Writes down a digest of the whole state, for replays to compare.
    StateDigest = 2, "state_digest" {
        /// The digest of the state before this record.
        digest: [u8; 32] = [0],
    }
    /// Carries further legs of the record before it.
    Continue = 3, "continue" {
        /// The record that it belongs to, as an id.
        head: Option<Reference> = reference,
        /// Whose record.
        player: Option<PlayerId> = player,
        /// Of what.
        asset: Option<AssetId> = asset,
    }
    /// Sets a rule of the house, or takes it back with value 0.
    SetRule = 4, "set_rule" {
        /// Which rule.
        rule: Rule = [0],
        /// What it is about: a brand, an asset, …
        scope: u64 = [8],
        /// Its value.
        value: u128 = [16],
    }
    /// Publishes what an asset is worth.
    PublishRate = 5, "publish_rate" {
        /// Which asset.
        asset: AssetId = asset,
        /// What one whole unit is worth, in billionths of the reference asset's smallest unit.
        price: Amount = amount,
    }
    /// Gives a bridge the sole right to act for a provider or a chain.
    Grant = 6, "grant" {
        /// The provider's or the chain's number.
        venue: u32 = game,
    }
    /// Opens an asset, or names the one of this code.
    OpenAsset = 16, "open_asset" {
        /// Its short name.
        code: AssetCode = [0],
        /// How many decimal places the smallest unit stands behind the usual one: 18 for ether.
        scale: u8 = [16],
        /// Whether players may send it to each other.
        transfers: bool = [17],
        /// The most that one operation may name.
        amount_max: Amount = amount,
    }
    /// Opens a player, or names the one of this caller id.
    OpenPlayer = 32, "open_player" {
        /// The caller's own name for the player.
        caller_id: CallerId = reference,
        /// The brand that the player signed up with.
        brand: u16 = [0],
        /// The jurisdiction that the player falls under.
        jurisdiction: u16 = [2],
        /// Whether the money is real.
        class: PlayerClass = [4],
    }
    /// Says what a player may do from now on.
    SetStatus = 33, "set_status" {
        /// Who.
        player: PlayerId = player,
        /// What the player may do.
        status: Status = [0],
        /// Why, as the house numbers its reasons.
        reason: u16 = [2],
    }
    /// Opens a session for a signed token, or names the one of this token.
    OpenSession = 34, "open_session" {
        /// Whose.
        player: PlayerId = player,
        /// The digest of the token.
        token: Reference = reference,
        /// In which asset the session has a credit meter; none = it has no meter.
        asset: Option<AssetId> = asset,
        /// How much the meter may be topped up by itself, in all.
        topup_max: Amount = amount,
        /// For which game; 0 = for any.
        game: GameId = game,
        /// When it ends.
        expires: Timestamp = [0],
    }
    /// Ends a session and returns what its meter holds.
    RevokeSession = 35, "revoke_session" {
        /// Whose.
        player: PlayerId = player,
        /// Which.
        session: SessionId = session,
    }
    /// Sets a limit of a player: the player's own (front-end) or the house's (risk).
    SetLimit = 36, "set_limit" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        kind: LimitKind = [0],
        /// Over which time.
        period: Period = [1],
        /// Whether it is taken away; the value is 0 then.
        remove: bool = [2],
        /// The limit, in the reference asset's smallest unit.
        value: Amount = amount,
    }
    /// Stops new wagers on a game, or on all of them, or lets them go on.
    DisableGame = 37, "disable_game" {
        /// Which game; 0 = all.
        game: GameId = game,
        /// Whether it is stopped.
        disabled: bool = [0],
    }
    /// Ends a session whose time has come, and returns what its meter holds.
    ExpireSession = 38, "expire_session" {
        /// Whose.
        player: PlayerId = player,
        /// Which.
        session: SessionId = session,
    }
    /// Holds a player's withdrawals up until identity or origin of funds are checked, or lets them go on.
    SetKycHold = 39, "set_kyc_hold" {
        /// Whose.
        player: PlayerId = player,
        /// The first half of the digest of the text that says why.
        text: Reference = reference,
        /// The second half.
        text_rest: u128 = [0],
        /// Why, as the house numbers its reasons.
        reason: u16 = [16],
        /// Whether they are held up.
        held: bool = [18],
    }
    /// Credits what arrived over a chain, once per outside fact.
    DepositCredit = 64, "deposit_credit" {
        /// Whose deposit.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// Over which chain.
        chain: u32 = game,
        /// Whether it is locked, and why.
        locked: Option<LockReason> = [0],
        /// How much more has to be wagered before a withdrawal.
        turnover: Amount = [16],
    }
    /// Takes back a deposit that the chain took back.
    DepositReverse = 65, "deposit_reverse" {
        /// Whose deposit.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much of it.
        amount: Amount = amount,
        /// The key of the deposit.
        deposit: Reference = reference,
        /// Over which chain it came.
        chain: u32 = game,
    }
    /// Takes back a deposit that the player's bank took back.
    Chargeback = 66, "chargeback" {
        /// Whose deposit.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much of it.
        amount: Amount = amount,
        /// The key of the deposit.
        deposit: Reference = reference,
        /// Over which chain it came.
        chain: u32 = game,
        /// Why, as the house numbers its reasons.
        reason: u16 = [0],
    }
    /// Hands out an address of a chain, by its number, or names the player's current one.
    AssignAddress = 67, "assign_address" {
        /// Whose.
        player: PlayerId = player,
        /// On which chain.
        chain: u32 = game,
        /// Whether it must be a new one.
        fresh: bool = [0],
    }
    /// Takes what a player owes from what is available.
    Collect = 68, "collect" {
        /// Who owes.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much; 0 = as much as possible.
        amount: Amount = amount,
    }
    /// Gives up what a player owes.
    WriteOff = 69, "write_off" {
        /// Who owes.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// The digest of the text that says why.
        text: Reference = reference,
        /// Why, as the house numbers its reasons.
        reason: u16 = [0],
    }
    /// Locks money of a player.
    Lock = 70, "lock" {
        /// Whose.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// Why.
        reason: LockReason = [0],
    }
    /// Makes locked money available.
    Unlock = 71, "unlock" {
        /// Whose.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// Over which chain it came; 0 = over none, or over several.
        chain: u32 = game,
        /// Why it was locked.
        reason: LockReason = [0],
    }
    /// Sets money aside that is to be paid out over a chain.
    WithdrawRequest = 72, "withdraw_request" {
        /// Whose.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much, fee included.
        amount: Amount = amount,
        /// In which session.
        session: SessionId = session,
        /// Over which chain.
        chain: u32 = game,
        /// The address that is paid, or the digest of a longer one.
        destination: [u8; 32] = [0],
    }
    /// Approves a withdrawal; great ones need two identities.
    WithdrawApprove = 73, "withdraw_approve" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The request's id.
        withdrawal: RequestId = reference,
    }
    /// Says that a transaction was signed and may be on its way: from here on only the chain decides.
    WithdrawSigned = 74, "withdraw_signed" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The request's id.
        withdrawal: RequestId = reference,
        /// Over which chain.
        chain: u32 = game,
        /// The most that the transaction can cost, in the chain's own coin.
        cost_max: Amount = amount,
        /// The paying account's slot that the transaction uses up: a nonce, or a digest of inputs.
        slot: u128 = [0],
        /// The first 16 bytes of the transaction's hash.
        transaction: u128 = [16],
    }
    /// Says that a withdrawal was paid.
    WithdrawSettle = 75, "withdraw_settle" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The request's id.
        withdrawal: RequestId = reference,
        /// Over which chain.
        chain: u32 = game,
        /// The hash of the transaction that paid.
        transaction: [u8; 32] = [0],
    }
    /// Gives up a withdrawal that was not signed yet.
    WithdrawCancel = 76, "withdraw_cancel" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The request's id.
        withdrawal: RequestId = reference,
    }
    /// Gives up a withdrawal that was signed and can be proved never to be paid.
    WithdrawRelease = 77, "withdraw_release" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The request's id.
        withdrawal: RequestId = reference,
        /// Over which chain.
        chain: u32 = game,
        /// The digest of the evidence.
        evidence: [u8; 32] = [0],
    }
    /// Takes what a player owes as soon as there is something to take.
    AutoCollect = 79, "auto_collect" {
        /// Who owes.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
    }
    /// Takes over a balance from another system.
    ImportBalance = 80, "import_balance" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// Whether it is locked, and why.
        locked: Option<LockReason> = [0],
        /// How much more has to be wagered before a withdrawal.
        turnover: Amount = [16],
    }
    /// Takes over a bet that a provider has not ended yet.
    ImportBet = 81, "import_bet" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// Its stake.
        stake: Amount = amount,
        /// The provider's transaction.
        bet: Reference = reference,
        /// The game.
        game: GameId = game,
        /// The most that it can pay, stake included.
        payout_max: Amount = [0],
        /// The provider's round.
        round: Reference = [16],
    }
    /// Takes over a stake that was set aside.
    ImportHold = 82, "import_hold" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much.
        stake: Amount = amount,
        /// The id that it is known by.
        hold: RequestId = reference,
        /// The game.
        game: GameId = game,
        /// The most that it can pay, stake included.
        payout_max: Amount = [0],
        /// What happens if nobody ends it.
        expiry: Expiry = [16],
    }
    /// Takes over the memory of a provider's transaction that has ended.
    ImportReference = 83, "import_reference" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The provider's transaction.
        bet: Reference = reference,
        /// The game.
        game: GameId = game,
        /// What it was, and how it ended.
        was: PastTransaction = [0],
    }
    /// Takes over how much of a limit is used up.
    ImportUsage = 84, "import_usage" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        kind: LimitKind = [0],
        /// Over which time.
        period: Period = [1],
        /// How much, in the reference asset's smallest unit.
        value: Amount = amount,
    }
    /// Moves money between two players.
    Transfer = 96, "transfer" {
        /// Who pays.
        from: PlayerId = player,
        /// Who receives.
        to: PlayerId = [0],
        /// What.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// In which of the payer's sessions.
        session: SessionId = session,
    }
    /// Changes a player's money into another asset at the rates in force.
    Exchange = 97, "exchange" {
        /// Whose.
        player: PlayerId = player,
        /// From what.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// In which session.
        session: SessionId = session,
        /// Into what.
        to: AssetId = [0],
        /// The least that it must give.
        at_least: Amount = [16],
    }
    /// Proposes a correction of a player's balance.
    Adjust = 98, "adjust" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// By how much.
        amount: Amount = amount,
        /// The first half of the digest of the text that says why.
        text: Reference = reference,
        /// The second half.
        text_rest: u128 = [0],
        /// Why, as the house numbers its reasons.
        reason: u16 = [16],
        /// Whether it takes money away.
        debit: bool = [18],
    }
    /// Approves a correction that another identity proposed, and carries it out.
    AdjustApprove = 99, "adjust_approve" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The proposal's key.
        adjustment: RequestId = reference,
    }
    /// Rejects a correction.
    AdjustReject = 100, "adjust_reject" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// The proposal's key.
        adjustment: RequestId = reference,
    }
    /// Credits a prize: a tournament, a drop, a package of free rounds.
    PromoCredit = 112, "promo_credit" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// The game.
        game: GameId = game,
        /// The campaign.
        campaign: Option<Reference> = reference,
        /// Whether the house pays; otherwise the provider does.
        house_paid: bool = [0],
        /// How much more has to be wagered before a withdrawal.
        turnover: Amount = [16],
    }
    /// Puts a share of a stake into a jackpot. What is less than a smallest unit is kept for the next time.
    JackpotContribute = 113, "jackpot_contribute" {
        /// Of what.
        asset: AssetId = asset,
        /// The stake that the share is of.
        base: Amount = amount,
        /// The game.
        game: GameId = game,
        /// The bet.
        bet: Option<Reference> = reference,
        /// Which jackpot.
        pool: u32 = [0],
        /// The share, in millionths.
        rate_ppm: u32 = [4],
    }
    /// Pays a jackpot. What the pool lacks the house pays.
    JackpotWin = 114, "jackpot_win" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// The game.
        game: GameId = game,
        /// The bet.
        bet: Option<Reference> = reference,
        /// Which jackpot.
        pool: u32 = [0],
        /// What the provider showed that the jackpot stood at.
        shown: u128 = [16],
    }
    /// Seeds, merges or corrects a jackpot.
    JackpotAdjust = 115, "jackpot_adjust" {
        /// Of what.
        asset: AssetId = asset,
        /// By how much.
        amount: Amount = amount,
        /// The first half of the digest of the text that says why.
        text: Reference = reference,
        /// Which jackpot.
        pool: u32 = [0],
        /// Whether it takes money away.
        debit: bool = [4],
        /// Why, as the house numbers its reasons.
        reason: u16 = [6],
        /// The second half of the digest.
        text_rest: u128 = [16],
    }
    /// Gives a player free rounds.
    FreeroundGrant = 116, "freeround_grant" {
        /// Whose.
        player: PlayerId = player,
        /// In what.
        asset: AssetId = asset,
        /// What each is worth.
        bet_value: Amount = amount,
        /// The game.
        game: GameId = game,
        /// How many.
        count: u32 = [0],
        /// Until when.
        expires: Timestamp = [8],
    }
    /// Uses up free rounds.
    FreeroundConsume = 117, "freeround_consume" {
        /// Whose.
        player: PlayerId = player,
        /// The grant's id.
        grant: RequestId = reference,
        /// In which session.
        session: SessionId = session,
        /// The game.
        game: GameId = game,
        /// How many.
        count: u32 = [0],
    }
    /// Takes free rounds back.
    FreeroundExpire = 118, "freeround_expire" {
        /// Whose.
        player: PlayerId = player,
        /// The grant's id.
        grant: RequestId = reference,
        /// The game.
        game: GameId = game,
    }
    /// Puts money on a session's credit meter.
    AllowanceFund = 119, "allowance_fund" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// Which session.
        session: SessionId = session,
    }
    /// Takes money off a session's credit meter.
    AllowanceReturn = 120, "allowance_return" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much; 0 = all.
        amount: Amount = amount,
        /// Which session.
        session: SessionId = session,
    }
    /// Takes back free rounds whose time has come.
    FreeroundLapse = 121, "freeround_lapse" {
        /// Whose.
        player: PlayerId = player,
        /// The grant's id.
        grant: RequestId = reference,
    }
    /// Sets a stake aside before a bet is sent out.
    Reserve = 128, "reserve" {
        /// Who bets.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much.
        stake: Amount = amount,
        /// The most that the bet can pay, stake included.
        payout_max: Amount = [0],
        /// On which game.
        game: GameId = game,
        /// In which session.
        session: SessionId = session,
        /// In which round.
        round: Option<Reference> = reference,
        /// What happens if nobody ends it.
        expiry: Expiry = [16],
    }
    /// Takes stake from a hold and pays what it won; closes the hold when no stake is left.
    Settle = 129, "settle" {
        /// Who bet.
        player: PlayerId = player,
        /// In what.
        asset: AssetId = asset,
        /// The reserve's request id.
        hold: RequestId = reference,
        /// How much of the hold's stake this takes.
        stake: Amount = amount,
        /// How much it pays.
        payout: Amount = [0],
    }
    /// Gives back what is left of a hold; before its reserve, sees to it that none follows.
    Cancel = 130, "cancel" {
        /// Who bet.
        player: PlayerId = player,
        /// In what.
        asset: AssetId = asset,
        /// The reserve's request id.
        hold: RequestId = reference,
    }
    /// Gives back what is left of a hold whose deadline has passed.
    Expire = 131, "expire" {
        /// Who bet.
        player: PlayerId = player,
        /// In what.
        asset: AssetId = asset,
        /// The reserve's request id.
        hold: RequestId = reference,
    }
    /// Takes a stake that a provider reports.
    Bet = 132, "bet" {
        /// Who bets.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much.
        stake: Amount = amount,
        /// The provider's transaction.
        bet: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// In which session.
        session: SessionId = session,
        /// The most that the bet can pay, stake included.
        payout_max: Amount = [0],
        /// The provider's round.
        round: Reference = [16],
        /// Whether the round ends with it.
        ends_round: bool = ends_round,
    }
    /// Pays what a provider reports as won by a bet. Its id is the provider's transaction.
    Win = 133, "win" {
        /// Who wins.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much.
        amount: Amount = amount,
        /// The bet's transaction.
        bet: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// The bet's record, if it is known.
        target: Lsn = [0],
        /// The provider's round.
        round: Option<Reference> = [16],
        /// Whether the round ends with it.
        ends_round: bool = ends_round,
    }
    /// Takes a stake and pays what it won, at once.
    BetWin = 134, "bet_win" {
        /// Who bets.
        player: PlayerId = player,
        /// What.
        asset: AssetId = asset,
        /// How much.
        stake: Amount = amount,
        /// The provider's transaction.
        bet: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// In which session.
        session: SessionId = session,
        /// How much it won.
        payout: Amount = [0],
        /// The provider's round.
        round: Reference = [16],
        /// Whether the round ends with it.
        ends_round: bool = ends_round,
    }
    /// Undoes a bet or a win of a provider; before it, sees to it that none follows. Its id is the provider's transaction.
    Rollback = 135, "rollback" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// How much; 0 = all.
        amount: Amount = amount,
        /// The transaction that is undone.
        target: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// The record that is undone, if it is known.
        target_lsn: Lsn = [0],
        /// Whether a bet that has won is undone all the same.
        reverse_settled: bool = [8],
        /// The provider's round.
        round: Option<Reference> = [16],
    }
    /// Closes a round.
    EndRound = 136, "end_round" {
        /// Whose.
        player: PlayerId = player,
        /// In what.
        asset: AssetId = asset,
        /// Which.
        round: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// By which algorithm the outcome can be proved, as the house numbers them; 0 = there is no proof.
        algorithm: u16 = [0],
        /// The first 30 bytes of the digest of all that proves the outcome: seeds, nonce, result.
        proof: [u8; 30] = [2],
    }
    /// Closes a round whose time has come.
    CloseRound = 137, "close_round" {
        /// Whose.
        player: PlayerId = player,
        /// In what.
        asset: AssetId = asset,
        /// Which.
        round: Reference = reference,
    }
    /// Undoes all bets and wins of a round.
    VoidRound = 138, "void_round" {
        /// Whose.
        player: PlayerId = player,
        /// In what.
        asset: AssetId = asset,
        /// Which.
        round: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// The order to void that this belongs to.
        order: Option<RequestId> = [0],
        /// Why, as the house numbers its reasons.
        reason: u16 = [16],
    }
    /// Orders that a time of a game be undone. What follows refers to it.
    VoidPeriod = 139, "void_period" {
        /// In what.
        asset: AssetId = asset,
        /// The most that may be given back under it.
        amount: Amount = amount,
        /// The digest of the text that says why.
        text: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// The first record concerned.
        from: Lsn = [0],
        /// The last.
        to: Lsn = [8],
        /// How many voids at most.
        count: u64 = [16],
    }
    /// Corrects what is too old to be undone by its own name.
    LateCorrection = 140, "late_correction" {
        /// Whose.
        player: PlayerId = player,
        /// Of what.
        asset: AssetId = asset,
        /// By how much.
        amount: Amount = amount,
        /// The transaction that is corrected.
        transaction: Reference = reference,
        /// On which game.
        game: GameId = game,
        /// The record that is corrected.
        original: Lsn = [0],
        /// Whether it takes money away.
        debit: bool = [8],
        /// Why, as the house numbers its reasons.
        reason: u16 = [10],
        /// The order to void that this belongs to.
        order: Option<RequestId> = [16],
    }
}

impl Operation {
    /// The request that asks for this under `id`: a request id, a permanent key, or the provider's transaction, as the
    /// [table](crate::table) says.
    #[must_use]
    pub fn request(&self, id: RequestId) -> Request {
        let mut request = Request {
            kind: self.kind(),
            asset: AssetId::NONE,
            linked: false,
            ends_round: false,
            id,
            reference: 0,
            amount: Amount::ZERO,
            player: PlayerId::NONE,
            session: SessionId::NONE,
            game: GameId::default(),
            detail: Detail::default(),
        };
        self.fill(&mut request);
        request
    }
}

fn bytes_of<T: Field, const N: usize>(value: T) -> [u8; N] {
    let mut bytes = [0; N];
    value.put(&mut bytes);
    bytes
}

/// The greatest scale: more decimal places than any chain in use has.
pub const SCALE_MAX: u8 = 30;
