//! A request: what a caller asks, in the one fixed shape that wire and log share.
//!
//! In: bytes from outside, or a typed [`Operation`](crate::Operation). Out: a request whose every field has been
//! checked as far as that is possible without knowing the ledger. Never here: the ledger's state.

use rkyv::{Archive, Serialize};

use crate::amount::Amount;
use crate::code::ResultCode;
use crate::id::{AssetId, GameId, PlayerId, RequestId, SessionId};
use crate::layout;
use crate::state::fold;
use crate::table::{AmountRule, HandsOut, IdRule, OperationKind, Spec};
use crate::time::Timestamp;

/// The bytes of a request's content, as wire and digest see it.
pub const REQUEST_BYTES: usize = 104;
/// The bytes whose meaning depends on the operation.
pub const DETAIL_BYTES: usize = 32;

/// The content of a request. Which fields an operation uses, the [table](crate::table) says; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub kind: OperationKind,
    /// The unit of the amounts.
    pub asset: AssetId,
    /// Whether the next request of the frame belongs to the same group.
    pub linked: bool,
    /// The caller's name for this request, or its permanent key.
    pub id: RequestId,
    /// What it refers to: a hold, a caller's own id, an outside fact.
    pub reference: u128,
    /// How much.
    pub amount: Amount,
    /// Whose money.
    pub player: PlayerId,
    /// In which of the player's sessions.
    pub session: SessionId,
    /// In which game.
    pub game: GameId,
    /// The rest, by operation.
    pub detail: Detail,
}

/// The bytes of a request that have a meaning of their own for each operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail(pub [u8; DETAIL_BYTES]);

impl Detail {
    const fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        let mut index = 0;
        while index < N {
            field[index] = self.0[at + index];
            index += 1;
        }
        field
    }

    pub(crate) const fn u128_at(&self, at: usize) -> u128 {
        u128::from_le_bytes(self.field(at))
    }

    pub(crate) const fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.field(at))
    }

    pub(crate) const fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.field(at))
    }

    pub(crate) const fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.field(at))
    }

    pub(crate) fn with(mut self, at: usize, field: &[u8]) -> Self {
        self.0[at..at + field.len()].copy_from_slice(field);
        self
    }
}

/// A request that breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The numbered answer.
    pub code: ResultCode,
    /// Which field is wrong.
    pub field: &'static str,
}

impl Malformed {
    const fn new(code: ResultCode, field: &'static str) -> Self {
        Self { code, field }
    }
}

#[derive(Archive, Serialize)]
struct RequestLayout {
    kind: u16,
    asset: u16,
    flags: u16,
    reserved: u16,
    id: u128,
    reference: u128,
    amount: u128,
    player: u64,
    session: u32,
    game: u32,
    detail: [u8; DETAIL_BYTES],
}

const _: () = assert!(size_of::<ArchivedRequestLayout>() == REQUEST_BYTES);

const FLAG_LINKED: u16 = 1;

impl Request {
    /// The request in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; REQUEST_BYTES] {
        layout::write(&RequestLayout {
            kind: self.kind.number(),
            asset: self.asset.0,
            flags: if self.linked { FLAG_LINKED } else { 0 },
            reserved: 0,
            id: self.id.0,
            reference: self.reference,
            amount: self.amount.0,
            player: self.player.number(),
            session: self.session.0,
            game: self.game.0,
            detail: self.detail.0,
        })
    }

    /// Reads a caller's request and checks all that needs no ledger: the operation exists and may be asked for
    /// from outside, ids and amounts are of the right kind, check digits fit, unused bytes are zero.
    ///
    /// # Errors
    /// [`Malformed`] with the numbered answer and the field.
    pub fn parse(bytes: &[u8; REQUEST_BYTES]) -> Result<Self, Malformed> {
        let Some(layout) = layout::read::<RequestLayout>(bytes) else {
            return Err(Malformed::new(ResultCode::Malformed, "length"));
        };
        let kind = OperationKind::from_number(layout.kind.to_native())
            .ok_or(Malformed::new(ResultCode::OperationUnknown, "kind"))?;
        let player = match layout.player.to_native() {
            0 => PlayerId::NONE,
            number => {
                PlayerId::new(number).map_err(|_| Malformed::new(ResultCode::PlayerMistyped, "player"))?
            }
        };
        let flags = layout.flags.to_native();
        if flags & !FLAG_LINKED != 0 || layout.reserved.to_native() != 0 {
            return Err(Malformed::new(ResultCode::Malformed, "flags"));
        }
        let request = Self {
            kind,
            asset: AssetId(layout.asset.to_native()),
            linked: flags & FLAG_LINKED != 0,
            id: RequestId(layout.id.to_native()),
            reference: layout.reference.to_native(),
            amount: Amount(layout.amount.to_native()),
            player,
            session: SessionId(layout.session.to_native()),
            game: GameId(layout.game.to_native()),
            detail: Detail(layout.detail),
        };
        request.check()?;
        Ok(request)
    }

    /// The checks of [`Self::parse`] that go beyond single fields.
    ///
    /// # Errors
    /// [`Malformed`] with the numbered answer and the field.
    pub fn check(&self) -> Result<(), Malformed> {
        let spec = self.kind.spec();
        match spec.id {
            IdRule::Internal => return Err(Malformed::new(ResultCode::OperationUnknown, "kind")),
            IdRule::Request | IdRule::Permanent if self.id == RequestId::NONE => {
                return Err(Malformed::new(ResultCode::IdZero, "id"));
            }
            IdRule::Request | IdRule::Permanent => {}
        }
        self.check_amounts(spec)?;
        self.check_unused(spec)
    }

    fn check_amounts(&self, spec: &Spec) -> Result<(), Malformed> {
        let payout = if spec.payout { Amount(self.detail.u128_at(PAYOUT_AT)) } else { Amount::ZERO };
        if self.amount > Amount::MAX || payout > Amount::MAX {
            return Err(Malformed::new(ResultCode::AmountOverLimit, "amount"));
        }
        let missing = match spec.amount {
            AmountRule::None => return zero(self.amount.is_zero(), "amount"),
            AmountRule::Positive => self.amount.is_zero(),
            AmountRule::PositiveOrPayout => self.amount.is_zero() && payout.is_zero(),
        };
        if missing { Err(Malformed::new(ResultCode::AmountZero, "amount")) } else { Ok(()) }
    }

    fn check_unused(&self, spec: &Spec) -> Result<(), Malformed> {
        zero(!self.linked, "linked")?;
        zero(spec.reference || self.reference == 0, "reference")?;
        zero(!spec.reference || self.reference != 0, "reference")?;
        let asset_given = spec.asset && !matches!(spec.hands_out, HandsOut::Asset);
        zero(asset_given == (self.asset != AssetId::NONE), "asset")?;
        let player_given = spec.player && !matches!(spec.hands_out, HandsOut::Player);
        zero(player_given == (self.player != PlayerId::NONE), "player")?;
        zero(spec.game || self.game == GameId::default(), "game")?;
        zero(spec.session || self.session == SessionId::default(), "session")?;
        let used = spec.detail_bytes;
        zero(self.detail.0[used..].iter().all(|byte| *byte == 0), "detail")?;
        if spec.counterparty {
            PlayerId::new(self.detail.u64_at(COUNTERPARTY_AT))
                .map_err(|_| Malformed::new(ResultCode::PlayerMistyped, "counterparty"))?;
        }
        (spec.check_detail)(&self.detail).map_err(|field| Malformed::new(ResultCode::Malformed, field))
    }

    /// A fingerprint of the content: a retry under the same id must have the same. Stable across builds. Folded from
    /// the fields as they are, because hashing them as bytes would first have to write them to memory.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let head =
            u64::from(self.kind.number()) | u64::from(self.asset.0) << 16 | u64::from(self.linked) << 32;
        let place = u64::from(self.session.0) << 32 | u64::from(self.game.0);
        let wide =
            [self.id.0, self.reference, self.amount.0, self.detail.u128_at(0), self.detail.u128_at(16)];
        let seed = fold(head ^ DIGEST_SEED, self.player.number() ^ DIGEST_ODD);
        let folded = wide.into_iter().fold(seed, |folded, word| {
            fold(folded ^ word as u64, (word >> 64) as u64 ^ folded.rotate_left(32) ^ DIGEST_ODD)
        });
        fold(folded ^ place, DIGEST_ODD)
    }

    /// The greatest payout of a reserve, the payout of a settle.
    #[must_use]
    pub fn payout(&self) -> Amount {
        Amount(self.detail.u128_at(PAYOUT_AT))
    }

    /// When a hold may be released by time; `None` = never.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.detail.u64_at(DEADLINE_AT) {
            0 => None,
            time => Some(Timestamp(time)),
        }
    }

    /// The player at the other end of a transfer.
    #[must_use]
    pub fn counterparty(&self) -> PlayerId {
        PlayerId::trusted(self.detail.u64_at(COUNTERPARTY_AT))
    }

    /// The chain that a deposit came over.
    #[must_use]
    pub fn chain(&self) -> u32 {
        self.detail.u32_at(CHAIN_AT)
    }
}

/// Where fields stand in the detail.
pub(crate) const PAYOUT_AT: usize = 0;
pub(crate) const DEADLINE_AT: usize = 16;
pub(crate) const COUNTERPARTY_AT: usize = 0;
/// Filled by the ledger in the record, zero in the request.
pub(crate) const COUNTERPARTY_PREVIOUS_AT: usize = 8;
pub(crate) const CHAIN_AT: usize = 0;

/// Digits of pi: numbers with nothing up their sleeve.
const DIGEST_SEED: u64 = 0x243f_6a88_85a3_08d3;
const DIGEST_ODD: u64 = 0x1319_8a2e_0370_7345;

const fn zero(holds: bool, field: &'static str) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed::new(ResultCode::Malformed, field)) }
}
