//! The feed: whoever follows the log sees every record of its filter once and in order, whatever happens meanwhile.
//!
//! What breaks: a record that is left out where memory and log meet, or told twice after a lost connection; one that is shown
//! before it is durable and gone after the kill; a slow reader that the others wait for.
//!
//! `CAGE_SUBSCRIPTIONS` and `CAGE_KILLS` scale the great one.

use std::collections::BTreeMap;
use std::rc::Rc;

use cage_client::{Client, Config, Feed, FeedError, FeedEvent, Filter};
use cage_engine::{AccountId, Lsn, Operation, OperationKind, PlayerId, Purse, Record, Role, Rule};
use cage_protocol::{CloseCode, FeedEnd, FeedEndCode, FrameKind, Subscribe, feed, frame};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_local};

use crate::harness::casino::{Casino, client, credentials, new_id};
use crate::harness::wire::Wire;
use crate::harness::{self, Ledger, SOON, folder, log, run, run_for, setting, soon};

const PLAYERS: u32 = 24;

/// Whether a filter wants a record, told in another way than the server does it.
fn wants(filter: &Filter, record: &Record, head: &Record) -> bool {
    let request = &record.request;
    let to = match Operation::try_from(&record.asked()) {
        Ok(Operation::Transfer { to, .. }) => Some(to),
        _ => None,
    };
    let clears = |provider| {
        let account = AccountId::of_house(request.asset, Purse::ProviderClearing, provider);
        record.legs().iter().any(|leg| leg.debit == account || leg.credit == account)
    };
    let plays = |provider| {
        let game = match Operation::try_from(&head.asked()) {
            Ok(Operation::Reserve { game, .. } | Operation::BetWin { game, .. }) => Some(game),
            _ => None,
        };
        game.is_some_and(|game| game.provider() == provider)
    };
    filter.player.is_none_or(|player| request.player == player || to == Some(player))
        && filter.provider.is_none_or(|provider| clears(u32::from(provider)) || plays(provider))
        && filter.kinds.contains(head.request.kind.number())
}

/// What a filter wants of a log, in its order.
fn wanted(records: &[(Lsn, Record)], filter: &Filter, after: Lsn) -> Vec<(Lsn, Record)> {
    let mut head = records[0].1;
    let mut wanted = Vec::new();
    for (lsn, record) in records {
        if record.request.kind != OperationKind::Continue {
            head = *record;
        }
        if *lsn > after && wants(filter, record, &head) {
            wanted.push((*lsn, *record));
        }
    }
    wanted
}

fn filter(random: &mut StdRng, players: &[PlayerId]) -> (Role, Filter) {
    let player = players[random.random_range(0..players.len())];
    match random.random_range(0..6) {
        0 => (Role::Auditor, Filter::EVERYTHING),
        1 => (Role::Games, Filter::EVERYTHING.of_provider(random.random_range(7..9))),
        2 => {
            let kinds = [OperationKind::Settle, OperationKind::BetWin, OperationKind::Cancel];
            (Role::Risk, Filter::EVERYTHING.of_kinds(&kinds))
        }
        3 => (Role::Support, Filter::EVERYTHING.of_player(player).of_kinds(&[OperationKind::Transfer])),
        _ => (Role::Frontend, Filter::EVERYTHING.of_player(player)),
    }
}

/// Plays until it is told to stop: transfers, holds, bets that win at once, in frames and one by one.
async fn play(client: Client, casino: Rc<Casino>, mut random: StdRng, stop: watch::Receiver<bool>) -> u64 {
    let mut asked = 0;
    while !*stop.borrow() {
        let count = if random.random_bool(0.5) { 1 } else { random.random_range(1..64) };
        let operations: Vec<_> = (0..count).map(|_| operation(&casino, &mut random)).collect();
        asked += count;
        for outcome in client.submit_batch(operations).await {
            if let Ok(executed) = outcome
                && executed.reserved.is_some()
            {
                let player = casino.players.iter().position(|known| known.number() == executed.player);
                let hold = casino.settle(player.expect("a known player"), executed.id, 1, 1);
                let _ = client.submit(hold).await;
            }
        }
    }
    asked
}

fn operation(casino: &Casino, random: &mut StdRng) -> Operation {
    let (one, other) = (random.random_range(0..PLAYERS as usize), random.random_range(0..PLAYERS as usize));
    match random.random_range(0..3) {
        0 => casino.reserve(one, 1, 2),
        1 => bet_win(casino, one, random.random_range(7..9)),
        _ => casino.cancel(other, new_id()),
    }
}

fn bet_win(casino: &Casino, player: usize, provider: u16) -> Operation {
    Operation::BetWin {
        player: casino.players[player],
        asset: casino.asset,
        stake: cage_engine::Amount(5),
        payout: cage_engine::Amount(4),
        bet: cage_engine::Reference(new_id().0),
        game: cage_engine::GameId::new(provider, 3),
        session: cage_engine::SessionId::NONE,
        round: cage_engine::Reference(new_id().0),
        ends_round: true,
    }
}

/// Follows until a place of the log is reached; gives all that was told.
pub(crate) async fn follow(mut feed: Feed, mut until: watch::Receiver<Option<Lsn>>) -> Vec<(Lsn, Record)> {
    let mut told = Vec::new();
    loop {
        let end = *until.borrow();
        if end.is_some_and(|end| feed.position() >= end) {
            return told;
        }
        tokio::select! {
            event = feed.next() => match event.expect("the feed goes on") {
                FeedEvent::Record(record) => told.push((record.lsn, record.record)),
                FeedEvent::Progress { position, durable } => assert!(position <= durable),
            },
            _ = until.changed() => {}
        }
    }
}

#[test]
fn every_subscriber_sees_every_record_of_its_filter_once_and_in_order_though_the_server_is_killed() {
    let mut random = harness::random("feed");
    let (subscriptions, kills) = (setting("CAGE_SUBSCRIPTIONS", 60), setting("CAGE_KILLS", 3));
    run_for(SOON * 10, async {
        let dir = folder();
        let mut ledger = Ledger::small(dir.path());
        let casino = Rc::new(Casino::funded(&ledger, PLAYERS, 1_000_000).await);
        let mut clients = BTreeMap::new();
        for role in [Role::Auditor, Role::Games, Role::Risk, Role::Support, Role::Frontend] {
            clients.insert(role, client(&ledger, role).await);
        }
        let (told_end, end) = watch::channel(None);
        let mut followers = JoinSet::new();
        for _ in 0..subscriptions {
            let (role, filter) = filter(&mut random, &casino.players);
            let after = if random.random_bool(0.5) { Lsn(0) } else { Lsn(random.random_range(0..20)) };
            let (feed, end) = (clients[&role].subscribe(filter, after), end.clone());
            followers.spawn_local(async move { (filter, after, follow(feed, end).await) });
        }
        let (stop, stopped) = watch::channel(false);
        let players: Vec<_> = (0..3)
            .map(|_| {
                let random = rand::SeedableRng::seed_from_u64(random.random());
                spawn_local(play(clients[&Role::Games].clone(), Rc::clone(&casino), random, stopped.clone()))
            })
            .collect();
        for _ in 0..kills {
            // Until the feed is under way again, and something was written meanwhile.
            let mut news = clients[&Role::Auditor].subscribe(Filter::EVERYTHING, Lsn(0));
            let some = news.position().0 + random.random_range(200..1_200);
            let from = clients[&Role::Auditor].watermark().lsn;
            while news.position().0 < from + some {
                soon("news", news.next()).await.expect("the feed goes on");
            }
            ledger = ledger.kill().ledger();
        }
        stop.send_replace(true);
        for player in players {
            player.await.expect("no panic");
        }
        let last = clients[&Role::Games].submit(casino.cancel(0, new_id())).await.expect("a last record");
        told_end.send_replace(Some(last.lsn));
        let mut seen = Vec::new();
        while let Some(follower) = soon("a follower", followers.join_next()).await {
            seen.push(follower.expect("no panic"));
        }
        ledger.close().await;
        let (records, _) = log::records(dir.path());
        let records: Vec<_> = records.into_iter().filter(|(lsn, _)| *lsn <= last.lsn).collect();
        let mut count = 0;
        for (filter, after, told) in seen {
            let wanted = wanted(&records, &filter, after);
            let lsns = |records: &[(Lsn, Record)]| records.iter().map(|(lsn, _)| lsn.0).collect::<Vec<_>>();
            assert_eq!(lsns(&told), lsns(&wanted), "{filter:?} after {after}");
            assert!(told == wanted, "other records than in the log: {filter:?}");
            count += told.len();
        }
        println!("{subscriptions} subscriptions, {kills} kills: {count} records told of {}", records.len());
        assert!(count > records.len(), "something was followed");
    });
}

/// So many records, as a raw subscriber is sent them; other frames are passed over.
async fn records_of(wire: &mut Wire, count: usize) -> Vec<Lsn> {
    let mut lsns = Vec::new();
    while lsns.len() < count {
        let (kind, items) = soon("a frame", wire.frame()).await.expect("the feed goes on");
        if kind == FrameKind::Feed {
            let items = items.chunks_exact(feed::FEED_ITEM_BYTES);
            lsns.extend(items.map(|item| feed::read_feed_item(item).expect("an item").0));
        }
    }
    lsns
}

/// How the feed of a raw subscriber ends.
async fn end_of(wire: &mut Wire) -> (FeedEndCode, Lsn) {
    loop {
        let (kind, items) = soon("the end", wire.frame()).await.expect("an end before the stream's");
        if kind == FrameKind::FeedEnd {
            let end = FeedEnd::from_bytes(&items).expect("an end");
            assert!(!end.reason.is_empty(), "it says why");
            return (end.code.expect("a known code"), end.resume_after);
        }
    }
}

fn subscribe(after: u64, filter: Filter, credit: u64) -> Vec<u8> {
    frame::subscribe(&Subscribe { after: Lsn(after), filter, credit })
}

#[test]
fn a_subscriber_that_takes_nothing_is_cut_off_and_told_where_to_resume_and_the_others_are_not() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::funded(&ledger, 2, 1_000_000).await;
        let mut slow = Wire::greeted(&ledger, Role::Auditor).await;
        slow.write(&subscribe(0, Filter::EVERYTHING, 5)).await;
        assert_eq!(records_of(&mut slow, 5).await, (1..=5).map(Lsn).collect::<Vec<_>>());

        // Everything goes on without it.
        let games = client(&ledger, Role::Games).await;
        let mut quick = client(&ledger, Role::Auditor).await.subscribe(Filter::EVERYTHING, Lsn(0));
        let last = games.submit(casino.reserve(0, 1, 1)).await.expect("a bet").lsn;
        while quick.position() < last {
            soon("a record", quick.next()).await.expect("the feed goes on");
        }
        assert_eq!(end_of(&mut slow).await, (FeedEndCode::TooSlow, Lsn(5)));
        let mut again = Wire::greeted(&ledger, Role::Auditor).await;
        again.write(&subscribe(5, Filter::EVERYTHING, 0)).await;
        again.write(&frame::credit(3)).await;
        assert_eq!(
            records_of(&mut again, 3).await,
            [Lsn(6), Lsn(7), Lsn(8)],
            "no more than it has credit for"
        );
        again.write(&frame::credit(1_000)).await;
        let rest = (9..=last.0).map(Lsn).collect::<Vec<_>>();
        assert_eq!(records_of(&mut again, rest.len()).await, rest);
        games.close().await;
        ledger.close().await;
    });
}

#[test]
fn each_role_follows_what_it_is_there_for_and_nothing_else() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::open(&ledger, 1).await;
        let all = Filter::EVERYTHING;
        let one_player = all.of_player(casino.players[0]);
        let provider = all.of_provider(7);
        let deposits = all.of_kinds(&[OperationKind::DepositCredit, OperationKind::WithdrawApprove]);
        let too_much = all.of_kinds(&[OperationKind::DepositCredit, OperationKind::Bet]);
        let everybody = |role| match role {
            Role::Support => [false, true, false, false, false],
            Role::Games => [false, false, true, false, false],
            Role::Chain => [false, false, false, true, false],
            _ => [true; 5],
        };
        for role in Role::CALLERS {
            for (filter, may) in
                [all, one_player, provider, deposits, too_much].into_iter().zip(everybody(role))
            {
                assert_eq!(may_follow(&ledger, role, filter).await, may, "{role:?} {filter:?}");
            }
        }
        // The house says who of the games' bridges may see which provider's.
        let operator = client(&ledger, Role::Operator).await;
        let rule = Rule::PermitsRequired;
        let strict = Operation::SetRule { rule, scope: Role::Games as u64, value: 1 };
        operator.submit(strict).await.expect("a rule");
        assert!(!may_follow(&ledger, Role::Games, provider).await, "a strict role needs a permit");
        let actor = cage::certs::Identity::of(&certificate(&ledger, Role::Games)).expect("an identity").actor;
        let scope = u64::from(actor) << 32 | 7;
        operator
            .submit(Operation::SetRule { rule: Rule::CallerProvider, scope, value: 1 })
            .await
            .expect("a rule");
        assert!(may_follow(&ledger, Role::Games, provider).await, "here it is");
        assert!(!may_follow(&ledger, Role::Games, all.of_provider(8)).await, "for this provider");
        let other = Operation::SetRule { rule: Rule::ProviderActor, scope: 7, value: 12_345 };
        operator.submit(other).await.expect("a rule");
        assert!(
            !may_follow(&ledger, Role::Games, provider).await,
            "another identity is the provider's only one"
        );
        operator.close().await;
        ledger.close().await;
    });
}

fn certificate(ledger: &Ledger, role: Role) -> rustls::pki_types::CertificateDer<'static> {
    let pair = cage_client::load_pair(&ledger.certs(), role.name()).expect("a pair");
    pair.chain.into_iter().next().expect("a certificate")
}

/// Whether the server takes a subscription; if it refuses, the client must say so for good.
async fn may_follow(ledger: &Ledger, role: Role, filter: Filter) -> bool {
    let config = Config { deadline: SOON, connect_time: SOON, ..Config::new(ledger.address()) };
    let client = Client::connect(config, credentials(&ledger.certs(), role)).await.expect("a connection");
    let mut feed = client.subscribe(filter, Lsn(0));
    let first = soon("an answer", feed.next()).await;
    match first {
        Ok(FeedEvent::Progress { position: Lsn(0), .. }) => true,
        Err(FeedError::NotAllowed { .. }) => {
            assert!(matches!(feed.next().await, Err(FeedError::NotAllowed { .. })), "and it stays so");
            false
        }
        other => panic!("{role:?} {filter:?}: {other:?}"),
    }
}

#[test]
fn a_subscription_that_is_none_ends_the_stream_or_the_connection_and_nothing_else() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::open(&ledger, 1).await;
        let greeted = async || Wire::greeted(&ledger, Role::Auditor).await;
        let mut wire = greeted().await;
        wire.write(&subscribe(1_000_000, Filter::EVERYTHING, 5)).await;
        assert_eq!(end_of(&mut wire).await, (FeedEndCode::Ahead, Lsn(1_000_000)));
        let mut wire = greeted().await;
        let mut mistyped = subscribe(0, Filter::EVERYTHING.of_player(casino.players[0]), 5);
        mistyped[16] ^= 1;
        wire.write(&mistyped).await;
        assert_eq!(end_of(&mut wire).await, (FeedEndCode::Malformed, Lsn(0)));
        let mut wire = greeted().await;
        wire.operate(new_id(), &casino.deposit(0, 1)).await;
        wire.write(&subscribe(0, Filter::EVERYTHING, 5)).await;
        assert_eq!(wire.closed().await, Some(CloseCode::FrameMalformed), "a stream of requests stays one");
        let mut wire = greeted().await;
        wire.write(&[subscribe(0, Filter::EVERYTHING, 5), subscribe(0, Filter::EVERYTHING, 5)].concat())
            .await;
        assert_eq!(wire.closed().await, Some(CloseCode::FrameUnknown), "a subscriber sends credit");
        let mut wire = greeted().await;
        wire.write(&frame::credit(7)).await;
        assert_eq!(wire.closed().await, Some(CloseCode::FrameUnknown), "for nothing there is no credit");
        let mut wire = greeted().await;
        wire.write(&subscribe(0, Filter::EVERYTHING, u64::MAX)).await;
        assert_eq!(records_of(&mut wire, 3).await[..3], [Lsn(1), Lsn(2), Lsn(3)]);
        let ((), ended) = tokio::join!(
            async { assert_eq!(end_of(&mut wire).await.0, FeedEndCode::Draining) },
            ledger.terminate(),
        );
        assert!(ended.0.status.success(), "a subscriber does not hold the server up: {ended:?}");
    });
}

/// How long after its reply a record comes over the feed, in the same process: both wait for the same write to the disk.
#[test]
#[ignore = "it measures: run it alone, optimised, with --nocapture"]
fn how_long_after_its_reply_a_record_is_fed() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Rc::new(Casino::funded(&ledger, 2, 1_000_000).await);
        let frontend = client(&ledger, Role::Frontend).await;
        let filter = Filter::EVERYTHING.of_player(casino.players[0]);
        let mut feed = client(&ledger, Role::Auditor).await.subscribe(filter, Lsn(frontend.watermark().lsn));
        let (told, mut times) = tokio::sync::mpsc::unbounded_channel();
        let follower = spawn_local(async move {
            while let Ok(found) = feed.next_record().await {
                if told.send((found.lsn, std::time::Instant::now())).is_err() {
                    return;
                }
            }
        });
        let mut micros = Vec::new();
        for _ in 0..2_000 {
            let sent = frontend.submit(casino.transfer(0, 1, 1)).await.expect("a transfer");
            let replied = std::time::Instant::now();
            loop {
                let (lsn, fed) = soon("the record", times.recv()).await.expect("it is followed");
                if lsn == sent.lsn {
                    micros.push(fed.saturating_duration_since(replied).as_micros());
                    break;
                }
            }
        }
        follower.abort();
        micros.sort_unstable();
        let at = |part: usize| micros[micros.len() * part / 1_000];
        println!("after the reply: p50 {} us, p99 {} us, p99.9 {} us", at(500), at(990), at(999));
        ledger.close().await;
    });
}
