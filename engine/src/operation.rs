//! The operations as types: what a program builds and a person reads. A [`Request`] is their fixed-size form.
//!
//! In: values that are valid by their types. Out: requests, and back. Never here: rules that need the ledger.

use core::fmt;

use crate::amount::Amount;
use crate::id::{AssetId, CallerId, GameId, PlayerId, RequestId, SessionId};
use crate::request::{COUNTERPARTY_AT, DEADLINE_AT, Detail, Malformed, PAYOUT_AT, Request};
use crate::table::OperationKind;
use crate::time::Timestamp;

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

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
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

/// Whether a player's money is real.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PlayerClass {
    /// A customer.
    #[default]
    Real = 0,
    /// A tester: left out of reports.
    Test = 1,
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
}

/// The least number of ids that can be remembered.
pub const IDS_CAPACITY_MIN: u64 = 16;
/// The greatest number of ids that can be remembered: their places are numbered in 30 bits.
pub const IDS_CAPACITY_MAX: u64 = 1 << 30;
/// The greatest number of open holds.
pub const HOLDS_MAX: u64 = 1 << 27;

impl Settings {
    /// For a server: 64 Mi ids, ten minutes at 100,000 a second.
    pub const DEFAULT: Self = Self {
        ids_capacity: 64 << 20,
        ids_retention_millis: 10 * 60 * 1000,
        holds_max: 16 << 20,
        players_max: 100_000_000,
    };

    pub(crate) const fn from_detail(detail: &Detail) -> Self {
        Self {
            ids_capacity: detail.u64_at(0),
            ids_retention_millis: detail.u64_at(8),
            holds_max: detail.u64_at(16),
            players_max: detail.u64_at(24),
        }
    }

    fn to_detail(self) -> Detail {
        Detail::default()
            .with(0, &self.ids_capacity.to_le_bytes())
            .with(8, &self.ids_retention_millis.to_le_bytes())
            .with(16, &self.holds_max.to_le_bytes())
            .with(24, &self.players_max.to_le_bytes())
    }
}

/// Everything that can be asked of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// See [`OperationKind::Configure`].
    Configure(Settings),
    /// See [`OperationKind::StateDigest`].
    StateDigest {
        /// The digest of the state before this record.
        digest: [u8; 32],
    },
    /// See [`OperationKind::OpenAsset`].
    OpenAsset {
        /// Its short name.
        code: AssetCode,
        /// How many decimal places the smallest unit stands behind the usual one: 18 for ether.
        scale: u8,
        /// Whether players may send it to each other.
        transfers: bool,
        /// The most that one operation may name.
        amount_max: Amount,
    },
    /// See [`OperationKind::OpenPlayer`].
    OpenPlayer {
        /// The caller's own name for the player.
        caller_id: CallerId,
        /// The brand that the player signed up with.
        brand: u16,
        /// The jurisdiction that the player falls under.
        jurisdiction: u16,
        /// Whether the money is real.
        class: PlayerClass,
    },
    /// See [`OperationKind::DepositCredit`].
    DepositCredit {
        /// Whose deposit.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// How much.
        amount: Amount,
        /// Over which chain.
        chain: u32,
    },
    /// See [`OperationKind::Transfer`].
    Transfer {
        /// Who pays.
        from: PlayerId,
        /// Who receives.
        to: PlayerId,
        /// What.
        asset: AssetId,
        /// How much.
        amount: Amount,
        /// In which of the payer's sessions.
        session: SessionId,
    },
    /// See [`OperationKind::Reserve`].
    Reserve {
        /// Who bets.
        player: PlayerId,
        /// What.
        asset: AssetId,
        /// How much.
        stake: Amount,
        /// The most that the bet can pay, stake included.
        payout_max: Amount,
        /// On which game.
        game: GameId,
        /// In which session.
        session: SessionId,
        /// What happens if nobody ends it.
        expiry: Expiry,
    },
    /// See [`OperationKind::Settle`].
    Settle {
        /// Who bet.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// The reserve's request id.
        hold: RequestId,
        /// How much of the hold's stake this takes.
        stake: Amount,
        /// How much it pays.
        payout: Amount,
    },
    /// See [`OperationKind::Cancel`].
    Cancel {
        /// Who bet.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// The reserve's request id.
        hold: RequestId,
    },
    /// See [`OperationKind::Expire`].
    Expire {
        /// Who bet.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// The reserve's request id.
        hold: RequestId,
    },
}

impl Operation {
    /// Which row of the table this is.
    #[must_use]
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::Configure(_) => OperationKind::Configure,
            Self::StateDigest { .. } => OperationKind::StateDigest,
            Self::OpenAsset { .. } => OperationKind::OpenAsset,
            Self::OpenPlayer { .. } => OperationKind::OpenPlayer,
            Self::DepositCredit { .. } => OperationKind::DepositCredit,
            Self::Transfer { .. } => OperationKind::Transfer,
            Self::Reserve { .. } => OperationKind::Reserve,
            Self::Settle { .. } => OperationKind::Settle,
            Self::Cancel { .. } => OperationKind::Cancel,
            Self::Expire { .. } => OperationKind::Expire,
        }
    }

    /// The request that asks for this under `id`. For [`Self::DepositCredit`], `id` is the permanent key.
    #[must_use]
    pub fn request(&self, id: RequestId) -> Request {
        let mut request = Request {
            kind: self.kind(),
            asset: AssetId::NONE,
            linked: false,
            id,
            reference: 0,
            amount: Amount::ZERO,
            player: PlayerId::NONE,
            session: SessionId::default(),
            game: GameId::default(),
            detail: Detail::default(),
        };
        self.fill(&mut request);
        request
    }

    fn fill(&self, request: &mut Request) {
        match *self {
            Self::Configure(settings) => request.detail = settings.to_detail(),
            Self::StateDigest { digest } => request.detail = Detail(digest),
            Self::OpenAsset { code, scale, transfers, amount_max } => {
                request.amount = amount_max;
                request.detail =
                    Detail::default().with(0, code.bytes()).with(16, &[scale, u8::from(transfers)]);
            }
            Self::OpenPlayer { caller_id, brand, jurisdiction, class } => {
                request.reference = caller_id.0;
                request.detail = Detail::default()
                    .with(0, &brand.to_le_bytes())
                    .with(2, &jurisdiction.to_le_bytes())
                    .with(4, &[class as u8]);
            }
            Self::DepositCredit { player, asset, amount, chain } => {
                (request.player, request.asset, request.amount) = (player, asset, amount);
                request.detail = Detail::default().with(0, &chain.to_le_bytes());
            }
            Self::Transfer { from, to, asset, amount, session } => {
                (request.player, request.asset, request.amount) = (from, asset, amount);
                request.session = session;
                request.detail = Detail::default().with(COUNTERPARTY_AT, &to.number().to_le_bytes());
            }
            Self::Reserve { player, asset, stake, payout_max, game, session, expiry } => {
                (request.player, request.asset, request.amount) = (player, asset, stake);
                (request.game, request.session) = (game, session);
                let deadline = match expiry {
                    Expiry::Never => 0,
                    // The beginning of time has passed all the same, and 0 means never.
                    Expiry::Release(at) => at.0.max(1),
                };
                request.detail = Detail::default()
                    .with(PAYOUT_AT, &payout_max.0.to_le_bytes())
                    .with(DEADLINE_AT, &deadline.to_le_bytes());
            }
            Self::Settle { player, asset, hold, stake, payout } => {
                (request.player, request.asset, request.amount) = (player, asset, stake);
                request.reference = hold.0;
                request.detail = Detail::default().with(PAYOUT_AT, &payout.0.to_le_bytes());
            }
            Self::Cancel { player, asset, hold } | Self::Expire { player, asset, hold } => {
                (request.player, request.asset, request.reference) = (player, asset, hold.0);
            }
        }
    }
}

impl TryFrom<&Request> for Operation {
    type Error = Malformed;

    /// Reads a request back as its operation; fails where [`Request::parse`] would have.
    fn try_from(request: &Request) -> Result<Self, Malformed> {
        let Request { asset, player, detail, .. } = *request;
        let hold = RequestId(request.reference);
        Ok(match request.kind {
            OperationKind::Configure => Self::Configure(Settings::from_detail(&detail)),
            OperationKind::StateDigest => Self::StateDigest { digest: detail.0 },
            OperationKind::OpenAsset => {
                let asset = asset_facts(&detail)
                    .map_err(|field| Malformed { code: crate::ResultCode::Malformed, field })?;
                Self::OpenAsset {
                    code: asset.0,
                    scale: asset.1,
                    transfers: asset.2,
                    amount_max: request.amount,
                }
            }
            OperationKind::OpenPlayer => {
                let (brand, jurisdiction, class) = player_facts(&detail)
                    .map_err(|field| Malformed { code: crate::ResultCode::Malformed, field })?;
                Self::OpenPlayer { caller_id: CallerId(request.reference), brand, jurisdiction, class }
            }
            OperationKind::DepositCredit => {
                Self::DepositCredit { player, asset, amount: request.amount, chain: request.chain() }
            }
            OperationKind::Transfer => Self::Transfer {
                from: player,
                to: request.counterparty(),
                asset,
                amount: request.amount,
                session: request.session,
            },
            OperationKind::Reserve => Self::Reserve {
                player,
                asset,
                stake: request.amount,
                payout_max: request.payout(),
                game: request.game,
                session: request.session,
                expiry: request.deadline().map_or(Expiry::Never, Expiry::Release),
            },
            OperationKind::Settle => {
                Self::Settle { player, asset, hold, stake: request.amount, payout: request.payout() }
            }
            OperationKind::Cancel => Self::Cancel { player, asset, hold },
            OperationKind::Expire => Self::Expire { player, asset, hold },
        })
    }
}

/// The greatest scale: more decimal places than any chain in use has.
pub const SCALE_MAX: u8 = 30;

pub(crate) fn asset_facts(detail: &Detail) -> Result<(AssetCode, u8, bool), &'static str> {
    let code = AssetCode::from_bytes(detail.u128_at(0).to_le_bytes()).ok_or("code")?;
    let scale = detail.0[16];
    if scale > SCALE_MAX {
        return Err("scale");
    }
    match detail.0[17] {
        0 => Ok((code, scale, false)),
        1 => Ok((code, scale, true)),
        _ => Err("transfers"),
    }
}

pub(crate) fn player_facts(detail: &Detail) -> Result<(u16, u16, PlayerClass), &'static str> {
    let class = match detail.0[4] {
        0 => PlayerClass::Real,
        1 => PlayerClass::Test,
        _ => return Err("class"),
    };
    Ok((detail.u16_at(0), detail.u16_at(2), class))
}

pub(crate) fn check_asset_detail(detail: &Detail) -> Result<(), &'static str> {
    asset_facts(detail).map(|_| ())
}

pub(crate) fn check_player_detail(detail: &Detail) -> Result<(), &'static str> {
    player_facts(detail).map(|_| ())
}
