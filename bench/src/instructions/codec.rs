//! Bytes: of the wire, and of records.

use std::hint::black_box;

use cage_engine::{
    Admitted, Amount, AssetId, Decision, Expiry, GameId, Lsn, Operation, PlayerId, RECORD_BYTES, Record,
    RequestId, Role, SessionId, State, Timestamp, decide,
};
use cage_protocol::frame::header;
use cage_protocol::{Ask, Asked, Frame, FrameKind, REPLY_BYTES, Reply, WIRE_REQUEST_BYTES};

/// Requests in a frame.
const ITEMS: usize = 64;
const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// Writes or reads some bytes.
pub(super) type Told = fn(&Samples, u64);

/// What is counted of the bytes, under its name.
pub(super) const BYTES: &[(&str, Told)] = &[
    // Written by a client, read and checked by the server.
    ("wire, request written", |it, number| {
        black_box(black_box(&it.ask).to_bytes(number));
    }),
    ("wire, request read", |it, _| {
        black_box(Asked::from_bytes(black_box(&it.request)));
    }),
    // Written by the server, read by a client.
    ("wire, reply written", |it, _| {
        black_box(black_box(&it.reply).to_bytes());
    }),
    ("wire, reply read", |it, _| {
        black_box(Reply::from_bytes(black_box(&it.reply_bytes)));
    }),
    // Cut out of a stream, its items told apart.
    ("wire, frame of 64 told apart", |it, _| split(black_box(&it.frame))),
    // Read back from the log.
    ("record read", |it, _| {
        let _ = black_box(Record::from_bytes(black_box(&it.record)));
    }),
];

/// One of each.
pub(super) struct Samples {
    ask: Ask,
    request: [u8; WIRE_REQUEST_BYTES],
    reply: Reply,
    reply_bytes: [u8; REPLY_BYTES],
    record: [u8; RECORD_BYTES],
    frame: Vec<u8>,
}

impl Samples {
    pub(super) fn new() -> Self {
        let request = reserve().request(RequestId::from_time(NOW, 7));
        let ask = Ask::operation(request);
        let record =
            refused_record(Admitted { request, role: Role::Games, actor: 1, grant: 0, received: NOW });
        let reply = Reply::of_record(1, Lsn(1), &record, false);
        let (request, reply_bytes) = (ask.to_bytes(1), reply.to_bytes());
        Self { ask, request, reply, reply_bytes, record: record.to_bytes(), frame: frame(&request) }
    }
}

const fn reserve() -> Operation {
    Operation::Reserve {
        player: PlayerId::from_index(1),
        asset: AssetId(1),
        stake: Amount(100),
        payout_max: Amount(200),
        game: GameId::new(1, 7),
        session: SessionId(0),
        round: None,
        expiry: Expiry::Never,
    }
}

/// A record: an empty ledger refuses, and a refusal has as many bytes as anything.
fn refused_record(admitted: Admitted) -> Record {
    let mut state = State::new(1);
    let settings = cage_engine::Settings::DEFAULT;
    let configure =
        Operation::Configure { settings: cage_engine::Settings { ids_capacity: 1 << 10, ..settings } };
    let setup = Admitted { request: configure.request(RequestId(1)), role: Role::System, ..admitted };
    for admitted in [setup, admitted] {
        let lsn = state.next_lsn();
        let Decision::Record(record) = decide(&state, NOW, &admitted) else { continue };
        if admitted.role == Role::Games {
            return record;
        }
        if let Err(fault) = state.apply(lsn, &record) {
            panic!("a decided record is applied: {fault}");
        }
    }
    unreachable!("a refusal of the ledger is a record")
}

fn frame(item: &[u8; WIRE_REQUEST_BYTES]) -> Vec<u8> {
    let mut bytes = header(FrameKind::Requests, ITEMS).to_vec();
    for _ in 0..ITEMS {
        bytes.extend_from_slice(item);
    }
    bytes
}

fn split(bytes: &[u8]) {
    let Ok(Some((frame, _))) = Frame::split(bytes) else { unreachable!("a whole frame") };
    for item in frame.items() {
        black_box(item);
    }
}
