//! The bytes of the wire are a published contract: what stands in `golden/vectors.json` is what this build writes
//! and reads. Readers in other languages check themselves against the same file.
//!
//! `CAGE_BLESS=1 cargo test -p cage-protocol` writes the file anew; the difference belongs into the review.

use std::fmt::Write as _;

use cage_engine::{
    Amount, AssetCode, AssetId, Balance, CallerId, Expiry, GameId, Lsn, Operation, OperationKind,
    PlayerClass, PlayerId, Purse, Reference, Request, RequestId, ResultCode, SessionId, Timestamp,
};
use cage_protocol::{
    Ask, Asked, Checkpoint, CloseCode, FeedEnd, FeedEndCode, Filter, Frame, FrameKind, Hello, OpenSession,
    Progress, Query, QueryEnd, QueryKind, Read, Reply, Row, SignedCheckpoint, Subscribe, Watermark, Welcome,
    feed, frame,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/vectors.json");

fn id(number: u128) -> RequestId {
    RequestId::from_time(Timestamp::from_millis(1_700_000_000_000), number)
}

fn operations() -> Vec<Operation> {
    let (player, other) = (PlayerId::from_index(0), PlayerId::from_index(1));
    let asset = AssetId(1);
    vec![
        Operation::OpenAsset {
            code: AssetCode::new("ETH").unwrap(),
            scale: 18,
            transfers: true,
            amount_max: Amount(10_u128.pow(24)),
        },
        Operation::OpenPlayer {
            caller_id: CallerId(0x0123_4567_89ab_cdef),
            brand: 7,
            jurisdiction: 49,
            class: PlayerClass::Test,
        },
        Operation::DepositCredit {
            player,
            asset,
            amount: Amount(10_u128.pow(20)),
            chain: 1,
            locked: None,
            turnover: Amount::ZERO,
        },
        Operation::Transfer { from: player, to: other, asset, amount: Amount(5), session: SessionId(9) },
        Operation::Reserve {
            player,
            asset,
            stake: Amount(100),
            payout_max: Amount(3_600),
            game: GameId::new(3, 44),
            session: SessionId(9),
            round: None,
            expiry: Expiry::Release(Timestamp::from_millis(1_700_000_060_000)),
        },
        Operation::Settle { player, asset, hold: id(5), stake: Amount(100), payout: Amount(250) },
        Operation::Cancel { player, asset, hold: id(5) },
        Operation::Bet {
            player,
            asset,
            stake: Amount(100),
            bet: Reference(0xbe7),
            game: GameId::new(3, 44),
            session: SessionId(9),
            payout_max: Amount(3_600),
            round: Reference(0x0f_f1ce),
            ends_round: true,
        },
    ]
}

/// What each of them is sent as: the second one opens a group, the last one's caller acts under a grant.
fn asks() -> Vec<Ask> {
    let operations = operations();
    let count = operations.len();
    let ask = |(number, operation): (usize, Operation)| {
        let linked = number == 1;
        let request = Request { linked, ..operation.request(id(number as u128 + 1)) };
        Ask::Operation { request, grant: if number + 1 == count { 0xcafe } else { 0 } }
    };
    operations.into_iter().enumerate().map(ask).collect()
}

/// A kind, a name, the bytes, and the fields that a reader must find in them, in the order of the bytes.
type Vector = (&'static str, String, Vec<u8>, Vec<(&'static str, String)>);

fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (number, ask) in asks().into_iter().enumerate() {
        let Ask::Operation { request, grant } = ask else { panic!("an operation") };
        let tag = 0x1000 + number as u64;
        let bytes = ask.to_bytes(tag).to_vec();
        let fields = vec![
            ("kind", request.kind.number().to_string()),
            ("asset", request.asset.0.to_string()),
            ("flags", (u16::from(request.linked) | u16::from(request.ends_round) << 1).to_string()),
            ("id", request.id.0.to_string()),
            ("reference", request.reference.to_string()),
            ("amount", request.amount.0.to_string()),
            ("player", request.player.number().to_string()),
            ("session", request.session.0.to_string()),
            ("game", request.game.0.to_string()),
            ("detail", hex(&request.detail.0)),
            ("tag", tag.to_string()),
            ("grant", grant.to_string()),
        ];
        vectors.push(("request", request.kind.name().to_owned(), bytes, fields));
    }
    let read = Read::Balances { player: PlayerId::from_index(0), asset: AssetId(1) };
    let fields = [("kind", 0x2001), ("asset", 1), ("player", PlayerId::from_index(0).number()), ("tag", 77)];
    let fields = fields.map(|(name, value): (_, u64)| (name, value.to_string())).to_vec();
    vectors.push(("request", "read_balances".to_owned(), Ask::Read(read).to_bytes(77).to_vec(), fields));
    let read = Read::Purse { player: PlayerId::from_index(0), asset: AssetId(1), purse: Purse::Allowance };
    let player = PlayerId::from_index(0).number();
    let fields = [("kind", 0x2003), ("asset", 1), ("player", player), ("session", 4), ("tag", 78)];
    let fields = fields.map(|(name, value): (_, u64)| (name, value.to_string())).to_vec();
    vectors.push(("request", "read_purse".to_owned(), Ask::Read(read).to_bytes(78).to_vec(), fields));
    let read = Read::Session { session: SessionId(9) };
    let fields = [("kind", 0x2004), ("session", 9), ("tag", 79)];
    let fields = fields.map(|(name, value): (_, u64)| (name, value.to_string())).to_vec();
    vectors.push(("request", "read_session".to_owned(), Ask::Read(read).to_bytes(79).to_vec(), fields));
    let (kind, name) = ("open_session", "open_session".to_owned());
    let fields = vec![
        ("tag", "80".to_owned()),
        ("id", id(10).0.to_string()),
        ("grant", "51966".to_owned()),
        ("token", hex(TOKEN)),
    ];
    vectors.push((kind, name, open_session().to_bytes(), fields));
    for (name, reply) in replies() {
        let flags = u8::from(reply.available.is_some())
            | u8::from(reply.reserved.is_some()) << 1
            | u8::from(reply.repeated) << 2;
        let fields = vec![
            ("tag", reply.tag.to_string()),
            ("lsn", reply.lsn.0.to_string()),
            ("player", reply.player.to_string()),
            ("result", reply.result.number().to_string()),
            ("asset", reply.asset.0.to_string()),
            ("flags", flags.to_string()),
            ("available", reply.available.unwrap_or_default().0.to_string()),
            ("reserved", reply.reserved.unwrap_or_default().0.to_string()),
        ];
        vectors.push(("reply", name.to_owned(), reply.to_bytes().to_vec(), fields));
    }
    let seen = Watermark { log_id: 5 << 100, lsn: 1_000, chain_lsn: 998, chain_head: [0xab; 32] };
    let watermark = |seen: Watermark| {
        vec![
            ("log_id", seen.log_id.to_string()),
            ("lsn", seen.lsn.to_string()),
            ("chain_lsn", seen.chain_lsn.to_string()),
            ("chain_head", hex(&seen.chain_head)),
        ]
    };
    let hello = Hello { version_min: 0, version_max: 3, checkpoints: true, evidence: false, seen };
    let fields = [
        vec![("version_min", "0".to_owned()), ("version_max", "3".to_owned()), ("flags", "1".to_owned())],
        watermark(seen),
    ]
    .concat();
    vectors.push(("hello", "hello".to_owned(), hello.to_bytes().to_vec(), fields));
    let welcome = welcome(seen);
    let fields = [
        vec![
            ("version", "0".to_owned()),
            ("role", "1".to_owned()),
            ("frame_items_max", "1024".to_owned()),
            ("in_flight_max", "65536".to_owned()),
            ("epoch", "81985529216486895".to_owned()),
            ("now", "1700000000000000000".to_owned()),
            ("id_horizon", "1699999000000000000".to_owned()),
        ],
        watermark(seen),
    ]
    .concat();
    vectors.push(("welcome", "welcome".to_owned(), welcome.to_bytes().to_vec(), fields));
    let signed = checkpoint();
    let Checkpoint { log_id, previous_lsn, lsn, frames, chain_head, root, digest_lsn, digest, time, key } =
        signed.checkpoint;
    let fields = vec![
        ("log_id", log_id.to_string()),
        ("previous_lsn", previous_lsn.to_string()),
        ("lsn", lsn.to_string()),
        ("frames", frames.to_string()),
        ("chain_head", hex(&chain_head)),
        ("root", hex(&root)),
        ("digest_lsn", digest_lsn.to_string()),
        ("digest", hex(&digest)),
        ("time", time.to_string()),
        ("key", key.to_string()),
        ("signature", hex(&signed.signature)),
    ];
    vectors.push(("checkpoint", "checkpoint".to_owned(), signed.to_bytes().to_vec(), fields));
    let fields = vec![("length", "256".to_owned()), ("kind", "7".to_owned()), ("count", "1".to_owned())];
    vectors.push(("frame", "checkpoint".to_owned(), frame::checkpoint(&signed), fields));
    let goodbye = frame::goodbye(CloseCode::Draining, "see you");
    let fields = vec![("length", "128".to_owned()), ("kind", "5".to_owned()), ("count", "1".to_owned())];
    vectors.push(("frame", "goodbye".to_owned(), goodbye, fields));
    let length = (26 + TOKEN.len()).to_string();
    let fields = vec![("length", length), ("kind", "6".to_owned()), ("count", "1".to_owned())];
    vectors.push(("frame", "open_session".to_owned(), frame::open_session(&open_session()), fields));
    vectors.extend(feed_vectors());
    vectors.extend(query_vectors());
    vectors
}

fn subscriptions() -> [(&'static str, Subscribe); 2] {
    let all = Subscribe { after: Lsn(0), filter: Filter::EVERYTHING, credit: 1_024 };
    let kinds = [OperationKind::OpenAsset, OperationKind::Reserve, OperationKind::LateCorrection];
    let filter = Filter::EVERYTHING.of_player(PlayerId::from_index(4)).of_provider(7).of_kinds(&kinds);
    [("subscribe_all", all), ("subscribe", Subscribe { after: Lsn(998), filter, credit: 5 })]
}

fn query() -> Query {
    let (player, provider) = (Some(PlayerId::from_index(4)), Some(7));
    let query = Query::new(QueryKind::OpenHolds);
    Query { asset: AssetId(2), limit: 50, player, provider, cursor: 998, id: 0xabc, ..query }
}

const ROW: Row = Row {
    place: 998,
    player: 195,
    key: 1 << 100,
    asset: 2,
    game: 7 << 20,
    session: 9,
    open_holds: 3,
    opened_at: 1_700_000_000_000_000_000,
    until: 1_700_000_060_000_000_000,
    amount: 1 << 90,
    payout: 1 << 91,
    round: 0x0f_f1ce,
};

const QUERY_END: QueryEnd<'static> =
    QueryEnd { fault: None, more: true, cursor: 998, as_of: Lsn(1_000), reason: "" };

fn query_vectors() -> Vec<Vector> {
    let (asked, row) = (query(), ROW);
    let numbers = |fields: &[(&'static str, u128)]| {
        fields.iter().map(|(name, value)| (*name, value.to_string())).collect::<Vec<_>>()
    };
    let player = asked.player.map_or(0, PlayerId::number);
    let fields = [("kind", 4), ("asset", 2), ("limit", 50), ("flags", 3), ("player", u128::from(player))];
    let fields = numbers(&[&fields[..], &[("provider", 7), ("cursor", 998), ("id", 0xabc)]].concat());
    let mut vectors = vec![("query", "query".to_owned(), asked.to_bytes().to_vec(), fields)];
    let fields = [("place", 998), ("player", 195), ("key", row.key), ("asset", 2), ("game", 7 << 20)];
    let more = [("session", 9), ("open_holds", 3), ("opened_at", u128::from(row.opened_at))];
    let rest = [("until", u128::from(row.until)), ("amount", row.amount), ("payout", row.payout)];
    let fields = numbers(&[&fields[..], &more, &rest, &[("round", row.round)]].concat());
    vectors.push(("row", "row".to_owned(), row.to_bytes().to_vec(), fields));
    let fields = numbers(&[("code", 0), ("more", 1), ("cursor", 998), ("as_of", 1_000)]);
    vectors.push(("query_end", "query_end".to_owned(), QUERY_END.to_bytes().to_vec(), fields));
    let frame = |kind: u128, length: u128| numbers(&[("length", length), ("kind", kind), ("count", 1)]);
    vectors.push(("frame", "query".to_owned(), frame::query(&asked), frame(13, 64)));
    vectors.push(("frame", "query_end".to_owned(), frame::query_end(&QUERY_END), frame(15, 128)));
    vectors
}

const PROGRESS: Progress = Progress { position: Lsn(998), durable: Lsn(1_000) };
const END: FeedEnd<'static> =
    FeedEnd { code: Some(FeedEndCode::TooSlow), resume_after: Lsn(997), reason: "read more" };

fn feed_vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (name, asked) in subscriptions() {
        let Subscribe { after, filter, credit } = asked;
        let bytes = asked.to_bytes();
        let flags = u8::from(filter.player.is_some()) | u8::from(filter.provider.is_some()) << 1;
        let kinds = filter.kinds.named().unwrap_or_default();
        // Bit n of 256 stands for the operation of number n.
        let mut bits = [0; 32];
        kinds.iter().for_each(|kind| bits[usize::from(kind.number() / 8)] |= 1 << (kind.number() % 8));
        let fields = vec![
            ("after", after.0.to_string()),
            ("player", filter.player.map_or(0, PlayerId::number).to_string()),
            ("provider", filter.provider.unwrap_or(0).to_string()),
            ("flags", flags.to_string()),
            ("kinds", hex(&bits)),
            ("credit", credit.to_string()),
        ];
        vectors.push(("subscribe", name.to_owned(), bytes.to_vec(), fields));
    }
    let frame = |kind: u8, length: usize, count: usize| {
        vec![("length", length.to_string()), ("kind", kind.to_string()), ("count", count.to_string())]
    };
    let (_, asked) = subscriptions()[1];
    vectors.push(("frame", "subscribe".to_owned(), frame::subscribe(&asked), frame(8, 64, 1)));
    vectors.push(("frame", "credit".to_owned(), frame::credit(2_048), frame(9, 8, 1)));
    let items = [[1; 264], [2; 264]].concat();
    let records = [frame::header(FrameKind::Feed, 2).as_slice(), &items].concat();
    vectors.push(("frame", "feed".to_owned(), records, frame(10, 528, 2)));
    let fields = vec![("position", "998".to_owned()), ("durable", "1000".to_owned())];
    vectors.push(("progress", "progress".to_owned(), PROGRESS.to_bytes().to_vec(), fields));
    vectors.push(("frame", "progress".to_owned(), frame::progress(&PROGRESS), frame(11, 16, 1)));
    let mut text = [0; 112];
    text[..END.reason.len()].copy_from_slice(END.reason.as_bytes());
    let fields = vec![("code", "1".to_owned()), ("resume_after", "997".to_owned()), ("reason", hex(&text))];
    vectors.push(("feed_end", "feed_end".to_owned(), END.to_bytes().to_vec(), fields));
    vectors.push(("frame", "feed_end".to_owned(), frame::feed_end(&END), frame(12, 128, 1)));
    vectors
}

/// Nothing that anybody would accept.
const TOKEN: &[u8] = b"v4.public.AAAA.AAAA";

fn open_session() -> OpenSession<'static> {
    OpenSession { tag: 80, id: id(10), grant: 0xcafe, token: TOKEN }
}

/// The signature is none; keys are not this package's business.
const fn checkpoint() -> SignedCheckpoint {
    let checkpoint = Checkpoint {
        log_id: 5 << 100,
        previous_lsn: 900,
        lsn: 998,
        frames: 3,
        chain_head: [0xab; 32],
        root: [0xcd; 32],
        digest_lsn: 700,
        digest: [0xef; 32],
        time: 1_700_000_000_000_000_000,
        key: 0x0123_4567_89ab_cdef,
    };
    SignedCheckpoint { checkpoint, signature: [0x5a; 64] }
}

fn replies() -> Vec<(&'static str, Reply)> {
    let executed = Reply {
        tag: 1,
        result: ResultCode::Done,
        repeated: true,
        lsn: Lsn(42),
        asset: AssetId(1),
        player: PlayerId::from_index(0).number(),
        available: Some(Balance(10_i128.pow(20))),
        reserved: Some(Balance(100)),
    };
    let totals =
        Reply { available: Some(Balance(7)), reserved: Some(Balance(-7)), repeated: false, ..executed };
    let refused =
        Reply { result: ResultCode::InsufficientFunds, available: None, reserved: None, ..executed };
    vec![
        ("executed", executed),
        ("totals", totals),
        ("refused", refused),
        ("not_taken", Reply::without_record(9, ResultCode::IdTableFull)),
    ]
}

const fn welcome(durable: Watermark) -> Welcome {
    Welcome {
        version: 0,
        role: 1,
        frame_items_max: 1024,
        in_flight_max: 65_536,
        epoch: 0x0123_4567_89ab_cdef,
        now: 1_700_000_000_000_000_000,
        id_horizon: 1_699_999_000_000_000_000,
        durable,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn rendered() -> String {
    let rows = vectors().into_iter().map(|(kind, name, bytes, fields)| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": \"{value}\"")).collect();
        format!(
            "  {{\"kind\": \"{kind}\", \"name\": \"{name}\", \"bytes\": \"{}\",\n   \"fields\": {{{}}}}}",
            hex(&bytes),
            fields.join(", ")
        )
    });
    format!("[\n{}\n]\n", rows.collect::<Vec<_>>().join(",\n"))
}

#[test]
fn the_golden_vectors_are_what_this_build_writes() {
    let rendered = rendered();
    if std::env::var_os("CAGE_BLESS").is_some() {
        std::fs::write(FILE, &rendered).unwrap();
    }
    let golden = std::fs::read_to_string(FILE).unwrap();
    assert!(golden == rendered, "the wire's bytes changed: see the head of this file");
}

#[test]
fn what_is_written_is_read_back() {
    for (ask, operation) in asks().into_iter().zip(operations()) {
        let asked = Asked::from_bytes(&ask.to_bytes(u64::MAX - 3));
        let Ask::Operation { request, .. } = ask else { panic!("an operation") };
        assert_eq!(asked, Asked { tag: u64::MAX - 3, linked: request.linked, ask: Ok(ask) });
        assert_eq!(Operation::try_from(&request), Ok(operation));
    }
    let (player, asset) = (PlayerId::from_index(3), AssetId(2));
    for read in [
        Read::Balances { player, asset },
        Read::Totals { asset },
        Read::Purse { player, asset, purse: Purse::Withdrawing },
        Read::Session { session: SessionId(u32::MAX) },
    ] {
        let expected = Asked { tag: 1, linked: false, ask: Ok(Ask::Read(read)) };
        assert_eq!(Asked::from_bytes(&Ask::Read(read).to_bytes(1)), expected);
    }
    let framed = frame::open_session(&open_session());
    let (read, _) = Frame::split(&framed).unwrap().unwrap();
    assert_eq!(read.items().len(), 1);
    assert_eq!(OpenSession::from_bytes(read.items), Some(open_session()));
    for (_, asked) in subscriptions() {
        assert_eq!(Subscribe::from_bytes(&asked.to_bytes()), Ok(asked));
    }
    assert_eq!(Query::from_bytes(&query().to_bytes()), Ok(query()));
    assert_eq!(Row::from_bytes(&ROW.to_bytes()), Some(ROW));
    assert_eq!(QueryEnd::from_bytes(&QUERY_END.to_bytes()), Some(QUERY_END));
    assert_eq!(Progress::from_bytes(&PROGRESS.to_bytes()), Some(PROGRESS));
    assert_eq!(FeedEnd::from_bytes(&END.to_bytes()), Some(END));
    let item = [&7_u64.to_le_bytes()[..], &[9; 256]].concat();
    assert_eq!(feed::read_feed_item(&item), Some((Lsn(7), &[9; 256])));
    assert_eq!(feed::read_feed_item(&item[1..]), None);
    for (_, reply) in replies() {
        assert_eq!(Reply::from_bytes(&reply.to_bytes()), Some(reply));
    }
    let seen = Watermark { log_id: 1, lsn: 2, chain_lsn: 3, chain_head: [4; 32] };
    let signed = checkpoint();
    assert_eq!(SignedCheckpoint::from_bytes(&signed.to_bytes()), Some(signed));
    let hello = Hello { version_min: 0, version_max: 1, checkpoints: false, evidence: true, seen };
    assert_eq!(Hello::from_bytes(&hello.to_bytes()), Some(hello));
    assert_eq!(Welcome::from_bytes(&welcome(seen).to_bytes()), Some(welcome(seen)));
    let goodbye = frame::goodbye(CloseCode::LogFailed, "ö".repeat(200).as_str());
    let (read, length) = Frame::split(&goodbye).unwrap().unwrap();
    assert_eq!(length, goodbye.len());
    let (code, reason) = frame::read_goodbye(read.items);
    assert_eq!(
        (code, reason),
        (Some(CloseCode::LogFailed), "ö".repeat(62).as_str()),
        "cut between characters"
    );
}
