//! Rounds of providers that call, over a network that is not kind and through crashes of bridge and ledger.
//!
//! What breaks: a call that counts twice or not at all, a rollback that came first and is forgotten, a balance that is not what
//! the provider's own book makes it.

use std::collections::HashMap;
use std::io;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::harness::casino::{Casino, Seat, UNIT};
use crate::harness::http::{Caller, Got, Sent};
use crate::harness::provider::{Format, Says, providers};
use crate::harness::{House, SOON, folder, run_within};
use crate::outbound::setting;
use crate::reconcile::{List, assert_list_clean};

/// Rounds of each format; `CAGE_ROUNDS` says another number.
const ROUNDS: u64 = 3_000;
/// Players of each format.
const PLAYERS: usize = 6;
/// Of a hundred calls, how many are disturbed.
const DISTURBED: u32 = 30;
/// What is put on each meter, in hundredths.
const METER: u128 = 20_000;

/// What the provider's own book says of a bet. The oracle: nothing of the bridge's or the ledger's is in it.
#[derive(Clone, Copy, Debug, Default)]
struct Bet {
    stake: u128,
    placed: bool,
    /// Undone, or to be undone when it comes.
    undone: bool,
    won: bool,
    paid: u128,
}

/// A player at a provider.
struct Player {
    seat: Seat,
    /// What is on the meter, in hundredths, by the book.
    meter: u128,
}

/// A provider: its book, its connection, its bad network.
struct Provider {
    format: Format,
    players: Vec<Player>,
    bets: HashMap<String, (usize, Bet)>,
    caller: Option<Caller>,
    sent: Vec<(Sent, String)>,
    random: StdRng,
    disturbed: u64,
}

impl Provider {
    fn connected(&mut self, house: &House) -> io::Result<&mut Caller> {
        if self.caller.is_none() {
            self.caller = Some(Caller::try_new(house.bridge_address)?);
        }
        Ok(self.caller.as_mut().expect("just made"))
    }

    /// One attempt; nothing if nobody knows what came of it.
    fn attempt(&mut self, house: &House, sent: &Sent) -> Option<Got> {
        let got = self.connected(house).and_then(|caller| caller.try_call(sent));
        let got = got.inspect_err(|_| self.caller = None).ok()?;
        let word = self.format.understands(&got).0;
        let again = ["RS_ERROR_TIMEOUT", "500/500", "PAM_ERR_TIMEOUT"].contains(&word.as_str());
        (!again).then_some(got)
    }

    /// Tries until it is known what came of a call, as providers do.
    fn deliver(&mut self, house: &House, sent: &Sent) -> Got {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            if let Some(got) = self.attempt(house, sent) {
                return got;
            }
            assert!(std::time::Instant::now() < deadline, "{:?}: no answer to {sent:?}", self.format);
            // Whoever was killed is back when the next attempt is: there is nothing else to wait for.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Says something over the bad network; gives the word of the answer that counts.
    fn say(&mut self, house: &House, who: usize, says: Says<'_>) -> String {
        let sent = self.format.says(&self.players[who].seat, says);
        if self.random.random_range(0..100) < DISTURBED {
            self.disturbed += 1;
            self.disturb(house, &sent);
        }
        let got = self.deliver(house, &sent);
        let word = self.format.understands(&got).0;
        self.sent.push((sent, word.clone()));
        word
    }

    fn disturb(&mut self, house: &House, sent: &Sent) {
        match self.random.random_range(0..4) {
            // The answer is lost: the same call comes again, and gets the same bytes.
            0 => {
                let first = self.deliver(house, sent);
                assert_eq!(self.deliver(house, sent), first, "{:?}: {sent:?}", self.format);
            }
            // The connection breaks behind the request.
            1 => {
                if let Ok(caller) = self.connected(house) {
                    // It may have broken by itself.
                    let _ = caller.send(sent);
                }
                self.caller = None;
            }
            // The request is cut in the middle.
            2 => {
                if let Ok(caller) = self.connected(house) {
                    let _ = caller.send_half(sent);
                }
                self.caller = None;
            }
            // Something old comes once more, out of order.
            _ => {
                if self.sent.is_empty() {
                    return;
                }
                let place = self.random.random_range(0..self.sent.len());
                let (old, word) = self.sent[place].clone();
                let got = self.deliver(house, &old);
                assert_eq!(self.format.understands(&got).0, word, "{:?}: {old:?}", self.format);
            }
        }
    }

    fn ok(&self, word: &str) -> bool {
        [(Format::Hub88, "RS_OK"), (Format::Softswiss, "200"), (Format::Pam, "OK")]
            .contains(&(self.format, word))
    }

    fn bet(&mut self, house: &House, who: usize, name: &str, stake: u128) {
        let units = format!("{}.{:02}", stake / 100, stake % 100);
        let word = self.say(house, who, Says::Bet { tx: name, units: &units, round: name });
        let (_, bet) = self.bets.entry(name.to_owned()).or_insert_with(|| (who, Bet::default()));
        bet.stake = stake;
        if bet.undone {
            return;
        }
        let fits = self.players[who].meter >= stake;
        bet.placed = fits;
        if fits {
            self.players[who].meter -= stake;
        }
        assert_eq!(self.ok(&word), fits, "{:?} {name}: {word}", self.format);
    }

    fn win(&mut self, house: &House, who: usize, name: &str, amount: u128) {
        let (units, tx) = (format!("{}.{:02}", amount / 100, amount % 100), format!("w{name}"));
        let word =
            self.say(house, who, Says::Win { tx: &tx, bet: name, units: &units, round: name, ends: true });
        let bet = self.bets.get(name).map_or_else(Bet::default, |(_, bet)| *bet);
        let counts = bet.placed && !bet.undone;
        assert_eq!(self.ok(&word), counts, "{:?} {name}: {word}", self.format);
        if let (true, Some((_, bet))) = (counts, self.bets.get_mut(name)) {
            (bet.won, bet.paid) = (true, amount);
            self.players[who].meter += amount;
        }
    }

    fn rollback(&mut self, house: &House, who: usize, name: &str) {
        let tx = format!("x{name}");
        self.say(house, who, Says::Rollback { tx: &tx, target: name, round: name });
        let (_, bet) = self.bets.entry(name.to_owned()).or_insert_with(|| (who, Bet::default()));
        // What has won stays as it is.
        if bet.placed && !bet.won && !bet.undone {
            self.players[who].meter += bet.stake;
        }
        bet.undone |= !bet.won;
    }

    /// One round of some shape.
    fn round(&mut self, house: &House, number: u64) {
        let who = self.random.random_range(0..PLAYERS);
        let stake = self.random.random_range(1..2_000);
        let amount = self.random.random_range(0..2_000);
        let name = format!("b{number}");
        let shape = self.random.random_range(0..10);
        match shape {
            // It was given up before it came: it is never debited.
            0 => {
                self.rollback(house, who, &name);
                self.bet(house, who, &name, stake);
            }
            // Nobody staked anything.
            1 => self.win(house, who, &name, amount),
            2 | 3 => {
                self.bet(house, who, &name, stake);
                self.rollback(house, who, &name);
                self.win(house, who, &name, amount);
            }
            4 => {
                self.bet(house, who, &name, stake);
                self.win(house, who, &name, amount);
                self.rollback(house, who, &name);
            }
            _ => {
                self.bet(house, who, &name, stake);
                self.win(house, who, &name, amount);
            }
        }
    }

    /// The provider's own list of its rounds.
    fn list(&self) -> List {
        let mut list = List::default();
        let decimal = |hundredths: u128| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        for (name, (who, bet)) in self.bets.iter().filter(|(_, (_, bet))| bet.placed) {
            let state = if bet.undone { "cancelled" } else { "settled" };
            list.add(name, self.players[*who].seat.player, &decimal(bet.stake), &decimal(bet.paid), state);
        }
        list
    }
}

fn rounds_under_faults(format: Format) {
    let (seed, rounds) = (setting("CAGE_SEED", rand::random()), setting("CAGE_ROUNDS", ROUNDS));
    println!("{format:?}: repeat with CAGE_SEED={seed} CAGE_ROUNDS={rounds}");
    let limit = SOON * 4 + std::time::Duration::from_millis(rounds * 60);
    run_within(limit, async move {
        let dir = folder();
        let mut house = House::ledger(dir.path());
        let casino = Casino::open(&house).await;
        let config = providers(casino.asset, "");
        house.open_bridge(&config);
        let mut players = Vec::new();
        for _ in 0..PLAYERS {
            let player = casino.player(1_000).await;
            let seat = casino.seat_for(player, format.number(), METER / 100, 86_400).await;
            players.push(Player { seat, meter: METER });
        }
        let random = StdRng::seed_from_u64(seed);
        let (bets, sent) = (HashMap::new(), Vec::new());
        let mut provider = Provider { format, players, bets, caller: None, sent, random, disturbed: 0 };
        let mut kills = [0_u32; 2];
        for number in 0..rounds {
            provider.round(&house, number);
            if number % (rounds / 6).max(1) == rounds / 12 {
                let who = provider.random.random_range(0..2);
                kills[who] += 1;
                if who == 0 {
                    house.kill_ledger();
                } else {
                    house.kill_bridge(&config);
                }
            }
        }
        for Player { seat, meter } in &provider.players {
            let smallest = |hundredths: u128| i128::try_from(hundredths * UNIT / 100).expect("a sum");
            let owned = (smallest(100_000 - METER), smallest(*meter));
            assert_eq!(casino.purses(seat.player).await, owned, "{format:?}: player {}", seat.player);
            assert_eq!(casino.reserved(seat.player).await, 0, "no hold is left");
        }
        assert_list_clean(&house, format, &provider.list());
        println!(
            "{format:?}: {rounds} rounds, {} calls disturbed, kills of ledger, bridge: {kills:?}",
            provider.disturbed
        );
        casino.close().await;
        house.audit();
    });
}

#[test]
fn hub88_rounds_under_faults_and_kills_make_the_balances_of_the_providers_book() {
    rounds_under_faults(Format::Hub88);
}

#[test]
fn softswiss_rounds_under_faults_and_kills_make_the_balances_of_the_providers_book() {
    rounds_under_faults(Format::Softswiss);
}

#[test]
fn pam_rounds_under_faults_and_kills_make_the_balances_of_the_providers_book() {
    rounds_under_faults(Format::Pam);
}
