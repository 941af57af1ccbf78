//! A record: what was asked, what was decided, and all that changes because of it, in 256 bytes.
//!
//! In: a decision, or bytes of a log. Out: the other. A record holds both balances after each leg, so that an
//! auditor can check every balance with nothing but addition. Never here: how a decision is made.

use rkyv::{Archive, Serialize};

use crate::account::AccountId;
use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::id::{AssetId, GameId, Lsn, PlayerId, RequestId, SessionId};
use crate::layout;
use crate::request::{COUNTERPARTY_PREVIOUS_AT, DETAIL_BYTES, Detail, Request};
use crate::role::Role;
use crate::table::{HandsOut, OperationKind};
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
    /// How long before the decision the request was received, in microseconds; stops at its greatest value.
    pub received_age_micros: u32,
    /// When it was decided.
    pub decided: Timestamp,
    /// The player's record before this one.
    pub previous: Lsn,
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
    received_age_micros: u32,
    decided: u64,
    previous: u64,
    legs: [LegLayout; RECORD_LEGS_MAX],
}

const _: () = assert!(size_of::<ArchivedRecordLayout>() == RECORD_BYTES);

/// Where the time of the decision stands in a record's bytes.
const DECIDED_AT: usize = 112;
const FLAGS_AT: usize = 7;
const FLAG_LEGS_MASK: u8 = 0b11;
const FLAG_LINKED: u8 = 0x10;

impl Record {
    /// A record of `request` in which no money moves.
    #[must_use]
    pub fn new(request: Request, result: ResultCode, role: Role, actor: u32, decided: Timestamp) -> Self {
        Self {
            request,
            result,
            role,
            actor,
            received_age_micros: 0,
            decided,
            previous: Lsn::NONE,
            legs: [Leg::default(); RECORD_LEGS_MAX],
            leg_count: 0,
        }
    }

    /// The movements, in order.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        &self.legs[..usize::from(self.leg_count)]
    }

    /// Adds a movement.
    ///
    /// # Panics
    /// If there are [`RECORD_LEGS_MAX`] already: the operation table has no row with more.
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
        }
        if spec.counterparty {
            request.detail = request.detail.with(COUNTERPARTY_PREVIOUS_AT, &[0; 8]);
        }
        request
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
            flags: self.leg_count | if request.linked { FLAG_LINKED } else { 0 },
            id: request.id.0,
            reference: request.reference,
            amount: request.amount.0,
            player: request.player.number(),
            session: request.session.0,
            game: request.game.0,
            detail: request.detail.0,
            actor: self.actor,
            received_age_micros: self.received_age_micros,
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
        if layout.flags & !(FLAG_LEGS_MASK | FLAG_LINKED) != 0 || usize::from(leg_count) > RECORD_LEGS_MAX {
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
                linked: layout.flags & FLAG_LINKED != 0,
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
            received_age_micros: layout.received_age_micros.to_native(),
            decided: Timestamp(layout.decided.to_native()),
            previous: Lsn(layout.previous.to_native()),
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

/// Bytes that are no record of this version; the field that gives them away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFault(pub &'static str);
