//! Callbacks that are not the provider's own, or not what they were.
//!
//! What breaks: a signature over a body that was parsed and written again, a call that is taken from anybody, a refusal
//! that nobody finds again.

use crate::harness::casino::Casino;
use crate::harness::http::{Caller, Sent};
use crate::harness::provider::{Format, OTHER_KEY, PROVIDER_KEY, Says, providers, signed_by, with_secret};
use crate::harness::{House, folder, run};

/// Ways to send a callback that has to be refused, and what each format calls the refusal.
fn forgeries(format: Format, good: &Sent) -> Vec<(&'static str, Sent, &'static str)> {
    let text = String::from_utf8(good.body.clone()).expect("text");
    let replace = |index: usize, value: &str| {
        let mut sent = good.clone();
        sent.headers[index].1 = value.to_owned();
        sent
    };
    let without = Sent { headers: Vec::new(), ..good.clone() };
    // W3: the same JSON in another order, with other spacing: not the bytes that were signed.
    let spaced = Sent { body: text.replace(",\"", ", \"").into_bytes(), ..good.clone() };
    let raised =
        Sent { body: text.replace("250", "025").replace("2.50", "0.25").into_bytes(), ..good.clone() };
    let signature = good.headers[0].1.clone();
    match format {
        Format::Hub88 => {
            let refused = "RS_ERROR_INVALID_SIGNATURE";
            let path = good.path.as_str();
            vec![
                ("no signature", without, refused),
                ("another key's", signed_by(OTHER_KEY, path, text.clone()), refused),
                ("cut", replace(0, &signature[..signature.len() - 4]), refused),
                ("no base64", replace(0, "%%%"), refused),
                ("serialised again", spaced, refused),
                ("other amounts", raised, refused),
                ("not JSON", signed_by(PROVIDER_KEY, path, "{".to_owned()), "RS_ERROR_WRONG_SYNTAX"),
                ("a field twice", signed_by(PROVIDER_KEY, path, twice(&text)), "RS_ERROR_WRONG_SYNTAX"),
                ("sent an hour ago", stale(good), "RS_ERROR_TIMEOUT"),
            ]
        }
        Format::Softswiss => {
            let (refused, path) = ("403/403", good.path.as_str());
            let shared = crate::harness::provider::SHARED;
            vec![
                ("no signature", without, refused),
                ("another secret's", with_secret("another secret altogether", path, text.clone()), refused),
                ("cut", replace(0, &signature[..62]), refused),
                ("in capitals", replace(0, &signature.to_uppercase()), refused),
                ("serialised again", spaced, refused),
                ("other amounts", raised, refused),
                ("not JSON", with_secret(shared, path, "{".to_owned()), "400/400"),
                ("a field twice", with_secret(shared, path, twice(&text)), "400/400"),
            ]
        }
        Format::Pam => {
            let refused = "PAM_ERR_API_TOKEN";
            vec![
                ("no authorization", without, refused),
                ("another one's", replace(0, "Bearer somebody-else-altogether"), refused),
                ("no player's token", replace(1, ""), "PAM_ERR_SESSION_NOT_FOUND"),
                (
                    "a field twice",
                    Sent { body: twice(&text).into_bytes(), ..good.clone() },
                    "PAM_ERR_UNDEFINED",
                ),
            ]
        }
    }
}

fn twice(text: &str) -> String {
    text.replacen('{', "{\"currency\":\"EUR\",", 1)
}

fn stale(good: &Sent) -> Sent {
    let mut sent = good.clone();
    sent.headers.push(("x-msg-timestamp", "2026-01-02T03:04:05Z".to_owned()));
    sent
}

#[test]
fn what_is_forged_stale_or_serialised_again_is_refused_recorded_and_moves_nothing() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&providers(casino.asset, ""));
        let mut caller = Caller::new(house.bridge_address);
        let mut refused = 0;
        for format in Format::ALL {
            let seat = casino.seat(format.number(), 2_000, 1_000).await;
            let other = casino.seat(format.number(), 2_000, 1_000).await;
            let before = casino.purses(seat.player).await;
            let good = format.says(&seat, Says::Bet { tx: "f", units: "2.50", round: "r" });
            let mut bad = forgeries(format, &good);
            // Somebody else's token, in a call that is signed as it should be.
            let borrowed = crate::harness::casino::Seat { token: other.token.clone(), ..seat.clone() };
            let borrowed = format.says(&borrowed, Says::Bet { tx: "f", units: "2.50", round: "r" });
            let word = ["RS_ERROR_INVALID_TOKEN", "412/101", "PAM_ERR_SESSION_NOT_FOUND"];
            let word = word[Format::ALL.iter().position(|one| *one == format).expect("a format")];
            bad.push(("another player's token", borrowed, word));
            for (what, sent, word) in &bad {
                let got = caller.call(sent);
                assert_eq!(format.understands(&got).0, *word, "{format:?}, {what}: {got:?}");
                refused += usize::from(*what != "another player's token" || format != Format::Softswiss);
            }
            assert_eq!(casino.purses(seat.player).await, before, "{format:?}: nothing moved");
            assert_eq!(format.understands(&caller.call(&good)).0, ["RS_OK", "200", "OK"][bad_place(format)]);
            let after = casino.purses(seat.player).await;
            assert_eq!(after.1, before.1 - 2_500_000, "{format:?}: the same bytes, signed, were good");
            // A replay of what was good is answered, and moves nothing.
            caller.call(&good);
            assert_eq!(casino.purses(seat.player).await, after);
        }
        let lines = house.refusals();
        assert_eq!(lines.len(), refused, "{lines:#?}");
        assert!(lines.iter().all(|line| !line.contains("EUR") && line.contains("\"reason\"")), "no bodies");
        casino.close().await;
        house.audit();
    });
}

fn bad_place(format: Format) -> usize {
    Format::ALL.iter().position(|one| *one == format).expect("a format")
}

#[test]
fn what_is_addressed_to_nobody_or_too_long_is_turned_away_and_the_connection_goes_on() {
    run(async {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        house.open_bridge(&providers(casino.asset, ""));
        let mut caller = Caller::new(house.bridge_address);
        let seat = casino.seat(7, 2_000, 1_000).await;
        let good = Format::Hub88.says(&seat, Says::Balance);
        let nobody = Sent { path: "/nobody/user/balance".to_owned(), ..good.clone() };
        assert_eq!(caller.call(&nobody).status, 404);
        let nowhere = Sent { path: "/hub88/user/secrets".to_owned(), ..good.clone() };
        assert_eq!(Format::Hub88.understands(&caller.call(&nowhere)).0, "RS_ERROR_WRONG_SYNTAX");
        assert_eq!(Caller::new(house.bridge_address).announce(&good, 70_000).status, 413);
        assert_eq!(caller.call(&good).status, 200);
        casino.close().await;
        house.audit();
    });
}
