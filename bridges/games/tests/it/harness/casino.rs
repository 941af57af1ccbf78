//! Assets, players, sessions: what a casino does before a provider calls.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cage_client::{Client, Config, Credentials, permanent_key};
use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, Operation, PlayerClass, PlayerId, Purse, Role, SessionId,
};
use cage_games::signature::{SharedSecret, unhex};
use cage_games::token::PlayerToken;
use ring::signature::Ed25519KeyPair;

use super::provider::TOKEN_SECRET;
use super::{House, SOON};

/// One unit of the casino's currency in its smallest unit.
pub(crate) const UNIT: u128 = 1_000_000;

/// An open casino and clients of the roles that it needs.
#[derive(Debug)]
pub(crate) struct Casino {
    pub(crate) asset: AssetId,
    pub(crate) operator: Client,
    pub(crate) cashier: Client,
    pub(crate) frontend: Client,
    pub(crate) risk: Client,
    key: Vec<u8>,
    opened: std::cell::Cell<u32>,
}

/// A player who is about to play.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) player: PlayerId,
    pub(crate) session: SessionId,
    /// What the provider is given.
    pub(crate) token: String,
}

pub(crate) async fn client(house: &House, role: Role) -> Client {
    let config = Config { deadline: SOON, connect_time: SOON, ..Config::new(house.ledger_address) };
    let credentials = Credentials::from_dir(&house.certs(), role.name()).expect("credentials");
    Client::connect(config, credentials).await.expect("a connection")
}

impl Casino {
    pub(crate) async fn open(house: &House) -> Self {
        let operator = client(house, Role::Operator).await;
        let code = AssetCode::new("EUR").expect("a code");
        let asset = operator.open_asset(code, 6, false, Amount(1 << 90)).await.expect("an asset");
        let text = std::fs::read_to_string(house.certs().join("session-keys/dev.key")).expect("a key");
        Self {
            asset,
            operator,
            cashier: client(house, Role::Cashier).await,
            frontend: client(house, Role::Frontend).await,
            risk: client(house, Role::Risk).await,
            key: unhex(text.trim().as_bytes()).expect("a key"),
            opened: std::cell::Cell::new(0),
        }
    }

    /// A player with so much money, in units.
    pub(crate) async fn player(&self, units: u128) -> PlayerId {
        let number = self.opened.get() + 1;
        self.opened.set(number);
        let opened = self.operator.open_player(CallerId(u128::from(number)), 1, 1, PlayerClass::Real);
        let player = opened.await.expect("a player");
        let key = permanent_key(&[b"funds", &number.to_le_bytes()]);
        if units > 0 {
            let paid = self.cashier.deposit(key, player, self.asset, Amount(units * UNIT), 1).await;
            paid.expect("a deposit");
        }
        player
    }

    /// A token of the casino's, by hand: PASETO v4.public.
    pub(crate) fn token(&self, player: PlayerId, seconds: i64, topup_max: u128) -> String {
        let until = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        let until = until.format(&time::format_description::well_known::Rfc3339).expect("a time");
        let payload = format!(
            "{{\"sub\":\"{player}\",\"jti\":\"{:032x}\",\"exp\":\"{until}\",\"asset\":{},\"topup_max\":\"{topup_max}\",\"game\":0}}",
            rand::random::<u128>(),
            self.asset
        );
        let footer = "{\"kid\":\"dev\"}";
        let mut signed = 4_u64.to_le_bytes().to_vec();
        for part in ["v4.public.", &payload, footer, ""] {
            signed.extend_from_slice(&(part.len() as u64).to_le_bytes());
            signed.extend_from_slice(part.as_bytes());
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.key[..32]).expect("a key");
        let mut body = payload.into_bytes();
        body.extend_from_slice(pair.sign(&signed).as_ref());
        format!("v4.public.{}.{}", URL_SAFE_NO_PAD.encode(body), URL_SAFE_NO_PAD.encode(footer))
    }

    /// A session with so much on its meter, in units, that lasts so long.
    pub(crate) async fn seat_for(&self, player: PlayerId, provider: u16, units: u128, seconds: i64) -> Seat {
        let token = self.token(player, seconds, 0);
        let session = self.frontend.open_session(token.as_bytes()).await.expect("a session");
        if units > 0 {
            let amount = Amount(units * UNIT);
            let fund = Operation::AllowanceFund { player, asset: self.asset, amount, session };
            self.frontend.submit(fund).await.expect("money on the meter");
        }
        let secret = SharedSecret::new(TOKEN_SECRET.as_bytes());
        let token = PlayerToken { player, session, generation: 0 }.text(provider, &secret);
        Seat { player, session, token }
    }

    /// A new player with so much money, of which so much is on the meter of a session.
    pub(crate) async fn seat(&self, provider: u16, units: u128, meter: u128) -> Seat {
        let player = self.player(units).await;
        self.seat_for(player, provider, meter, 3_600).await
    }

    /// All that a player owns, in smallest units: (available, on meters).
    pub(crate) async fn purses(&self, player: PlayerId) -> (i128, i128) {
        let available = self.frontend.purse(player, self.asset, Purse::Available).await.expect("a purse");
        let allowance = self.frontend.purse(player, self.asset, Purse::Allowance).await.expect("a purse");
        (available.0, allowance.0)
    }

    /// What a player has in open bets.
    pub(crate) async fn reserved(&self, player: PlayerId) -> i128 {
        self.frontend.purse(player, self.asset, Purse::Reserved).await.expect("a purse").0
    }

    pub(crate) async fn close(self) {
        for client in [self.operator, self.cashier, self.frontend, self.risk] {
            client.close().await;
        }
    }
}
