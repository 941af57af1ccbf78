//! Fields: how a typed value lies in the bytes of a request, or of a row in an image.
//!
//! In: a value. Out: its bytes, and back, checked. Never here: which operation has which fields; that is the
//! [table of operations](crate::operation).

use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::id::{AssetId, CallerId, GameId, Lsn, PlayerId, Reference, RequestId, SessionId};
use crate::limits::Day;
use crate::operation::{AssetCode, Expiry, Settings};
use crate::role::Role;
use crate::time::Timestamp;

/// A value that lies in a fixed number of bytes, little-endian.
pub(crate) trait Field: Sized + Copy {
    /// How many.
    const BYTES: usize;
    /// Whether it must not be zero in a place of its own (asset, player, reference).
    const REQUIRED: bool = false;
    /// Whether it is an amount of money, and so bounded.
    const AMOUNT: bool = false;

    /// Writes it; `out` has [`Self::BYTES`] and is all zero.
    fn put(self, out: &mut [u8]);

    /// Reads it, or says what is wrong.
    fn get(bytes: &[u8]) -> Result<Self, ResultCode>;
}

macro_rules! integers {
    ($($type:ty)+) => {$(
        impl Field for $type {
            const BYTES: usize = size_of::<Self>();

            fn put(self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_le_bytes());
            }

            fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
                bytes.try_into().map(Self::from_le_bytes).map_err(|_| ResultCode::Malformed)
            }
        }
    )+};
}

integers!(u8 u16 u32 u64 u128 i32 i128);

macro_rules! numbers {
    ($($type:ident($inner:ty) $($constant:ident = $value:literal)*;)+) => {$(
        impl Field for $type {
            const BYTES: usize = <$inner as Field>::BYTES;
            $(const $constant: bool = $value;)*

            fn put(self, out: &mut [u8]) {
                self.0.put(out);
            }

            fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
                <$inner as Field>::get(bytes).map(Self)
            }
        }
    )+};
}

numbers! {
    AssetId(u16) REQUIRED = true;
    Amount(u128) AMOUNT = true;
    Balance(i128);
    RequestId(u128) REQUIRED = true;
    CallerId(u128) REQUIRED = true;
    Reference(u128) REQUIRED = true;
    SessionId(u32);
    GameId(u32);
    Lsn(u64);
    Timestamp(u64);
    Day(i32);
}

impl Field for PlayerId {
    const BYTES: usize = 8;
    const REQUIRED: bool = true;

    fn put(self, out: &mut [u8]) {
        self.number().put(out);
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        Self::new(u64::get(bytes)?).map_err(|_| ResultCode::PlayerMistyped)
    }
}

impl Field for bool {
    const BYTES: usize = 1;

    fn put(self, out: &mut [u8]) {
        u8::from(self).put(out);
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(ResultCode::Malformed),
        }
    }
}

impl<const N: usize> Field for [u8; N] {
    const BYTES: usize = N;

    fn put(self, out: &mut [u8]) {
        out.copy_from_slice(&self);
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        bytes.try_into().map_err(|_| ResultCode::Malformed)
    }
}

impl<const N: usize> Field for [u128; N] {
    const BYTES: usize = N * u128::BYTES;

    fn put(self, out: &mut [u8]) {
        for (place, word) in out.chunks_exact_mut(u128::BYTES).zip(self) {
            word.put(place);
        }
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        let mut words = [0; N];
        for (word, place) in words.iter_mut().zip(bytes.chunks_exact(u128::BYTES)) {
            *word = u128::get(place)?;
        }
        Ok(words)
    }
}

impl Field for Role {
    const BYTES: usize = 1;

    fn put(self, out: &mut [u8]) {
        (self as u8).put(out);
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        Self::from_number(u8::get(bytes)?).ok_or(ResultCode::Malformed)
    }
}

/// What may be left out is zero then.
impl<T: Field> Field for Option<T> {
    const BYTES: usize = T::BYTES;

    fn put(self, out: &mut [u8]) {
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        if bytes.iter().all(|byte| *byte == 0) { Ok(None) } else { T::get(bytes).map(Some) }
    }
}

impl Field for AssetCode {
    const BYTES: usize = Self::BYTES;

    fn put(self, out: &mut [u8]) {
        out.copy_from_slice(self.bytes());
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        Self::from_bytes(Field::get(bytes)?).ok_or(ResultCode::Malformed)
    }
}

impl Field for Expiry {
    const BYTES: usize = 8;

    fn put(self, out: &mut [u8]) {
        match self {
            Self::Never => {}
            // The beginning of time has passed all the same, and 0 means never.
            Self::Release(at) => at.0.max(1).put(out),
        }
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        Ok(match u64::get(bytes)? {
            0 => Self::Never,
            at => Self::Release(Timestamp(at)),
        })
    }
}

impl Field for Settings {
    const BYTES: usize = 32;

    fn put(self, out: &mut [u8]) {
        let Self { ids_capacity, ids_retention_millis, holds_max, players_max, closed_wagers_max } = self;
        // The last two share a place. What is more than it can tell is over the bound, and stays so.
        let half = |value: u64| value.min(u32::MAX.into());
        let values = [
            ids_capacity,
            ids_retention_millis,
            holds_max,
            half(players_max) | half(closed_wagers_max) << 32,
        ];
        for (place, value) in out.chunks_exact_mut(8).zip(values) {
            value.put(place);
        }
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        let value = |at: usize| u64::get(&bytes[at..at + 8]);
        Ok(Self {
            ids_capacity: value(0)?,
            ids_retention_millis: value(8)?,
            holds_max: value(16)?,
            players_max: u32::get(&bytes[24..28])?.into(),
            closed_wagers_max: u32::get(&bytes[28..32])?.into(),
        })
    }
}

/// Enumerations whose numbers stand in requests.
macro_rules! numbered_fields {
    ($($(#[doc = $doc:literal])+ $type:ident($inner:ident) { $($word:tt)+ })+) => {$(
        crate::numbered! {
            $(#[doc = $doc])+
            pub enum $type: $inner { $($word)+ }
        }

        impl Field for $type {
            const BYTES: usize = size_of::<$inner>();

            fn put(self, out: &mut [u8]) {
                (self as $inner).put(out);
            }

            fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
                Self::from_number(<$inner as Field>::get(bytes)?).ok_or(ResultCode::Malformed)
            }
        }
    )+};
}

numbered_fields! {
    /// Whether a player's money is real.
    PlayerClass(u8) {
        /// A customer.
        Real = 0, "real";
        /// A tester: left out of reports.
        Test = 1, "test";
    }
    /// What a player may do.
    Status(u8) {
        /// Everything.
        Active = 0, "active";
        /// No new wagers.
        WagerBlocked = 1, "wager_blocked";
        /// No new wagers and no deposits of the player's own doing, at the player's own wish.
        SelfExcluded = 2, "self_excluded";
        /// No wagers, no withdrawals.
        Frozen = 3, "frozen";
        /// No more a customer; what is left can be withdrawn.
        Closed = 4, "closed";
    }
    /// Why money is locked.
    LockReason(u8) {
        /// It came in while the player was excluded. Can be withdrawn.
        Excluded = 1, "excluded";
        /// It came in when the account was closed. Can be withdrawn.
        Closed = 2, "closed";
        /// It came in over the player's limit. Can be withdrawn.
        OverLimit = 3, "over_limit";
        /// It is not final yet.
        Unconfirmed = 4, "unconfirmed";
        /// Somebody has to look at it.
        Review = 5, "review";
    }
    /// What a limit is about.
    LimitKind(u8) {
        /// One bet.
        Bet = 1, "bet";
        /// Stakes less winnings.
        Loss = 2, "loss";
        /// Stakes.
        Wager = 3, "wager";
        /// Deposits.
        Deposit = 4, "deposit";
        /// Deposits less withdrawals.
        DepositNet = 5, "deposit_net";
    }
    /// How long a limit counts.
    Period(u8) {
        /// One bet at a time.
        Once = 0, "once";
        /// A day of the player's brand.
        Day = 1, "day";
        /// A week of such days, from Monday.
        Week = 2, "week";
        /// A calendar month of such days.
        Month = 3, "month";
    }
    /// What a provider's transaction was for another system.
    PastTransaction(u8) {
        /// A bet whose round is closed: a win of it may still come, and is paid.
        ClosedBet = 0, "closed_bet";
        /// A bet that was rolled back.
        UndoneBet = 1, "undone_bet";
        /// A win or a rollback that was carried out: a repeat of it moves nothing.
        CarriedOut = 2, "carried_out";
    }
    /// A rule of the house that decisions look at.
    Rule(u16) {
        /// 1 = players of this brand may send to each other. Scope: the brand.
        TransfersInBrand = 1, "transfers_in_brand";
        /// 1 = players under this jurisdiction may send to each other. Scope: the jurisdiction.
        TransfersInJurisdiction = 2, "transfers_in_jurisdiction";
        /// 1 = players of this brand need a session for everything that spends. Scope: the brand.
        SessionsRequired = 3, "sessions_required";
        /// When a day begins, in minutes after 00:00 UTC. Scope: the brand.
        DayBegins = 4, "day_begins";
        /// The number of the asset that limits count in. Scope: 0.
        ReferenceAsset = 5, "reference_asset";
        /// The most that all open bets together can pay. Scope: game × 65536 + asset.
        ExposureMax = 6, "exposure_max";
        /// After how long a round is closed, in milliseconds. Scope: 0. Without it 48 hours.
        RoundAgeMax = 7, "round_age_max";
        /// From which amount on a withdrawal needs two approvals. Scope: the asset.
        SecondApprovalFrom = 8, "second_approval_from";
        /// What a withdrawal costs. Scope: the asset.
        WithdrawFee = 9, "withdraw_fee";
        /// The total that may be imported; 0 = no import is open. Scope: the asset.
        Importing = 10, "importing";
        /// One more than the most that a role may name in one operation. Scope: role × 65536 + asset.
        RoleAmountMax = 11, "role_amount_max";
        /// The only caller that may act for this provider, as the number of its identity. Scope: the provider.
        ProviderActor = 12, "provider_actor";
        /// How many sessions can be open. Scope: 0. Without it 2^20.
        SessionsMax = 13, "sessions_max";
        /// How long a looser limit waits, in milliseconds. Scope: 0. Without it 24 hours, and never less.
        Reconsider = 14, "reconsider";
        /// 1 = callers of this role may name no asset, provider or chain without a permit. Scope: the role.
        PermitsRequired = 15, "permits_required";
        /// 1 = this identity may act for this provider. Scope: identity × 2^32 + provider.
        CallerProvider = 16, "caller_provider";
        /// 1 = this identity may act for this chain. Scope: identity × 2^32 + chain.
        CallerChain = 17, "caller_chain";
        /// One more than the most that an identity may name in one operation. Scope: identity × 65536 + asset.
        CallerAmountMax = 18, "caller_amount_max";
        /// 1 = a player has one round of this game at a time. Scope: the game.
        OneRound = 19, "one_round";
        /// The most that late corrections of one provider may come to on one day (UTC) without a second identity. Scope:
        /// the asset. Without it every one needs another.
        LateCorrectionMax = 20, "late_correction_max";
        /// How old a price may be that something is decided by, in milliseconds. Scope: the asset. Without it any age.
        RateAgeMax = 21, "rate_age_max";
        /// 1 = rules that say who may do how much are set by two identities, one after the other. Scope: 0.
        SecondIdentity = 22, "second_identity";
        /// 1 = this identity may act for this game, though not for all of its provider. Scope: identity × 2^32 + game.
        CallerGame = 23, "caller_game";
    }
}

#[expect(clippy::derivable_impls, reason = "the enumeration comes from a macro that knows no default")]
impl Default for PlayerClass {
    fn default() -> Self {
        Self::Real
    }
}

impl Rule {
    /// Whether it says who may do how much: whoever could set it alone could do anything.
    #[must_use]
    pub const fn is_guarded(self) -> bool {
        matches!(
            self,
            Self::SecondApprovalFrom
                | Self::Importing
                | Self::RoleAmountMax
                | Self::ProviderActor
                | Self::PermitsRequired
                | Self::CallerProvider
                | Self::CallerGame
                | Self::CallerChain
                | Self::CallerAmountMax
                | Self::LateCorrectionMax
                | Self::SecondIdentity
        )
    }
}

impl LockReason {
    /// Those whose money a withdrawal may draw on, in the order in which it does.
    pub const WITHDRAWABLE: [Self; 3] = [Self::Excluded, Self::Closed, Self::OverLimit];

    /// Whether a withdrawal may draw on what is locked for this reason.
    #[must_use]
    pub const fn is_withdrawable(self) -> bool {
        let mut at = 0;
        while at < Self::WITHDRAWABLE.len() {
            if Self::WITHDRAWABLE[at] as u8 == self as u8 {
                return true;
            }
            at += 1;
        }
        false
    }
}

/// Where a field lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The asset.
    Asset,
    /// The player.
    Player,
    /// The amount.
    Amount,
    /// The reference.
    Reference,
    /// The session.
    Session,
    /// The game, or the chain.
    Game,
    /// The flag that ends the round.
    EndsRound,
    /// The detail, from this byte on.
    Detail(usize),
}

/// A field of an operation, for documents and checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// Where it lies.
    pub slot: Slot,
    /// How many bytes it takes there.
    pub bytes: usize,
    /// Whether it must not be zero.
    pub required: bool,
    /// Whether it is an amount of money.
    pub amount: bool,
}

/// Whether the place for games is that of a field which is a game.
pub(crate) const fn holds_game(fields: &[FieldSpec]) -> bool {
    let mut at = 0;
    while at < fields.len() {
        if matches!((fields[at].slot, fields[at].name.as_bytes()), (Slot::Game, b"game")) {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether a place of a request has to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Zero,
    Any,
    Filled,
}

impl Need {
    pub(crate) const fn is_met(self, zero: bool) -> bool {
        match self {
            Self::Zero => zero,
            Self::Any => true,
            Self::Filled => !zero,
        }
    }
}

/// What an operation's fields mean for a request: computed once from the list of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) asset: Need,
    pub(crate) player: Need,
    pub(crate) reference: Need,
    pub(crate) amount: bool,
    pub(crate) session: bool,
    pub(crate) game: bool,
    pub(crate) ends_round: bool,
    /// One bit per byte of the detail that is used.
    pub(crate) detail: u32,
    /// Where amounts lie in the detail, one bit per first byte.
    pub(crate) detail_amounts: u32,
}

impl Shape {
    pub(crate) const fn of(fields: &[FieldSpec]) -> Self {
        let mut shape = Self {
            asset: Need::Zero,
            player: Need::Zero,
            reference: Need::Zero,
            amount: false,
            session: false,
            game: false,
            ends_round: false,
            detail: 0,
            detail_amounts: 0,
        };
        let mut at = 0;
        while at < fields.len() {
            let field = &fields[at];
            let need = if field.required { Need::Filled } else { Need::Any };
            match field.slot {
                Slot::Asset => shape.asset = need,
                Slot::Player => shape.player = need,
                Slot::Reference => shape.reference = need,
                Slot::Amount => shape.amount = true,
                Slot::Session => shape.session = true,
                Slot::Game => shape.game = true,
                Slot::EndsRound => shape.ends_round = true,
                Slot::Detail(from) => {
                    let bytes = (((1_u64 << field.bytes) - 1) << from) as u32;
                    assert!(shape.detail & bytes == 0, "fields do not overlap");
                    assert!(from + field.bytes <= crate::request::DETAIL_BYTES, "a field lies in the detail");
                    shape.detail |= bytes;
                    if field.amount {
                        shape.detail_amounts |= 1 << from;
                    }
                }
            }
            at += 1;
        }
        shape
    }
}
