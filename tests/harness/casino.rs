//! A ledger with an asset and players, and clients of every role.

use std::path::Path;

use cage_client::{Client, Config, Credentials, permanent_key};
use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, Expiry, GameId, Operation, PlayerClass, PlayerId, RequestId, Role,
    Rule, SessionId, Timestamp,
};

use super::{Ledger, SOON};

/// The most that one operation may name in the casino's asset.
pub(crate) const BOUND: Amount = Amount(1_000_000_000);

/// An asset and players that are open.
#[derive(Clone, Debug)]
pub(crate) struct Casino {
    pub(crate) asset: AssetId,
    pub(crate) players: Vec<PlayerId>,
}

impl Casino {
    /// Opens an asset that can be sent, and some players without money.
    pub(crate) async fn open(ledger: &Ledger, players: u32) -> Self {
        let operator = client(ledger, Role::Operator).await;
        let code = AssetCode::new("CHIP").expect("a code");
        let asset = operator.open_asset(code, 2, true, BOUND).await.expect("an asset");
        for rule in [Rule::TransfersInBrand, Rule::TransfersInJurisdiction] {
            let allowed = operator.submit(Operation::SetRule { rule, scope: 1, value: 1 }).await;
            allowed.expect("transfers are allowed");
        }
        let opened: Vec<_> = (0..players)
            .map(|number| operator.open_player(CallerId(u128::from(number) + 1), 1, 1, PlayerClass::Real))
            .collect();
        let mut numbers = Vec::new();
        for player in opened {
            numbers.push(player.await.expect("a player"));
        }
        operator.close().await;
        Self { asset, players: numbers }
    }

    /// [`Self::open`], and as much money for each player.
    pub(crate) async fn funded(ledger: &Ledger, players: u32, amount: u128) -> Self {
        let casino = Self::open(ledger, players).await;
        let cashier = client(ledger, Role::Cashier).await;
        let deposits: Vec<_> = casino
            .players
            .iter()
            .map(|player| {
                cashier.deposit(key("funds", player.number()), *player, casino.asset, Amount(amount), 1)
            })
            .collect();
        for deposit in deposits {
            deposit.await.expect("a deposit");
        }
        cashier.close().await;
        casino
    }

    pub(crate) fn deposit(&self, player: usize, amount: u128) -> Operation {
        Operation::DepositCredit {
            player: self.players[player],
            asset: self.asset,
            amount: Amount(amount),
            chain: 1,
            locked: None,
            turnover: Amount::ZERO,
        }
    }

    pub(crate) fn transfer(&self, from: usize, to: usize, amount: u128) -> Operation {
        Operation::Transfer {
            from: self.players[from],
            to: self.players[to],
            asset: self.asset,
            amount: Amount(amount),
            session: SessionId::default(),
        }
    }

    pub(crate) fn reserve(&self, player: usize, stake: u128, payout_max: u128) -> Operation {
        Operation::Reserve {
            player: self.players[player],
            asset: self.asset,
            stake: Amount(stake),
            payout_max: Amount(payout_max),
            game: GameId::new(7, 1),
            session: SessionId::default(),
            round: None,
            expiry: Expiry::Never,
        }
    }

    pub(crate) fn settle(&self, player: usize, hold: RequestId, stake: u128, payout: u128) -> Operation {
        let (player, asset) = (self.players[player], self.asset);
        Operation::Settle { player, asset, hold, stake: Amount(stake), payout: Amount(payout) }
    }

    pub(crate) fn cancel(&self, player: usize, hold: RequestId) -> Operation {
        Operation::Cancel { player: self.players[player], asset: self.asset, hold }
    }
}

/// A client of a role, patient enough for a restart of the server.
pub(crate) async fn client(ledger: &Ledger, role: Role) -> Client {
    let config = Config { deadline: SOON, connect_time: SOON, ..Config::new(ledger.address()) };
    Client::connect(config, credentials(&ledger.certs(), role)).await.expect("a connection")
}

/// The development credentials of a role.
pub(crate) fn credentials(certs: &Path, role: Role) -> Credentials {
    Credentials::from_dir(certs, role.name()).expect("credentials")
}

/// The permanent key of a made-up outside fact.
pub(crate) fn key(what: &str, number: u64) -> RequestId {
    permanent_key(&[what.as_bytes(), &number.to_le_bytes()])
}

/// The time of this machine, which the server shares.
pub(crate) fn now() -> Timestamp {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    Timestamp(u64::try_from(since.as_nanos()).expect("a clock before 2554"))
}

/// A new request id.
pub(crate) fn new_id() -> RequestId {
    RequestId::from_time(now(), rand::random())
}
