//! A request: what a caller asks, in the one fixed shape that wire and log share.
//!
//! In: bytes from outside, or a typed [`Operation`](crate::Operation). Out: a request whose every field has been
//! checked as far as that is possible without knowing the ledger. Never here: the ledger's state.

use rkyv::{Archive, Serialize};

use crate::amount::Amount;
use crate::code::ResultCode;
use crate::field::Shape;
use crate::id::{AssetId, GameId, PlayerId, RequestId, SessionId};
use crate::layout;
use crate::operation::{self, OperationKind};
use crate::state::fold;
use crate::table::{AmountRule, IdRule, Spec};
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
    /// Whether the round ends with it.
    pub ends_round: bool,
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
    /// In which game; for what concerns a chain, its number.
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
const FLAG_ENDS_ROUND: u16 = 2;
const FLAGS: u16 = FLAG_LINKED | FLAG_ENDS_ROUND;

impl Request {
    /// The request in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; REQUEST_BYTES] {
        layout::write(&RequestLayout {
            kind: self.kind.number(),
            asset: self.asset.0,
            flags: self.flags(),
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

    const fn flags(&self) -> u16 {
        (if self.linked { FLAG_LINKED } else { 0 }) | (if self.ends_round { FLAG_ENDS_ROUND } else { 0 })
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
        if flags & !FLAGS != 0 || layout.reserved.to_native() != 0 {
            return Err(Malformed::new(ResultCode::Malformed, "flags"));
        }
        let request = Self {
            kind,
            asset: AssetId(layout.asset.to_native()),
            linked: flags & FLAG_LINKED != 0,
            ends_round: flags & FLAG_ENDS_ROUND != 0,
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
            _ if self.id == RequestId::NONE => return Err(Malformed::new(ResultCode::IdZero, "id")),
            IdRule::Request | IdRule::Permanent | IdRule::Reference => {}
        }
        let shape = self.kind.shape();
        self.check_amounts(spec, shape)?;
        self.check_places(shape)?;
        operation::check_detail(self)?;
        (spec.check)(self).map_err(|field| Malformed::new(ResultCode::Malformed, field))
    }

    fn check_amounts(&self, spec: &Spec, shape: &Shape) -> Result<(), Malformed> {
        let mut over = self.amount > Amount::MAX;
        let mut amounts = shape.detail_amounts;
        while amounts != 0 {
            over |= Amount(self.detail.u128_at(amounts.trailing_zeros() as usize)) > Amount::MAX;
            amounts &= amounts - 1;
        }
        if over {
            return Err(Malformed::new(ResultCode::AmountOverLimit, "amount"));
        }
        let missing = match spec.amount {
            AmountRule::Any => return zero(shape.amount || self.amount.is_zero(), "amount"),
            AmountRule::Positive => self.amount.is_zero(),
            AmountRule::PositiveOrPayout => self.amount.is_zero() && self.payout().is_zero(),
        };
        if missing { Err(Malformed::new(ResultCode::AmountZero, "amount")) } else { Ok(()) }
    }

    /// What an operation has no field for is zero, what it needs is not.
    fn check_places(&self, shape: &Shape) -> Result<(), Malformed> {
        zero(shape.reference.is_met(self.reference == 0), "reference")?;
        zero(shape.asset.is_met(self.asset == AssetId::NONE), "asset")?;
        zero(shape.player.is_met(self.player == PlayerId::NONE), "player")?;
        zero(shape.game || self.game == GameId::default(), "game")?;
        zero(shape.session || self.session == SessionId::NONE, "session")?;
        zero(shape.ends_round || !self.ends_round, "ends_round")?;
        let used = shape.detail;
        let unused = |(at, byte): (usize, &u8)| used >> at & 1 == 1 || *byte == 0;
        zero(self.detail.0.iter().enumerate().all(unused), "detail")
    }

    /// A fingerprint of the content: a retry under the same id must have the same. Stable across builds. Folded from
    /// the fields as they are, because hashing them as bytes would first have to write them to memory.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let head =
            u64::from(self.kind.number()) | u64::from(self.asset.0) << 16 | u64::from(self.flags()) << 32;
        let place = u64::from(self.session.0) << 32 | u64::from(self.game.0);
        let wide =
            [self.id.0, self.reference, self.amount.0, self.detail.u128_at(0), self.detail.u128_at(16)];
        let seed = fold(head ^ DIGEST_SEED, self.player.number() ^ DIGEST_ODD);
        let folded = wide.into_iter().fold(seed, |folded, word| {
            fold(folded ^ word as u64, (word >> 64) as u64 ^ folded.rotate_left(32) ^ DIGEST_ODD)
        });
        fold(folded ^ place, DIGEST_ODD)
    }

    /// The digest without the id: two reports of one outside fact under different ids have the same.
    #[must_use]
    pub fn content_digest(&self) -> u64 {
        Self { id: RequestId::NONE, ..*self }.digest()
    }

    /// The greatest payout of a wager, the payout of what ends one.
    #[must_use]
    pub const fn payout(&self) -> Amount {
        Amount(self.detail.u128_at(PAYOUT_AT))
    }

    /// When a hold may be released by time; `None` = never.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self.detail.u64_at(DEADLINE_AT) {
            0 => None,
            time => Some(Timestamp(time)),
        }
    }

    /// The player at the other end of a transfer.
    #[must_use]
    pub const fn counterparty(&self) -> PlayerId {
        PlayerId::trusted(self.detail.u64_at(COUNTERPARTY_AT))
    }

    /// The chain that an operation of the cashier is about.
    #[must_use]
    pub const fn chain(&self) -> u32 {
        self.game.0
    }

    /// The reference, as the id of a request.
    #[must_use]
    pub const fn target(&self) -> RequestId {
        RequestId(self.reference)
    }
}

/// Where fields stand in the detail that are looked at on the way of every wager. The list of all fields is in
/// [`operation`](crate::operation); that these agree with it is checked below.
pub(crate) const PAYOUT_AT: usize = 0;
pub(crate) const DEADLINE_AT: usize = 16;
pub(crate) const ROUND_AT: usize = 16;
pub(crate) const COUNTERPARTY_AT: usize = 0;
/// Filled by the ledger in the record, zero in the request.
pub(crate) const COUNTERPARTY_PREVIOUS_AT: usize = 8;

/// Digits of pi: numbers with nothing up their sleeve.
const DIGEST_SEED: u64 = 0x243f_6a88_85a3_08d3;
const DIGEST_ODD: u64 = 0x1319_8a2e_0370_7345;

const fn zero(holds: bool, field: &'static str) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed::new(ResultCode::Malformed, field)) }
}
