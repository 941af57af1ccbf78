//! Bytes: of the wire, and of records.

use std::hint::black_box;

use cage_engine::{
    Admitted, Amount, AssetId, Decision, Expiry, GameId, Lsn, Operation, PlayerId, Record, RequestId, Role,
    SessionId, State, Timestamp, decide,
};
use cage_protocol::frame::header;
use cage_protocol::{Ask, Asked, Frame, FrameKind, Reply, WIRE_REQUEST_BYTES};

use super::Story;

/// Requests in a frame.
const ITEMS: usize = 64;
const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// Does `count` operations of a story.
pub(super) fn once(story: Story, count: u64) {
    let request = reserve().request(RequestId::from_time(NOW, 7));
    let ask = Ask::operation(request);
    let record = refused_record(Admitted { request, role: Role::Games, actor: 1, grant: 0, received: NOW });
    let (request_bytes, record_bytes) = (ask.to_bytes(1), record.to_bytes());
    let reply = Reply::of_record(1, Lsn(1), &record, false);
    let reply_bytes = reply.to_bytes();
    let frame = frame(&request_bytes);
    for number in 0..count {
        match story {
            Story::RequestEncode => drop(black_box(black_box(&ask).to_bytes(number))),
            Story::RequestParse => drop(black_box(Asked::from_bytes(black_box(&request_bytes)))),
            Story::ReplyEncode => drop(black_box(black_box(&reply).to_bytes())),
            Story::ReplyParse => drop(black_box(Reply::from_bytes(black_box(&reply_bytes)))),
            Story::FrameSplit => split(black_box(&frame)),
            Story::RecordParse => drop(black_box(Record::from_bytes(black_box(&record_bytes)))),
            _ => unreachable!("the others have a ledger"),
        }
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
