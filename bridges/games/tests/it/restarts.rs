//! Restarts between a call and its repeat.
//!
//! What breaks: a rollback that is forgotten, a bet that is taken twice, a win that no longer finds its bet.

use cage_engine::{AssetId, Role};

use crate::harness::casino::{Casino, client};
use crate::harness::http::Caller;
use crate::harness::provider::{Format, SHARED, Says, providers, with_secret};
use crate::harness::{House, folder, run};

/// The bridge as a thread of the server: it drains with it, and goes on where it was.
#[test]
fn a_bridge_inside_the_server_serves_providers_drains_with_it_and_goes_on() {
    run(async {
        let dir = folder();
        let mut house = House::with_bridge_inside(dir.path(), &providers(AssetId(1), ""));
        let casino = Casino::open(&house).await;
        assert_eq!(casino.asset, AssetId(1));
        let mut told = Vec::new();
        for format in Format::ALL {
            let seat = casino.seat(format.number(), 1_000, 100).await;
            let bet = format.says(&seat, Says::Bet { tx: "b", units: "2.50", round: "r" });
            let got = Caller::new(house.bridge_address).call(&bet);
            assert!(format.understands(&got).0.ends_with(['K', '0']), "{format:?}: {got:?}");
            told.push((format, seat, bet, got));
        }
        house.drain_and_open_with_bridge_inside();
        for (format, seat, bet, got) in &told {
            assert_eq!(&Caller::new(house.bridge_address).call(bet), got, "{format:?}");
            let (available, meter) = casino.purses(seat.player).await;
            assert_eq!(available + meter, 997_500_000, "{format:?}: once");
        }
        casino.close().await;
        house.audit();
    });
}

/// Two bridges for one provider: the one whose place was taken ends by itself, and moves nothing.
#[test]
fn a_bridge_whose_place_was_taken_ends_and_says_so() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&providers(casino.asset, ""));
        let format = Format::Hub88;
        let seat = casino.seat(format.number(), 1_000, 100).await;
        // What a second bridge does first.
        let second = client(&house, Role::Games).await;
        second.grant(u32::from(format.number())).await.expect("a grant");
        let bet = format.says(&seat, Says::Bet { tx: "b", units: "2.50", round: "r" });
        let got = Caller::new(house.bridge_address).call(&bet);
        assert!(!format.understands(&got).0.ends_with("OK"), "{got:?}");
        assert_eq!(house.end_of_bridge().code(), Some(3));
        let (available, meter) = casino.purses(seat.player).await;
        assert_eq!(available + meter, 1_000_000_000);
        second.close().await;
        casino.close().await;
        house.audit();
    });
}

/// W1: the memory of an early rollback outlives the bridge and the ledger.
#[test]
fn a_rollback_that_came_first_is_remembered_over_restarts_and_its_bet_is_never_debited() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        let config = providers(casino.asset, "");
        house.open_bridge(&config);
        let mut calls = Vec::new();
        for format in Format::ALL {
            let seat = casino.seat(format.number(), 1_000, 100).await;
            let mut caller = Caller::new(house.bridge_address);
            caller.call(&format.says(&seat, Says::Rollback { tx: "x", target: "b", round: "r" }));
            calls.push((format, seat));
        }
        house.kill_ledger();
        house.kill_bridge(&config);
        let mut caller = Caller::new(house.bridge_address);
        for (format, seat) in &calls {
            let late = format.says(seat, Says::Bet { tx: "b", units: "2.50", round: "r" });
            let got = caller.call(&late);
            assert_ne!(got.body, "", "{format:?}");
            let (available, meter) = casino.purses(seat.player).await;
            assert_eq!(available + meter, 1_000_000_000, "{format:?}: {got:?}");
        }
        casino.close().await;
        house.audit();
    });
}

#[test]
fn repeats_after_restarts_get_the_same_bytes_and_wins_find_their_bets() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        let config = providers(casino.asset, "");
        house.open_bridge(&config);
        let mut told = Vec::new();
        for format in Format::ALL {
            let seat = casino.seat(format.number(), 1_000, 100).await;
            let mut caller = Caller::new(house.bridge_address);
            let bet = format.says(&seat, Says::Bet { tx: "b", units: "2.50", round: "r" });
            let win =
                format.says(&seat, Says::Win { tx: "w", bet: "b", units: "1.00", round: "r", ends: false });
            let got = (caller.call(&bet), caller.call(&win));
            told.push((format, seat, bet, win, got));
        }
        house.drain_bridge();
        house.kill_ledger();
        house.open_bridge(&config);
        let mut caller = Caller::new(house.bridge_address);
        for (format, seat, bet, win, got) in &told {
            assert_eq!((&caller.call(bet), &caller.call(win)), (&got.0, &got.1), "{format:?}");
            let more =
                format.says(seat, Says::Win { tx: "w2", bet: "b", units: "0.50", round: "r", ends: true });
            assert!(format.understands(&caller.call(&more)).0.ends_with(['K', '0']), "{format:?}");
            let (available, meter) = casino.purses(seat.player).await;
            assert_eq!(available + meter, 999_000_000, "{format:?}: once each");
        }
        casino.close().await;
        house.audit();
    });
}

/// W2: while the ledger is away the provider is told to ask again, never that all is well, never that it was refused.
#[test]
fn without_a_ledger_every_call_is_answered_ask_again_and_the_repeat_counts_once() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        let config = providers(casino.asset, "");
        house.open_bridge(&config);
        let mut seats = Vec::new();
        for format in Format::ALL {
            let seat = casino.seat(format.number(), 1_000, 100).await;
            let mut caller = Caller::new(house.bridge_address);
            let first = format.says(&seat, Says::Bet { tx: "a", units: "1.00", round: "r" });
            caller.call(&first);
            seats.push((format, seat));
        }
        house.stop_ledger();
        let word = ["RS_ERROR_TIMEOUT", "500/500", "PAM_ERR_TIMEOUT"];
        for (place, (format, seat)) in seats.iter().enumerate() {
            let mut caller = Caller::new(house.bridge_address);
            for says in [
                Says::Bet { tx: "b", units: "2.50", round: "r" },
                Says::Rollback { tx: "x", target: "a", round: "r" },
            ] {
                let got = caller.call(&format.says(seat, says));
                assert_eq!(format.understands(&got).0, word[place], "{format:?}, {says:?}: {got:?}");
            }
        }
        house.kill_ledger();
        let mut caller = Caller::new(house.bridge_address);
        for (format, seat) in &seats {
            for says in [
                Says::Bet { tx: "b", units: "2.50", round: "r" },
                Says::Bet { tx: "b", units: "2.50", round: "r" },
                Says::Rollback { tx: "x", target: "a", round: "r" },
            ] {
                let got = caller.call(&format.says(seat, says));
                assert!(format.understands(&got).0.ends_with(['K', '0']), "{format:?}, {says:?}: {got:?}");
            }
            let (available, meter) = casino.purses(seat.player).await;
            assert_eq!(available + meter, 997_500_000, "{format:?}");
        }
        casino.close().await;
        house.audit();
    });
}

/// W6: a call's actions happen together or not at all.
#[test]
fn a_bet_and_a_win_of_one_call_happen_together_or_not_at_all() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&providers(casino.asset, ""));
        let mut caller = Caller::new(house.bridge_address);
        let seat = casino.seat(8, 1_000, 100).await;
        let mut play = |round: &str, actions: &str| {
            let body = format!(
                "{{\"session_id\":\"{}\",\"user_id\":\"{}\",\"currency\":\"EUR\",\"game\":\"dragon\",\"game_id\":\"{round}\",\
                 \"finished\":true,\"actions\":[{actions}]}}",
                seat.token, seat.player
            );
            let sent = with_secret(SHARED, "/softswiss/play", body);
            let got = caller.call(&sent);
            assert_eq!(got, caller.call(&sent), "a repeat of all of it has the same bytes");
            got
        };
        let both = "{\"action\":\"bet\",\"action_id\":\"a-1\",\"amount\":250},{\"action\":\"win\",\"action_id\":\"a-2\",\"amount\":700}";
        let got = play("r-1", both);
        assert!(got.status == 200 && got.body.contains("\"balance\":10450"), "{got:?}");
        // The bet is good; the second one is not, and takes the first and the win with it.
        let three = "{\"action\":\"bet\",\"action_id\":\"b-1\",\"amount\":250},\
                     {\"action\":\"win\",\"action_id\":\"b-2\",\"amount\":700},\
                     {\"action\":\"bet\",\"action_id\":\"b-3\",\"amount\":99999}";
        let got = play("r-2", three);
        assert_eq!((got.status, got.body.contains("\"code\":100")), (412, true), "{got:?}");
        let (available, meter) = casino.purses(seat.player).await;
        assert_eq!(available + meter, 1_004_500_000);
        let jackpot = "{\"action\":\"bet\",\"action_id\":\"c-1\",\"amount\":100},\
                       {\"action\":\"win\",\"action_id\":\"c-2\",\"amount\":5100,\"jackpot_win\":5000}";
        let got = play("r-3", jackpot);
        assert_eq!(got.status, 200, "{got:?}");
        let (available, meter) = casino.purses(seat.player).await;
        assert_eq!(available + meter, 1_054_500_000, "a jackpot is paid to the player, a win to the meter");
        casino.close().await;
        house.audit();
    });
}

/// The store is a cache of the log: forgotten and read again it is the same, but for the balances that were shown.
#[test]
fn a_store_that_was_forgotten_is_read_from_the_log_again() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        let config = providers(casino.asset, "");
        house.open_bridge(&config);
        let mut wins = Vec::new();
        for format in Format::ALL {
            let seat = casino.seat(format.number(), 1_000, 100).await;
            let mut caller = Caller::new(house.bridge_address);
            for says in [
                Says::Bet { tx: "b", units: "2.50", round: "r" },
                Says::Bet { tx: "c", units: "500", round: "r" },
                Says::Win { tx: "w", bet: "b", units: "1.00", round: "r", ends: false },
                Says::Win { tx: "early", bet: "z", units: "1.00", round: "z", ends: false },
                Says::Bet { tx: "z", units: "1.00", round: "z" },
                Says::Win { tx: "early", bet: "z", units: "1.00", round: "z", ends: true },
                Says::Rollback { tx: "x", target: "never", round: "r" },
            ] {
                caller.call(&format.says(&seat, says));
            }
            wins.push((format, seat));
        }
        let rows = |house: &House| {
            let store = cage_games::store::Store::open(&house.games_dir()).expect("a store");
            let rows = store.rows().expect("rows").into_iter();
            rows.map(|(key, row)| (key, cage_games::store::Row { shown: None, ..row })).collect::<Vec<_>>()
        };
        // The first start after it takes what the log has in place of the bridge's own.
        for _ in 0..2 {
            house.drain_bridge();
            house.open_bridge(&config);
        }
        house.drain_bridge();
        let before = rows(&house);
        house.forget();
        assert_eq!(rows(&house), []);
        house.open_bridge(&config);
        // A win that names no bet finds it, from the log alone.
        let mut caller = Caller::new(house.bridge_address);
        for (format, seat) in &wins {
            let win =
                format.says(seat, Says::Win { tx: "w", bet: "b", units: "1.00", round: "r", ends: false });
            assert!(
                format.understands(&caller.call(&win)).0.ends_with(['K', '0']),
                "{format:?}: the same win again"
            );
            let (available, meter) = casino.purses(seat.player).await;
            assert_eq!(available + meter, 998_500_000, "{format:?}");
        }
        house.drain_bridge();
        let after = rows(&house);
        let differ = before.iter().zip(&after).find(|(one, other)| one != other);
        assert_eq!(differ, None, "(before, after)");
        assert_eq!(before.len(), after.len());
        casino.close().await;
        house.audit();
    });
}
