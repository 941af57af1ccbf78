//! What a provider can learn.
//!
//! What breaks: a balance that can be read off what a provider is sent.

use crate::harness::casino::{Casino, Seat};
use crate::harness::http::Caller;
use crate::harness::provider::{Format, Says, providers};
use crate::harness::{House, folder, run};

/// All that a provider gets to see of a player's evening, with the player's own names taken out.
fn evening(caller: &mut Caller, format: Format, seat: &Seat) -> Vec<String> {
    let own = seat.player.to_string();
    let name = |tx: &str| format!("{own}-{tx}");
    let (b, c, w, x, r) = (name("b"), name("c"), name("w"), name("x"), name("r"));
    let says = [
        Says::Balance,
        Says::Bet { tx: &b, units: "2.50", round: &r },
        Says::Bet { tx: &c, units: "97.51", round: &r },
        Says::Win { tx: &w, bet: &b, units: "12.34", round: &r, ends: false },
        Says::Rollback { tx: &x, target: &c, round: &r },
        Says::Balance,
    ];
    let told = says.iter().map(|says| caller.call(&format.says(seat, *says)));
    told.map(|got| format!("{} {}", got.status, positions_gone(&got.body.replace(&own, "PLAYER")))).collect()
}

/// The text without positions in the log, which are ids of records.
fn positions_gone(text: &str) -> String {
    let mut pieces = text.split("L-");
    let mut plain = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        plain += "L-";
        plain += piece.trim_start_matches(|letter: char| letter.is_ascii_digit());
    }
    plain
}

#[test]
fn two_players_with_the_same_allowance_look_the_same_to_a_provider_whatever_they_own() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&providers(casino.asset, ""));
        let mut caller = Caller::new(house.bridge_address);
        for format in Format::ALL {
            let poor = casino.seat(format.number(), 100, 100).await;
            let rich = casino.seat(format.number(), 5_000_000, 100).await;
            // A second session, with another provider, is nobody's affair either.
            casino.seat_for(rich.player, 100, 777, 3_600).await;
            let told = evening(&mut caller, format, &poor);
            assert_eq!(told, evening(&mut caller, format, &rich), "{format:?}");
            let (_, shown) =
                format.understands(&crate::harness::http::Got { status: 200, body: told[5][4..].to_owned() });
            assert_eq!(shown, Some(format.shown(10_984)), "{format:?}: {told:?}");
        }
        casino.close().await;
        house.audit();
    });
}

#[test]
fn other_ways_to_report_show_the_balance_a_bound_or_nothing() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        for (more, shown) in [
            ("report = \"balance\"", 90_000),
            ("report = \"capped\"\nreport_max = 50000000", 5_000),
            ("report = \"zero\"", 0),
            ("report = \"allowance\"", 10_000),
        ] {
            house.kill_bridge(&providers(casino.asset, more));
            let mut caller = Caller::new(house.bridge_address);
            for format in Format::ALL {
                let seat = casino.seat(format.number(), 1_000, 100).await;
                let got = caller.call(&format.says(&seat, Says::Balance));
                assert_eq!(
                    format.understands(&got).1,
                    Some(format.shown(shown)),
                    "{more}, {format:?}: {got:?}"
                );
            }
        }
        casino.close().await;
        house.audit();
    });
}
