//! A record: what was asked, what was decided, and all that changes because of it, in 256 bytes.
//!
//! In: a decision, or bytes of a log. Out: the other. A record holds both balances after each leg, so that an
//! auditor can check every balance with nothing but addition. Never here: how a decision is made.

use rkyv::{Archive, Serialize};

use crate::account::AccountId;
use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::field::LockReason;
use crate::id::{AssetId, GameId, Lsn, PlayerId, RequestId, SessionId};
use crate::layout;
use crate::operation::OperationKind;
use crate::request::{COUNTERPARTY_AT, COUNTERPARTY_PREVIOUS_AT, DETAIL_BYTES, Detail, Request};
use crate::role::Role;
use crate::table::{Effect, HandsOut};
use crate::time::Timestamp;

/// The bytes of a record in the log.
pub const RECORD_BYTES: usize = 256;
/// How many movements fit one record.
pub const RECORD_LEGS_MAX: usize = 2;

/// One movement of money: `debit` falls by `amount`, `credit` rises by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// The account that pays.
    pub debit: AccountId,
    /// The account that receives.
    pub credit: AccountId,
    /// How much.
    pub amount: Amount,
    /// What the paying account holds afterwards.
    pub debit_after: Balance,
    /// What the receiving account holds afterwards.
    pub credit_after: Balance,
}

/// A decision, complete: [`apply`](crate::State::apply) needs nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was asked, as it was asked, except for the numbers that the ledger hands out: those are filled in.
    pub request: Request,
    /// What was decided.
    pub result: ResultCode,
    /// The role under which it was asked.
    pub role: Role,
    /// A digest of the identity that asked.
    pub actor: u32,
    /// The grant under which it was asked; 0 = none.
    pub grant: u16,
    /// How long before the decision the request was received.
    pub received_age: Age,
    /// When it was decided.
    pub decided: Timestamp,
    /// The player's record before this one.
    pub previous: Lsn,
    /// Whether the next record of the log belongs to this one: to the same group, or as its continuation.
    pub linked: bool,
    legs: [Leg; RECORD_LEGS_MAX],
    leg_count: u8,
}

#[derive(Archive, Serialize)]
struct LegLayout {
    debit: u64,
    credit: u64,
    amount: u128,
    debit_after: i128,
    credit_after: i128,
}

#[derive(Archive, Serialize)]
struct RecordLayout {
    kind: u16,
    result: u16,
    asset: u16,
    role: u8,
    flags: u8,
    id: u128,
    reference: u128,
    amount: u128,
    player: u64,
    session: u32,
    game: u32,
    detail: [u8; DETAIL_BYTES],
    actor: u32,
    grant: u16,
    received_age: u16,
    decided: u64,
    previous: u64,
    legs: [LegLayout; RECORD_LEGS_MAX],
}

const _: () = assert!(size_of::<ArchivedRecordLayout>() == RECORD_BYTES);

/// Where the ledger fills in why a deposit is locked.
const LOCK_REASON_AT: usize = 1;
/// Where the ledger fills in a number in the detail of a grant or an address.
const NUMBER_AT: usize = 8;
/// Where the time of the decision stands in a record's bytes.
const DECIDED_AT: usize = 112;
const FLAGS_AT: usize = 7;
const FLAG_LEGS_MASK: u8 = 0b11;
const FLAG_ENDS_ROUND: u8 = 0b100;
const FLAG_ASKED_LINKED: u8 = 0b1000;
const FLAG_LINKED: u8 = 0x10;
const FLAGS: u8 = FLAG_LEGS_MASK | FLAG_ENDS_ROUND | FLAG_ASKED_LINKED | FLAG_LINKED;

/// A time span in 16 bits: 12 bits of microseconds, shifted by the 4 bits above them. At most two minutes, and
/// exact to one part in two thousand, rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Age(u16);

impl Age {
    const MANTISSA_BITS: u32 = 12;
    const MICROS_MAX: u64 = ((1 << Self::MANTISSA_BITS) - 1) << 15;

    /// The greatest span that is not greater than this.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        let micros = if micros > Self::MICROS_MAX { Self::MICROS_MAX } else { micros };
        let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(Self::MANTISSA_BITS);
        Self((micros >> shift) as u16 | (shift as u16) << Self::MANTISSA_BITS)
    }

    /// The span in microseconds.
    #[must_use]
    pub const fn micros(self) -> u64 {
        let mantissa = self.0 & ((1 << Self::MANTISSA_BITS) - 1);
        (mantissa as u64) << (self.0 >> Self::MANTISSA_BITS)
    }
}

impl Record {
    /// A record of `request` in which no money moves.
    #[must_use]
    pub fn new(request: Request, result: ResultCode, role: Role, actor: u32, decided: Timestamp) -> Self {
        Self {
            request,
            result,
            role,
            actor,
            grant: 0,
            received_age: Age(0),
            decided,
            previous: Lsn::NONE,
            linked: false,
            legs: [Leg::default(); RECORD_LEGS_MAX],
            leg_count: 0,
        }
    }

    /// The movements, in order.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        &self.legs[..usize::from(self.leg_count)]
    }

    /// Whether there is room for another movement.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        (self.leg_count as usize) < RECORD_LEGS_MAX
    }

    /// Adds a movement.
    ///
    /// # Panics
    /// If there are [`RECORD_LEGS_MAX`] already: further ones belong into a continuation.
    pub fn push_leg(&mut self, leg: Leg) {
        self.legs[usize::from(self.leg_count)] = leg;
        self.leg_count += 1;
    }

    /// The request as the caller sent it: without the numbers that the ledger filled in.
    #[must_use]
    pub fn asked(&self) -> Request {
        let mut request = self.request;
        let spec = request.kind.spec();
        match spec.hands_out {
            HandsOut::Nothing => {}
            HandsOut::Asset => request.asset = AssetId::NONE,
            HandsOut::Player => request.player = PlayerId::NONE,
            HandsOut::Session => request.session = SessionId::NONE,
            HandsOut::Grant | HandsOut::Address => request.detail = request.detail.with(NUMBER_AT, &[0; 8]),
        }
        if spec.fills_game {
            request.game = GameId::default();
        }
        if spec.counterparty {
            request.detail = request.detail.with(COUNTERPARTY_PREVIOUS_AT, &[0; 8]);
        }
        if matches!(spec.effect, Effect::Deposited | Effect::BalanceImported | Effect::Unlocked) {
            request.detail = request.detail.with(LOCK_REASON_AT, &[0]);
        }
        request
    }

    /// Why what was credited is locked, if it is: the caller's reason or the ledger's own.
    #[must_use]
    pub fn lock_reason(&self) -> Option<LockReason> {
        match self.request.kind.spec().effect {
            Effect::Deposited | Effect::BalanceImported | Effect::Unlocked => {
                LockReason::from_number(self.request.detail.0[LOCK_REASON_AT])
            }
            _ => None,
        }
    }

    /// The reason that a caller names who locks or unlocks.
    pub(crate) fn asked_lock_reason(&self) -> Option<LockReason> {
        match self.request.kind.spec().effect {
            Effect::Locked | Effect::Unlocked => LockReason::from_number(self.request.detail.0[0]),
            _ => None,
        }
    }

    pub(crate) fn set_lock_reason(&mut self, reason: LockReason) {
        self.request.detail = self.request.detail.with(LOCK_REASON_AT, &[reason as u8]);
    }

    /// The game that it is about: the one that was named, or that of the hold, round or free rounds that it is the end of. Nothing
    /// if the operation is about none; of a continuation its head knows.
    #[must_use]
    pub fn game(&self) -> Option<GameId> {
        let kind = self.request.kind;
        let filled_in = kind.spec().fills_game && self.result == ResultCode::Done;
        (kind.names_game() || filled_in).then_some(self.request.game)
    }

    /// The number that the ledger handed out, if the operation is one that gets one and it was executed.
    #[must_use]
    pub fn handed_out(&self) -> Option<u64> {
        let request = &self.request;
        let number = match request.kind.spec().hands_out {
            HandsOut::Nothing => return None,
            HandsOut::Asset => u64::from(request.asset.0),
            HandsOut::Player => request.player.number(),
            HandsOut::Session => u64::from(request.session.0),
            HandsOut::Grant | HandsOut::Address => request.detail.u64_at(NUMBER_AT),
        };
        self.result.is_executed().then_some(number)
    }

    /// The record before this one of the player at the other end; none if there is no such player.
    #[must_use]
    pub fn counterparty_previous(&self) -> Lsn {
        if self.request.kind.spec().counterparty {
            Lsn(self.request.detail.u64_at(COUNTERPARTY_PREVIOUS_AT))
        } else {
            Lsn::NONE
        }
    }

    pub(crate) fn set_counterparty_previous(&mut self, lsn: Lsn) {
        self.request.detail = self.request.detail.with(COUNTERPARTY_PREVIOUS_AT, &lsn.0.to_le_bytes());
    }

    pub(crate) fn set_number(&mut self, number: u64) {
        self.request.detail = self.request.detail.with(NUMBER_AT, &number.to_le_bytes());
    }

    /// What `account` holds after this record, if it moved.
    #[must_use]
    pub fn balance_after(&self, account: AccountId) -> Option<Balance> {
        self.legs().iter().rev().find_map(|leg| {
            if leg.credit == account {
                Some(leg.credit_after)
            } else if leg.debit == account {
                Some(leg.debit_after)
            } else {
                None
            }
        })
    }

    /// The record in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let leg = |leg: &Leg| LegLayout {
            debit: leg.debit.0,
            credit: leg.credit.0,
            amount: leg.amount.0,
            debit_after: leg.debit_after.0,
            credit_after: leg.credit_after.0,
        };
        let request = &self.request;
        layout::write(&RecordLayout {
            kind: request.kind.number(),
            result: self.result.number(),
            asset: request.asset.0,
            role: self.role as u8,
            flags: self.leg_count
                | if request.ends_round { FLAG_ENDS_ROUND } else { 0 }
                | if request.linked { FLAG_ASKED_LINKED } else { 0 }
                | if self.linked { FLAG_LINKED } else { 0 },
            id: request.id.0,
            reference: request.reference,
            amount: request.amount.0,
            player: request.player.number(),
            session: request.session.0,
            game: request.game.0,
            detail: request.detail.0,
            actor: self.actor,
            grant: self.grant,
            received_age: self.received_age.0,
            decided: self.decided.0,
            previous: self.previous.0,
            legs: [leg(&self.legs[0]), leg(&self.legs[1])],
        })
    }

    /// Reads a record of a log.
    ///
    /// # Errors
    /// [`RecordFault`] names the field that no ledger of this version writes.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Result<Self, RecordFault> {
        let layout = layout::read::<RecordLayout>(bytes).ok_or(RecordFault("length"))?;
        let kind = OperationKind::from_number(layout.kind.to_native()).ok_or(RecordFault("kind"))?;
        let result = ResultCode::from_number(layout.result.to_native()).ok_or(RecordFault("result"))?;
        let role = Role::from_number(layout.role).ok_or(RecordFault("role"))?;
        let leg_count = layout.flags & FLAG_LEGS_MASK;
        if layout.flags & !FLAGS != 0 || usize::from(leg_count) > RECORD_LEGS_MAX {
            return Err(RecordFault("flags"));
        }
        if !result.is_recorded() {
            return Err(RecordFault("result"));
        }
        let legs = layout.legs.each_ref().map(|leg| Leg {
            debit: AccountId(leg.debit.to_native()),
            credit: AccountId(leg.credit.to_native()),
            amount: Amount(leg.amount.to_native()),
            debit_after: Balance(leg.debit_after.to_native()),
            credit_after: Balance(leg.credit_after.to_native()),
        });
        if legs[usize::from(leg_count)..].iter().any(|leg| *leg != Leg::default()) {
            return Err(RecordFault("legs"));
        }
        Ok(Self {
            request: Request {
                kind,
                asset: AssetId(layout.asset.to_native()),
                linked: layout.flags & FLAG_ASKED_LINKED != 0,
                ends_round: layout.flags & FLAG_ENDS_ROUND != 0,
                id: RequestId(layout.id.to_native()),
                reference: layout.reference.to_native(),
                amount: Amount(layout.amount.to_native()),
                player: PlayerId::trusted(layout.player.to_native()),
                session: SessionId(layout.session.to_native()),
                game: GameId(layout.game.to_native()),
                detail: Detail(layout.detail),
            },
            result,
            role,
            actor: layout.actor.to_native(),
            grant: layout.grant.to_native(),
            received_age: Age(layout.received_age.to_native()),
            decided: Timestamp(layout.decided.to_native()),
            previous: Lsn(layout.previous.to_native()),
            linked: layout.flags & FLAG_LINKED != 0,
            legs,
            leg_count,
        })
    }
}

/// Whether a record, in bytes, continues with the next one of its frame: the log must not part them.
#[must_use]
pub const fn is_linked(bytes: &[u8; RECORD_BYTES]) -> bool {
    bytes[FLAGS_AT] & FLAG_LINKED != 0
}

/// When a record, in bytes, was decided: nanoseconds since 1970.
#[must_use]
pub const fn decided_nanos(bytes: &[u8; RECORD_BYTES]) -> u64 {
    let mut field = [0; 8];
    let mut index = 0;
    while index < 8 {
        field[index] = bytes[DECIDED_AT + index];
        index += 1;
    }
    u64::from_le_bytes(field)
}

/// Whether a record, in bytes, is one of those through which a player's records are followed backwards.
#[must_use]
pub fn concerns(bytes: &[u8; RECORD_BYTES], player: PlayerId) -> bool {
    let Some(layout) = layout::read::<RecordLayout>(bytes) else { return false };
    let kind = OperationKind::from_number(layout.kind.to_native());
    let Some(kind) = kind.filter(|kind| *kind != OperationKind::Continue) else { return false };
    layout.player.to_native() == player.number()
        || kind.spec().counterparty && Detail(layout.detail).u64_at(COUNTERPARTY_AT) == player.number()
}

/// Bytes that are no record of this version; the field that gives them away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFault(pub &'static str);
