//! What a provider's subscribers are shown: the same live, from the log and from the archive.
//!
//! What breaks: the end of a hold that nobody at the provider hears of, because its record does not name the game; a record
//! that is left out or told twice where memory, log and archive meet.
//!
//! `CAGE_OPERATIONS` scales the random one.

use std::collections::HashMap;

use cage_client::{Client, Filter};
use cage_engine::{
    Amount, Expiry, GameId, Lsn, Operation, OperationKind, Purse, Record, Reference, RequestId, ResultCode,
    Role, Rule, SessionId,
};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::feed::follow;
use crate::harness::casino::{Casino, client, new_id, now};
use crate::harness::{
    self, Ledger, SOON, Start, folder, log, run_cage, run_for, setting, soon, stderr, text,
};
use crate::snapshots::{archived, seal};

const PLAYERS: usize = 6;
/// Those that take part, one that never does, and the one of no game.
const PROVIDERS: [u16; 5] = [7, 8, 9, 10, 0];

/// What of a log is about a provider's games, told by a model of the holds and rounds that are open.
#[derive(Default)]
struct Model {
    holds: HashMap<RequestId, GameId>,
    rounds: HashMap<Reference, GameId>,
    head: Option<GameId>,
}

impl Model {
    /// The game that a record is about.
    fn game(&mut self, record: &Record) -> Option<GameId> {
        if record.request.kind != OperationKind::Continue {
            let operation = Operation::try_from(&record.asked()).ok();
            self.head = operation.and_then(|operation| self.game_of(&operation, record));
        }
        self.head
    }

    fn game_of(&mut self, operation: &Operation, record: &Record) -> Option<GameId> {
        let is_executed = record.result.is_executed();
        let ends = |game| if is_executed { game } else { None };
        match *operation {
            Operation::Reserve { game, round, .. } => {
                if is_executed {
                    self.holds.insert(record.request.id, game);
                    round.map(|round| self.rounds.insert(round, game));
                }
                Some(game)
            }
            Operation::BetWin { game, round, .. } => {
                if is_executed {
                    self.rounds.insert(round, game);
                }
                Some(game)
            }
            Operation::EndRound { game, .. } => Some(game),
            Operation::Settle { hold, .. }
            | Operation::Cancel { hold, .. }
            | Operation::Expire { hold, .. } => ends(self.holds.get(&hold).copied()),
            Operation::CloseRound { round, .. } => ends(self.rounds.get(&round).copied()),
            _ => None,
        }
    }
}

/// What of a whole log is a provider's.
fn wanted(records: &[(Lsn, Record)], provider: u16) -> Vec<Lsn> {
    let mut model = Model::default();
    let mut is_wanted = |record: &Record| {
        let clears = |account: cage_engine::AccountId| {
            account.is_of(Purse::ProviderClearing) && account.owner() == u64::from(provider)
        };
        let moves = record.legs().iter().any(|leg| clears(leg.debit) || clears(leg.credit));
        model.game(record).is_some_and(|game| game.provider() == provider) || moves
    };
    records.iter().filter(|(_, record)| is_wanted(record)).map(|(lsn, _)| *lsn).collect()
}

/// Random operations: bets with and without rounds that are settled in parts, cancelled, left to expire, over several providers.
struct Play<'a> {
    casino: &'a Casino,
    random: StdRng,
    open: Vec<(usize, RequestId)>,
}

impl Play<'_> {
    fn operation(&mut self) -> Operation {
        let random = &mut self.random;
        let player = random.random_range(0..PLAYERS);
        let game = GameId::new(random.random_range(7..10), 3);
        // A round is one player's on one game; some have no holds that keep them open.
        let round = |number: u128| Reference(u128::from(game.0) << 64 | (player as u128) << 32 | number);
        let held = self.open.len().checked_sub(1).map(|last| self.open[random.random_range(0..=last)]);
        let (asset, id) = (self.casino.asset, self.casino.players[player]);
        match (random.random_range(0..10), held) {
            (0..4, _) | (4..7, None) => Operation::Reserve {
                player: id,
                asset,
                stake: Amount(4),
                payout_max: Amount(100),
                game,
                session: SessionId::NONE,
                round: random.random_bool(0.5).then(|| round(random.random_range(1..4))),
                expiry: if random.random_bool(0.4) {
                    Expiry::Release(now().plus_millis(random.random_range(1..40)))
                } else {
                    Expiry::Never
                },
            },
            (4..6, Some((player, hold))) => {
                self.casino.settle(player, hold, random.random_range(1..5), random.random_range(0..3))
            }
            (6, Some((player, hold))) => self.casino.cancel(player, hold),
            (7, Some((_, hold))) => self.casino.cancel(player, hold),
            (7, None) => self.casino.cancel(player, new_id()),
            (8, _) => Operation::BetWin {
                player: id,
                asset,
                stake: Amount(2),
                payout: Amount(1),
                bet: Reference(new_id().0),
                game,
                session: SessionId::NONE,
                round: round(random.random_range(1..8)),
                ends_round: random.random_bool(0.3),
            },
            _ => self.casino.transfer(player, (player + 1) % PLAYERS, 1),
        }
    }

    async fn ask(&mut self, games: &Client, frontend: &Client, operations: u64) {
        for _ in 0..operations.div_ceil(8) {
            let asked: Vec<_> = (0..8).map(|_| (new_id(), self.operation())).collect();
            let outcomes: Vec<_> = asked
                .iter()
                .map(|(id, operation)| match operation {
                    Operation::Transfer { .. } => frontend.submit_with_id(*id, *operation),
                    _ => games.submit_with_id(*id, *operation),
                })
                .collect();
            for ((id, operation), outcome) in asked.iter().zip(outcomes) {
                if let (Operation::Reserve { player, .. }, Ok(_)) = (operation, outcome.await) {
                    let player = self.casino.players.iter().position(|known| known == player);
                    self.open.push((player.expect("a known player"), *id));
                }
            }
        }
    }
}

/// All that a provider's subscribers are told between two places of the log.
async fn told(client: &Client, provider: u16, after: Lsn, until: Lsn) -> Vec<Lsn> {
    let (_told, end) = watch::channel(Some(until));
    let feed = client.subscribe(Filter::EVERYTHING.of_provider(provider), after);
    up_to(until, soon("all of it", follow(feed, end)).await)
}

/// Meanwhile the ledger goes on by itself: what it does behind the last place is left out.
fn up_to(last: Lsn, told: Vec<(Lsn, Record)>) -> Vec<Lsn> {
    told.into_iter().map(|(lsn, _)| lsn).filter(|lsn| *lsn <= last).collect()
}

/// How many records of a kind a log has.
fn count(records: &[(Lsn, Record)], kind: OperationKind) -> usize {
    let is_one = |record: &Record| record.request.kind == kind && record.result == ResultCode::Done;
    records.iter().filter(|(_, record)| is_one(record)).count()
}

/// Waits until the ledger has done by itself what it should.
async fn wait_for(client: &Client, kind: OperationKind) {
    let mut feed = client.subscribe(Filter::EVERYTHING.of_kinds(&[kind]), Lsn(0));
    soon(kind.name(), feed.next_record()).await.expect("the feed goes on");
}

/// Segments leave for the archive when two snapshots cover them; each start seals one.
fn archive(start: Start) -> Start {
    let dir = start.data_dir.clone();
    let snapshot = || {
        let made = run_cage(&["snapshot", text(&dir), "--hot-mib", "0"]);
        assert!(made.status.success(), "{}", stderr(&made));
    };
    snapshot();
    let start = start.ledger().kill();
    snapshot();
    assert!(archived(&dir) > 0, "something has left for the archive");
    start
}

#[test]
fn for_every_provider_what_is_told_live_from_the_log_and_from_the_archive_is_what_its_holds_and_rounds_say() {
    let random = harness::random("provider_feed");
    let operations = setting("CAGE_OPERATIONS", 2_000);
    run_for(SOON * 10, async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, PLAYERS as u32, 1_000_000).await;
        let operator = client(&ledger, Role::Operator).await;
        let rule = Operation::SetRule { rule: Rule::RoundAgeMax, scope: 0, value: 200 };
        let begin = operator.submit(rule).await.expect("rounds are closed soon").lsn;
        let (games, frontend) = (client(&ledger, Role::Games).await, client(&ledger, Role::Frontend).await);
        let auditor = client(&ledger, Role::Auditor).await;
        let (told_end, end) = watch::channel(None);
        let live = PROVIDERS
            .map(|provider| auditor.subscribe(Filter::EVERYTHING.of_provider(provider), begin))
            .map(|feed| spawn_local(follow(feed, end.clone())));
        let mut play = Play { casino: &casino, random, open: Vec::new() };
        play.ask(&games, &frontend, operations).await;
        wait_for(&auditor, OperationKind::Expire).await;
        wait_for(&auditor, OperationKind::CloseRound).await;
        let last = games.submit(casino.cancel(0, new_id())).await.expect("a last record").lsn;
        told_end.send_replace(Some(last));
        let mut told_live = Vec::new();
        for follower in live {
            let told = soon("a subscriber", follower).await.expect("no panic");
            told_live.push(up_to(last, told));
        }
        let start = ledger.close().await;
        let (records, _) = log::records(dir.path());
        let records: Vec<_> = records.into_iter().filter(|(lsn, _)| *lsn <= last).collect();
        for kind in
            [OperationKind::Settle, OperationKind::Cancel, OperationKind::Expire, OperationKind::CloseRound]
        {
            assert!(count(&records, kind) > 0, "{} was played", kind.name());
        }

        let ledger = start.ledger();
        let auditor = client(&ledger, Role::Auditor).await;
        for (provider, live) in PROVIDERS.into_iter().zip(told_live) {
            let wanted = wanted(&records, provider);
            let since: Vec<_> = wanted.iter().copied().filter(|lsn| *lsn > begin).collect();
            assert_eq!(live, since, "provider {provider}, live");
            assert_eq!(
                told(&auditor, provider, Lsn(0), last).await,
                wanted,
                "provider {provider}, from the log"
            );
            assert_eq!(wanted.is_empty(), [10, 0].contains(&provider), "{provider}: {}", wanted.len());
        }
        let ledger = archive(ledger.close().await).ledger();
        let auditor = client(&ledger, Role::Auditor).await;
        for provider in PROVIDERS {
            let told = told(&auditor, provider, Lsn(0), last).await;
            assert_eq!(told, wanted(&records, provider), "provider {provider}, from the archive");
        }
        ledger.close().await;
    });
}

/// The subscriber keeps its place; everything behind it is in the archive when it comes back, and the server is another one.
#[test]
fn a_subscriber_that_resumes_where_the_log_has_left_for_the_archive_sees_each_record_once_and_in_order() {
    run_for(SOON * 4, async {
        let dir = folder();
        let start = Start::small(dir.path());
        let ledger = start.ledger();
        let casino = Casino::funded(&ledger, 2, 1_000_000).await;
        let auditor = client(&ledger, Role::Auditor).await;
        let mut feed = auditor.subscribe(Filter::EVERYTHING, Lsn(0));
        let mut seen = Vec::new();
        for _ in 0..6 {
            let record = soon("a record", feed.next_record()).await.expect("the feed goes on");
            seen.push((record.lsn, record.record));
        }
        drop(feed);
        seal(&ledger, &casino, dir.path(), 4).await;
        let start = ledger.kill();
        let (before, _) = log::records(dir.path());
        let start = archive(start);
        let first = dir.path().join("log/0000000000000001.wal");
        assert!(!first.exists(), "the place to resume at is in the archive alone");

        let ledger = start.ledger();
        // Between the archive, the log and what is new there is no seam.
        seal(&ledger, &casino, dir.path(), 1).await;
        let auditor = client(&ledger, Role::Auditor).await;
        let frontend = client(&ledger, Role::Frontend).await;
        let mut feed = auditor.subscribe(Filter::EVERYTHING, Lsn(6));
        for _ in 0..100 {
            let record = soon("a record", feed.next_record()).await.expect("the feed goes on");
            seen.push((record.lsn, record.record));
        }
        let (told_end, end) = watch::channel(None);
        let follower = spawn_local(follow(feed, end));
        let last = frontend.submit(casino.transfer(0, 1, 1)).await.expect("a transfer").lsn;
        told_end.send_replace(Some(last));
        seen.extend(soon("the rest", follower).await.expect("no panic"));
        ledger.close().await;

        let lsns: Vec<_> = seen.iter().map(|(lsn, _)| lsn.0).collect();
        assert_eq!(lsns, (1..=last.0).collect::<Vec<_>>(), "each once, and in order");
        assert!(seen[..before.len()] == before, "what stood in the log before it was archived");
    });
}
