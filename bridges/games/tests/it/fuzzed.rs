//! Bodies that nobody would write, behind signatures that are right.
//!
//! What breaks: a panic, an amount that was not in the body.

use std::collections::BTreeMap;

use cage_engine::{Amount, PlayerId, SessionId, Timestamp};
use cage_games::adapters::{Arrived, Headers, understand};
use cage_games::config::{Bearer, Config, Credential, Currency, Disclosure, Format as Speaks, Provider};
use cage_games::inbound::{Action, Ask, Done, Verdict};
use cage_games::money::Scale;
use cage_games::signature::SharedSecret;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::harness::casino::Seat;
use crate::harness::provider::{BEARER, Format, Says, TOKEN_SECRET};

/// Bodies per format; `CAGE_BODIES` says another number.
const BODIES: u64 = 20_000;

#[derive(Debug)]
struct Pairs(Vec<(&'static str, String)>);

impl Headers for Pairs {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes())
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn provider(format: Format) -> Provider {
    let currency = Currency { asset: cage_engine::AssetId(1), scale: Scale(6) };
    Provider {
        name: format.name().to_owned(),
        number: format.number(),
        format: match format {
            Format::Hub88 => Speaks::Hub88,
            Format::Softswiss => Speaks::Softswiss,
            Format::Pam => Speaks::Pam,
        },
        credential: Credential::Bearer(Bearer(BEARER.into())),
        disclosure: Disclosure::Allowance,
        reverse_settled: false,
        games: BTreeMap::from([("dragon".to_owned(), 1)]),
        currencies: BTreeMap::from([("EUR".to_owned(), currency)]),
        jackpot: 1,
        outbound: None,
        launch_url: None,
    }
}

fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        ledger: "127.0.0.1:1".parse().expect("an address"),
        certs: "certs".into(),
        data_dir: "games".into(),
        token_secret: SharedSecret::new(TOKEN_SECRET.as_bytes()),
        providers: BTreeMap::new(),
        casino: None,
        admin: None,
    }
}

/// Pieces that readers of JSON and of numbers trip over.
const PIECES: [&str; 22] = [
    "1e309",
    "-0",
    "1e-9",
    "0.1",
    "9999999999999999999999999999999999999999",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "NaN",
    "1E5",
    "00",
    "+1",
    "\"EUR\"",
    "250000.0",
    "\"250000\"",
    "-1",
];

fn spoil(body: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=body.len());
        match random.random_range(0..7) {
            0 if at < body.len() => body[at] = random.random(),
            1 if at < body.len() => body[at] ^= 1 << random.random_range(0..8),
            2 => body.truncate(at),
            3 => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                body.splice(at..at, piece.bytes());
            }
            // In place of a number.
            4 => {
                let number = body.iter().skip(at).position(u8::is_ascii_digit).map(|more| at + more);
                if let Some(from) = number {
                    let to = body[from..].iter().position(|byte| !byte.is_ascii_digit());
                    let to = to.map_or(body.len(), |more| from + more);
                    let piece = PIECES[random.random_range(0..PIECES.len())];
                    body.splice(from..to, piece.bytes());
                }
            }
            5 => {
                let to = random.random_range(at..=body.len());
                let piece: Vec<u8> = body[at..to].to_vec();
                body.splice(at..at, piece);
            }
            _ => {
                let to = random.random_range(at..=body.len());
                body.drain(at..to);
            }
        }
    }
}

fn amounts(actions: &[Action]) -> impl Iterator<Item = Amount> {
    actions.iter().map(|action| match action {
        Action::Bet { stake: amount, .. }
        | Action::Win { amount, .. }
        | Action::Prize { amount, .. }
        | Action::Jackpot { amount, .. } => *amount,
        Action::Rollback { .. } | Action::EndRound { .. } => Amount::ZERO,
    })
}

/// Whether an amount can be read off the body by somebody who knows nothing of fields: its digits stand there, at the
/// scale of the format, perhaps with zeroes behind.
fn stands_there(body: &str, amount: Amount, places: u32) -> bool {
    let unit = 10_u128.pow(6 - places);
    if !amount.0.is_multiple_of(unit) {
        return false;
    }
    let digits: String = body.chars().filter(|letter| *letter != '.').collect();
    let wanted = (amount.0 / unit).to_string();
    let wanted = wanted.trim_end_matches('0');
    digits.contains(wanted)
}

fn calls(format: Format, seat: &Seat) -> Vec<crate::harness::http::Sent> {
    let says = [
        Says::Bet { tx: "b", units: "2.50", round: "r" },
        Says::Win { tx: "w", bet: "b", units: "7.00", round: "r", ends: true },
        Says::Rollback { tx: "x", target: "b", round: "r" },
        Says::Balance,
    ];
    says.iter().map(|says| format.says(seat, *says)).collect()
}

/// W13: an amount comes from the body's text or not at all.
#[test]
fn no_body_makes_an_adapter_panic_or_gives_an_amount_that_does_not_stand_in_it() {
    let seed = setting("CAGE_SEED", rand::random());
    let bodies = setting("CAGE_BODIES", BODIES);
    println!("repeat with CAGE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let config = config();
    let player = PlayerId::from_index(3);
    for format in Format::ALL {
        let provider = provider(format);
        let secret = SharedSecret::new(TOKEN_SECRET.as_bytes());
        let token = cage_games::token::PlayerToken { player, session: SessionId(1), generation: 0 };
        let seat = Seat { player, session: SessionId(1), token: token.text(format.number(), &secret) };
        let places = match format {
            Format::Hub88 => 5,
            Format::Softswiss => 2,
            Format::Pam => 6,
        };
        let good = calls(format, &seat);
        let (mut understood, mut with_money) = (0_u64, 0_u64);
        for _ in 0..bodies {
            let sent = &good[random.random_range(0..good.len())];
            let mut body = sent.body.clone();
            spoil(&mut body, &mut random);
            let (path, query) = sent.path.split_once('?').unwrap_or((&sent.path, ""));
            let path = path.strip_prefix(&format!("/{}", format.name())).expect("a path");
            let headers = Pairs(sent.headers.clone());
            let at = Timestamp::from_millis(random.next_u64() >> 24);
            let arrived = Arrived { method: sent.method, path, query, headers: &headers, body: &body, at };
            let Ok(callback) = understand(&config, &provider, &arrived) else { continue };
            understood += 1;
            let answer = callback.answer(&config, &provider, &Done::of(Verdict::Unavailable));
            assert!(!answer.body.is_empty());
            if let Ask::Actions { actions, .. } = &callback.call().ask {
                let text = String::from_utf8_lossy(&body);
                for amount in amounts(actions).filter(|amount| !amount.is_zero()) {
                    with_money += 1;
                    let plain = stands_there(&text, amount, places);
                    assert!(plain || text.contains(['e', 'E']), "{amount} is not in {text}");
                }
            }
        }
        println!("{format:?}: {bodies} bodies, {understood} understood, {with_money} amounts");
        assert!(understood > bodies / 100, "nothing is tried if all is refused");
    }
}
