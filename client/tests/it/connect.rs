//! Getting in: certificates, and what the first frames say.

use std::time::{Duration, Instant};

use cage_client::engine::{Amount, AssetCode, AssetId, CallerId, GameId, PlayerClass, ResultCode, Role};
use cage_client::protocol::{Ask, Read, Watermark};
use cage_client::{
    Client, Config, ConnectionError, Credentials, CredentialsError, Endpoint, Error, load_authority,
    load_pair, permanent_key,
};

use crate::certs;
use crate::server::{ASSET, Ledger, Server};

/// The whole way of a first bet, each step under the role that may take it.
#[tokio::test]
async fn a_first_bet_from_an_empty_ledger() {
    let server = Server::start(Ledger::new());
    let operator = server.client(Role::Operator).await;
    let code = AssetCode::new("ETH").unwrap();
    let asset = operator.open_asset(code, 18, false, Amount(1 << 90)).await.unwrap();
    assert_eq!(asset, AssetId(1));
    let frontend = server.client(Role::Frontend).await;
    let player = frontend.open_player(CallerId(9), 1, 1, PlayerClass::Real).await.unwrap();
    assert_eq!(frontend.open_player(CallerId(9), 1, 1, PlayerClass::Real).await, Ok(player));
    let cashier = server.client(Role::Cashier).await;
    let key = permanent_key(&[b"ethereum", b"0xabc", b"0"]);
    assert!(!cashier.deposit(key, player, asset, Amount(500), 1).await.unwrap().repeated);
    assert!(cashier.deposit(key, player, asset, Amount(500), 1).await.unwrap().repeated);
    let games = server.client(Role::Games).await;
    let bet = games.reserve(player, asset, Amount(100), Amount(200), GameId::new(1, 1)).await.unwrap();
    let paid = games.settle(player, asset, bet.id, Amount(100), Amount(150)).await.unwrap();
    assert_eq!(paid.available.map(|held| held.0), Some(550));
    let balances = frontend.balances(player, asset).await.unwrap();
    assert_eq!((balances.available.0, balances.reserved.0), (550, 0));
    let totals = frontend.totals(asset).await.unwrap();
    assert_eq!(totals.players.0 + totals.house.0, 0);
    assert!(games.watermark().lsn >= paid.lsn.0);
    for client in [operator, frontend, cashier, games] {
        client.close().await;
    }
}

#[tokio::test]
async fn a_role_that_may_not_ask_is_refused_with_a_number() {
    let server = Server::start(Ledger::new());
    let support = server.client(Role::Support).await;
    let refused = support.open_player(CallerId(9), 1, 1, PlayerClass::Real).await.unwrap_err();
    assert_eq!(refused.code(), Some(ResultCode::RoleNotAllowed));
    assert!(!refused.may_retry());
}

#[tokio::test]
async fn a_stranger_is_told_at_once_that_its_certificate_will_not_do() {
    let server = Server::start(Ledger::new());
    let strangers = certs::folder();
    let own = load_pair(strangers.path(), "frontend").unwrap();
    let credentials = Credentials { authority: load_authority(server.certs.path()).unwrap(), pair: own };
    let begun = Instant::now();
    let error = Client::connect(Config::new(server.address), credentials).await.unwrap_err();
    assert!(matches!(error, ConnectionError::CertificateRefused(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let server = Server::start(Ledger::new());
    let strangers = certs::folder();
    let credentials = Credentials::from_dir(strangers.path(), "frontend").unwrap();
    let error = Client::connect(Config::new(server.address), credentials).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ServerUntrusted(_)), "{error}");
    let mut config = Config::new(server.address);
    config.server_name = "elsewhere".to_owned();
    let error = Client::connect(config, server.credentials(Role::Frontend)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ServerUntrusted(_)), "{error}");
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_in_time() {
    let server = Server::start(Ledger::new());
    let mut config = Config::new("127.0.0.1:9".parse().unwrap());
    config.connect_time = Duration::from_millis(300);
    let error = Client::connect(config, server.credentials(Role::Frontend)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::NoAnswer { .. }), "{error}");
}

#[test]
fn credentials_name_the_file_that_is_wrong_and_never_show_a_key() {
    let dir = certs::folder();
    let missing = Credentials::from_dir(dir.path(), "nobody").unwrap_err();
    assert!(missing.to_string().contains("nobody.pem"), "{missing}");
    std::fs::write(dir.path().join("games.key"), "no key").unwrap();
    let wrong = Credentials::from_dir(dir.path(), "games").unwrap_err();
    assert!(matches!(wrong, CredentialsError::Pem { what: "private key", .. }), "{wrong}");
    let shown = format!("{:?}", Credentials::from_dir(dir.path(), "frontend").unwrap().pair);
    assert_eq!(shown, "Pair { certificates: 1, .. }");
}

/// The parts below the client: 5,000 requests pushed at once come back in order, framed as densely as can be.
#[tokio::test]
async fn a_stream_packs_what_is_pushed_into_full_frames() {
    let server = Server::start(Ledger::with_players(1));
    let endpoint = Endpoint::new(&server.credentials(Role::Frontend), "localhost", server.address).unwrap();
    let mut connection = endpoint.connect(server.address, Watermark::default()).await.unwrap();
    assert_eq!(connection.welcome().in_flight_max, 65_536);
    let (mut sender, mut receiver) = connection.open_stream().await.unwrap().split();
    let asks: Vec<_> = (0..5_000).map(|tag| (tag, Ask::Read(Read::Totals { asset: ASSET }))).collect();
    sender.send(&asks).await.unwrap();
    assert!(!sender.has_unwritten());
    let mut replies = Vec::new();
    while replies.len() < 5_000 {
        receiver.receive(&mut replies).await.unwrap();
    }
    assert!(replies.iter().map(|reply| reply.tag).eq(0..5_000));
    assert_eq!(server.ledger().frames, [1024, 1024, 1024, 1024, 904]);
}

#[tokio::test]
async fn another_log_or_a_shorter_one_is_not_served_from() {
    let server = Server::start(Ledger::with_players(1));
    let endpoint = Endpoint::new(&server.credentials(Role::Frontend), "localhost", server.address).unwrap();
    let seen = Watermark { log_id: 78, ..Watermark::default() };
    let error = endpoint.connect(server.address, seen).await.unwrap_err();
    assert!(matches!(error, ConnectionError::LogDiffers { known: 78, found: 77 }), "{error}");
    let seen = Watermark { log_id: 77, lsn: 1_000, ..Watermark::default() };
    let error = endpoint.connect(server.address, seen).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Behind { seen: 1_000, .. }), "{error}");
}

#[tokio::test]
async fn a_closed_client_takes_nothing_more() {
    let server = Server::start(Ledger::with_players(1));
    let client = server.client(Role::Frontend).await;
    let before = client.totals(ASSET);
    let other = client.clone();
    client.close().await;
    assert!(before.await.is_ok(), "what was submitted before is answered");
    assert!(matches!(other.totals(ASSET).await, Err(Error::NotTaken { code: None, .. })));
}
