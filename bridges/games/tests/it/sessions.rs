//! Sessions that are launched over the casino's side: what is on their meter, and that it goes back.
//!
//! What breaks: money that stays on the meter of a session whose player has gone, a session that is ended under a player who plays.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::casino::{Casino, Seat, UNIT};
use crate::harness::http::{Caller, Got, Sent};
use crate::harness::provider::{BEARER, Format, Says, providers};
use crate::harness::{House, SOON, folder, run};
use cage_engine::SessionId;

/// Three formats, and a casino's side that ends sessions which are silent for so many seconds.
fn config(casino: &Casino, silence: u64) -> String {
    let side = "[casino]\nlisten = \"127.0.0.1:0\"\nkey_file = \"bearer.secret\"\nsilence_max_s =";
    format!("{side} {silence}\n{}", providers(casino.asset, ""))
}

fn post(house: &House, path: &str, body: &Value) -> Got {
    let headers = vec![("authorization", format!("Bearer {BEARER}"))];
    let sent = Sent { method: "POST", path: path.to_owned(), headers, body: body.to_string().into_bytes() };
    Caller::new(house.casino_address).call(&sent)
}

/// Launches a game for a new player with 1000 units, 100 of which go on the meter.
async fn launch(house: &House, casino: &Casino) -> Seat {
    let player = casino.player(1_000).await;
    let body = json!({
        "provider": "hub88", "game": "dragon", "currency": "EUR", "amount": "100",
        "token": casino.token(player, 3_600, 100 * UNIT),
    });
    let got = post(house, "/launch", &body);
    assert_eq!(got.status, 200, "{got:?}");
    let said: Value = serde_json::from_str(&got.body).expect("a launch");
    assert_eq!(said["player"].as_str(), Some(player.to_string().as_str()));
    let again = post(house, "/launch", &body);
    assert_eq!(again.body, got.body, "a launch whose answer was lost is asked for again");
    assert_eq!(casino.purses(player).await, (900_000_000, 100_000_000), "and funds once");
    let session =
        SessionId(said["session"].as_u64().and_then(|number| u32::try_from(number).ok()).expect("a number"));
    Seat { player, session, token: said["token"].as_str().expect("a token").to_owned() }
}

/// Waits until nothing is on a player's meter.
async fn returned(casino: &Casino, seat: &Seat) {
    let deadline = Instant::now() + SOON;
    while casino.purses(seat.player).await.1 != 0 {
        assert!(Instant::now() < deadline, "money stays on the meter");
        // Silence has no event at its end: only a look shows it.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn what_is_on_the_meter_of_a_silent_session_goes_back_and_who_is_heard_of_stays() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&config(&casino, 2));
        let (silent, beating, playing) =
            (launch(&house, &casino).await, launch(&house, &casino).await, launch(&house, &casino).await);
        let mut provider = Caller::new(house.bridge_address);
        // The silent one has ended: as long as that lasts, the others are heard of, each in its own way.
        let deadline = Instant::now() + SOON;
        let mut stakes = 0;
        while casino.purses(silent.player).await.1 != 0 {
            assert!(Instant::now() < deadline, "money stays on the meter");
            let got = post(&house, "/heartbeat", &json!({ "session": beating.session.0 }));
            assert_eq!(got.status, 200, "{got:?}");
            let tx = format!("b{stakes}");
            let got = provider
                .call(&Format::Hub88.says(&playing, Says::Bet { tx: &tx, units: "0.01", round: &tx }));
            assert!(got.body.contains("RS_OK"), "{got:?}");
            stakes += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(casino.purses(silent.player).await.0, 1_000_000_000);
        assert_eq!(casino.purses(beating.player).await, (900_000_000, 100_000_000));
        assert_eq!(casino.purses(playing.player).await, (900_000_000, 100_000_000 - stakes * 10_000));
        let got = provider
            .call(&Format::Hub88.says(&silent, Says::Bet { tx: "late", units: "1.00", round: "late" }));
        assert!(got.body.contains("RS_ERROR_INVALID_TOKEN"), "{got:?}");
        let got = post(&house, "/heartbeat", &json!({ "session": silent.session.0 }));
        assert_eq!(got.status, 409, "{got:?}");
        casino.close().await;
        house.audit();
    });
}

/// R4 (GLI-19 4.3.5): whatever becomes of bridge and front-end, the meter returns to the account.
#[test]
fn a_session_that_a_killed_bridge_had_launched_is_ended_by_the_next_one() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        let config = config(&casino, 1);
        house.open_bridge(&config.replace("silence_max_s = 1", "silence_max_s = 3600"));
        let (left, killed) = (launch(&house, &casino).await, launch(&house, &casino).await);
        let leave = json!({ "player": left.player.to_string(), "session": left.session.0 });
        assert_eq!(post(&house, "/leave", &leave).status, 200);
        assert_eq!(casino.purses(left.player).await, (1_000_000_000, 0), "who leaves has it back at once");
        // What was launched is on the disk before the launch is answered.
        house.kill_bridge(&config);
        returned(&casino, &killed).await;
        assert_eq!(casino.purses(killed.player).await.0, 1_000_000_000);
        casino.close().await;
        house.audit();
    });
}
