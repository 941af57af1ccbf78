//! A row of the store: what was asked and answered, as fields and as bytes.
//!
//! In: a row, or bytes of a file. Out: bytes of one length, or a row; nothing if they are of another version of this
//! program. Never here: a file.

use cage_engine::{
    Amount, AssetId, GameId, Lsn, OperationKind, PlayerId, Reference, ResultCode, SessionId, Timestamp,
};

const ROW_BYTES: usize = 108;

/// A transaction of a provider, as it was asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was asked for.
    pub kind: OperationKind,
    /// What the ledger said.
    pub code: ResultCode,
    /// The record that says so.
    pub lsn: Lsn,
    /// When it was answered.
    pub decided: Timestamp,
    /// Whose.
    pub player: PlayerId,
    /// In what.
    pub asset: AssetId,
    /// On which game.
    pub game: GameId,
    /// In which session.
    pub session: SessionId,
    /// How much.
    pub amount: Amount,
    /// The bet that was made, won for or undone.
    pub bet: Reference,
    /// In which round; 0 = not said.
    pub round: Reference,
    /// The provider's other name for the bet; 0 = none.
    pub tag: u32,
    /// Whether the round ended with it.
    pub ends_round: bool,
    /// The balance that was shown; nothing if none could be read.
    pub shown: Option<Amount>,
}

/// A bet of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundBet {
    /// Its transaction.
    pub bet: Reference,
    /// Its row.
    pub row: Row,
    /// Whether it was undone.
    pub cancelled: bool,
}

impl Row {
    pub(super) fn to_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&self.kind.number().to_le_bytes());
        put(&self.code.number().to_le_bytes());
        put(&self.lsn.0.to_le_bytes());
        put(&self.decided.0.to_le_bytes());
        put(&self.player.number().to_le_bytes());
        put(&self.asset.0.to_le_bytes());
        put(&self.game.0.to_le_bytes());
        put(&self.session.0.to_le_bytes());
        put(&self.amount.0.to_le_bytes());
        put(&self.bet.0.to_le_bytes());
        put(&self.round.0.to_le_bytes());
        put(&self.tag.to_le_bytes());
        put(&[u8::from(self.ends_round), u8::from(self.shown.is_some())]);
        put(&self.shown.unwrap_or_default().0.to_le_bytes());
        bytes
    }

    /// Nothing if the bytes are of another version of this program.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest: &[u8] = bytes.first_chunk::<ROW_BYTES>().filter(|_| bytes.len() == ROW_BYTES)?;
        let kind = OperationKind::from_number(u16::from_le_bytes(take(&mut rest)?))?;
        let code = ResultCode::from_number(u16::from_le_bytes(take(&mut rest)?))?;
        let lsn = Lsn(u64::from_le_bytes(take(&mut rest)?));
        let decided = Timestamp(u64::from_le_bytes(take(&mut rest)?));
        let player = PlayerId::new(u64::from_le_bytes(take(&mut rest)?)).ok()?;
        let asset = AssetId(u16::from_le_bytes(take(&mut rest)?));
        let game = GameId(u32::from_le_bytes(take(&mut rest)?));
        let session = SessionId(u32::from_le_bytes(take(&mut rest)?));
        let amount = Amount(u128::from_le_bytes(take(&mut rest)?));
        let bet = Reference(u128::from_le_bytes(take(&mut rest)?));
        let round = Reference(u128::from_le_bytes(take(&mut rest)?));
        let tag = u32::from_le_bytes(take(&mut rest)?);
        let [ends_round, is_shown]: [u8; 2] = take(&mut rest)?;
        let shown = Amount(u128::from_le_bytes(take(&mut rest)?));
        Some(Self {
            kind,
            code,
            lsn,
            decided,
            player,
            asset,
            game,
            session,
            amount,
            bet,
            round,
            tag,
            ends_round: ends_round == 1,
            shown: (is_shown == 1).then_some(shown),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, more) = rest.split_first_chunk::<N>()?;
    *rest = more;
    Some(*first)
}
