//! The operations by name. All of them submit at once; the answer can be awaited later.

use cage_engine::{
    Amount, AssetCode, AssetId, Balance, CallerId, Expiry, GameId, Operation, PlayerClass, PlayerId, Purse,
    RequestId, SessionId,
};
use cage_protocol::Read;

use super::{Balances, Client, Submitted, Totals};
use crate::outcome::{Error, Executed};

impl Client {
    /// Opens an asset, or gives the number of the one of this code. For operators.
    pub fn open_asset(
        &self,
        code: AssetCode,
        scale: u8,
        transfers: bool,
        amount_max: Amount,
    ) -> impl Future<Output = Result<AssetId, Error>> + Send + use<> {
        let opened = self.submit(Operation::OpenAsset { code, scale, transfers, amount_max });
        async { opened.await.map(|executed| executed.asset) }
    }

    /// Opens a player, or gives the number of the one of this caller id.
    pub fn open_player(
        &self,
        caller_id: CallerId,
        brand: u16,
        jurisdiction: u16,
        class: PlayerClass,
    ) -> impl Future<Output = Result<PlayerId, Error>> + Send + use<> {
        let opened = self.submit(Operation::OpenPlayer { caller_id, brand, jurisdiction, class });
        async {
            let executed = opened.await?;
            // A number with wrong check digits cannot have been handed out: then it is not known what was.
            PlayerId::new(executed.player).map_err(|_| Error::Unknown { id: executed.id })
        }
    }

    /// Credits a deposit, once per `key`: the [permanent key](crate::permanent_key) of the outside fact.
    pub fn deposit(
        &self,
        key: RequestId,
        player: PlayerId,
        asset: AssetId,
        amount: Amount,
        chain: u32,
    ) -> Submitted {
        self.submit_with_id(
            key,
            Operation::DepositCredit { player, asset, amount, chain, locked: None, turnover: Amount::ZERO },
        )
    }

    /// Moves money from one player to another.
    pub fn transfer(&self, from: PlayerId, to: PlayerId, asset: AssetId, amount: Amount) -> Submitted {
        self.submit(Operation::Transfer { from, to, asset, amount, session: SessionId::default() })
    }

    /// Sets a stake aside. The answer's id is the hold's name; it never expires by itself.
    pub fn reserve(
        &self,
        player: PlayerId,
        asset: AssetId,
        stake: Amount,
        payout_max: Amount,
        game: GameId,
    ) -> Submitted {
        let (session, round, expiry) = (SessionId::NONE, None, Expiry::Never);
        self.submit(Operation::Reserve { player, asset, stake, payout_max, game, session, round, expiry })
    }

    /// Takes `stake` from a hold and pays `payout`.
    pub fn settle(
        &self,
        player: PlayerId,
        asset: AssetId,
        hold: RequestId,
        stake: Amount,
        payout: Amount,
    ) -> Submitted {
        self.submit(Operation::Settle { player, asset, hold, stake, payout })
    }

    /// Gives back what is left of a hold.
    pub fn cancel(&self, player: PlayerId, asset: AssetId, hold: RequestId) -> Submitted {
        self.submit(Operation::Cancel { player, asset, hold })
    }

    /// Opens the session that a signed token is for, or gives the number of the one that was opened for it before.
    pub fn open_session(
        &self,
        token: &[u8],
    ) -> impl Future<Output = Result<SessionId, Error>> + Send + use<> {
        let opened = self.submit_token(token);
        async {
            let executed = opened.await?;
            let number = u32::try_from(executed.player);
            // A number that no session has cannot have been handed out: then it is not known what was.
            number.map(SessionId).map_err(|_| Error::Unknown { id: executed.id })
        }
    }

    /// Takes the sole right to act for a provider (role games) or a chain (role chain). Gives the grant's number, for
    /// [`Self::with_grant`]; whoever had it before is refused from here on.
    pub fn grant(&self, venue: u32) -> impl Future<Output = Result<u64, Error>> + Send + use<> {
        let granted = self.submit(Operation::Grant { venue });
        async { granted.await.map(|executed| executed.player) }
    }

    /// One purse of a player.
    pub fn purse(
        &self,
        player: PlayerId,
        asset: AssetId,
        purse: Purse,
    ) -> impl Future<Output = Result<Balance, Error>> + Send + use<> {
        let read = self.read(Read::Purse { player, asset, purse });
        async { read.await.map(|executed| executed.available.unwrap_or_default()) }
    }

    /// A player's purses in an asset.
    pub fn balances(
        &self,
        player: PlayerId,
        asset: AssetId,
    ) -> impl Future<Output = Result<Balances, Error>> + Send + use<> {
        let read = self.read(Read::Balances { player, asset });
        async {
            let Executed { available, reserved, lsn, .. } = read.await?;
            let (available, reserved) = (available.unwrap_or_default(), reserved.unwrap_or_default());
            Ok(Balances { available, reserved, as_of: lsn })
        }
    }

    /// What all players, and what the house, hold of an asset.
    pub fn totals(&self, asset: AssetId) -> impl Future<Output = Result<Totals, Error>> + Send + use<> {
        let read = self.read(Read::Totals { asset });
        async {
            let Executed { available, reserved, lsn, .. } = read.await?;
            let (players, house) = (available.unwrap_or_default(), reserved.unwrap_or_default());
            Ok(Totals { players, house, as_of: lsn })
        }
    }
}
