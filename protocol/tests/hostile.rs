//! Bytes from outside never make the decoder panic, and what it accepts means exactly one thing.

use cage_engine::{Amount, AssetId, Malformed, Operation, PlayerId, Purse, RequestId, ResultCode, SessionId};
use cage_protocol::{
    Ask, Asked, CloseCode, FRAME_BYTES_MAX, FeedEnd, Frame, FrameKind, Hello, OpenSession, Progress, Query,
    QueryEnd, Read, Reply, Row, Subscribe, Welcome, feed, frame,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

fn seed() -> u64 {
    let seed = std::env::var("CAGE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    println!("repeat with CAGE_SEED={seed}");
    seed
}

fn transfer() -> [u8; 128] {
    let transfer = Operation::Transfer {
        from: PlayerId::from_index(0),
        to: PlayerId::from_index(1),
        asset: AssetId(1),
        amount: Amount(5),
        session: SessionId(0),
    };
    Ask::operation(transfer.request(RequestId(7))).to_bytes(11)
}

#[test]
fn no_bytes_make_the_decoder_panic_and_what_it_accepts_is_written_the_same() {
    let mut random = SmallRng::seed_from_u64(seed());
    let good = transfer();
    let mut accepted = 0;
    for round in 0..300_000 {
        let mut bytes = if round % 2 == 0 { good } else { [0; 128] };
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let asked = Asked::from_bytes(&bytes);
        if let Ok(ask) = asked.ask {
            assert_eq!(ask.to_bytes(asked.tag), bytes, "one meaning, one way to write it");
            accepted += 1;
        }
        let _ = Reply::from_bytes(&bytes[..64]);
        let _ = Hello::from_bytes(&bytes[..96]);
        let _ = Welcome::from_bytes(&bytes);
        let _ = Frame::split(&bytes);
        if let Ok(asked) = Subscribe::from_bytes(&bytes[..64]) {
            assert_eq!(asked.to_bytes(), bytes[..64], "one meaning, one way to write it");
        }
        if let Ok(asked) = Query::from_bytes(&bytes[..64]) {
            assert_eq!(asked.to_bytes(), bytes[..64], "one meaning, one way to write it");
        }
        let _ = (Row::from_bytes(&bytes), QueryEnd::from_bytes(&bytes));
        let cut = &bytes[..random.random_range(0..=128)];
        let _ = (Progress::from_bytes(cut), feed::read_feed_item(cut), FeedEnd::from_bytes(cut));
        let _ = frame::read_goodbye(&bytes[..random.random_range(0..=128)]);
        let _ = OpenSession::from_bytes(&bytes[..random.random_range(0..=128)]);
    }
    assert!(accepted > 1_000, "mutations that change an amount or a tag are still requests: {accepted}");
}

#[test]
fn a_frame_is_taken_whole_or_not_at_all_wherever_the_bytes_are_cut() {
    let items: Vec<u8> = (0..3).flat_map(|_| transfer()).collect();
    let bytes = [frame::header(FrameKind::Requests, 3).as_slice(), &items].concat();
    for cut in 0..bytes.len() {
        assert_eq!(Frame::split(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
    let two = [bytes.as_slice(), &bytes].concat();
    let (read, length) = Frame::split(&two).unwrap().unwrap();
    assert_eq!((read.kind, read.items, length), (FrameKind::Requests, items.as_slice(), bytes.len()));
    assert_eq!(read.items().len(), 3);
}

#[test]
fn a_frame_that_cannot_be_is_refused_from_its_header_on() {
    let header = |length: u32, kind: u8, zero: u8, count: u16| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend([kind, zero]);
        bytes.extend(count.to_le_bytes());
        Frame::split(&bytes).map(|frame| frame.is_some()).map_err(|fault| fault.code)
    };
    assert_eq!(header(128, 3, 0, 1), Ok(false), "the items are still to come");
    assert_eq!(header(FRAME_BYTES_MAX as u32, 3, 0, 1024), Err(CloseCode::FrameTooLong));
    assert_eq!(header(u32::MAX, 3, 0, 1), Err(CloseCode::FrameTooLong));
    assert_eq!(header(128, 0, 0, 1), Err(CloseCode::FrameUnknown));
    assert_eq!(header(128, 99, 0, 1), Err(CloseCode::FrameUnknown));
    assert_eq!(
        header(264 * 257, 10, 0, 257),
        Err(CloseCode::FrameMalformed),
        "a frame of the feed holds 256"
    );
    assert_eq!(header(256, 7, 0, 1), Ok(false));
    assert_eq!(header(512, 7, 0, 2), Err(CloseCode::FrameMalformed));
    assert_eq!(header(26, 6, 0, 1), Ok(false), "a token of no bytes is refused as a token");
    assert_eq!(header(FRAME_BYTES_MAX as u32 - 8, 6, 0, 1), Ok(false), "and so is one that is too long");
    assert_eq!(header(25, 6, 0, 1), Err(CloseCode::FrameMalformed));
    assert_eq!(header(300, 6, 0, 2), Err(CloseCode::FrameMalformed), "one token is enough");
    assert_eq!(header(300, 6, 0, 0), Err(CloseCode::FrameMalformed));
    assert_eq!(header(128, 3, 1, 1), Err(CloseCode::FrameMalformed));
    assert_eq!(header(0, 3, 0, 0), Err(CloseCode::FrameMalformed));
    assert_eq!(header(127, 3, 0, 1), Err(CloseCode::FrameMalformed));
    assert_eq!(header(96 * 2, 1, 0, 2), Err(CloseCode::FrameMalformed), "one hello is enough");
}

#[test]
fn each_wrong_field_gets_its_own_number() {
    let code = |at: usize, value: &[u8]| {
        let mut bytes = transfer();
        bytes[at..at + value.len()].copy_from_slice(value);
        match Asked::from_bytes(&bytes).ask {
            Ok(_) => ResultCode::Done,
            Err(Malformed { code, .. }) => code,
        }
    };
    assert_eq!(code(0, &[]), ResultCode::Done);
    assert_eq!(code(0, &0x0fff_u16.to_le_bytes()), ResultCode::OperationUnknown);
    assert_eq!(code(0, &1_u16.to_le_bytes()), ResultCode::OperationUnknown, "the ledger's own operations");
    assert_eq!(code(0, &131_u16.to_le_bytes()), ResultCode::OperationUnknown, "expire is the ledger's own");
    assert_eq!(code(0, &0x2fff_u16.to_le_bytes()), ResultCode::OperationUnknown);
    assert_eq!(code(2, &[0; 2]), ResultCode::Malformed, "no asset");
    assert_eq!(code(4, &[1]), ResultCode::Done, "linked to the next");
    assert_eq!(code(4, &[2]), ResultCode::Malformed, "a transfer ends no round");
    assert_eq!(code(4, &[4]), ResultCode::Malformed, "unknown flag");
    assert_eq!(code(6, &[1]), ResultCode::Malformed, "reserved");
    assert_eq!(code(8, &[0; 16]), ResultCode::IdZero);
    assert_eq!(code(24, &[1]), ResultCode::Malformed, "a transfer refers to nothing");
    assert_eq!(code(40, &[0; 16]), ResultCode::AmountZero);
    assert_eq!(code(40, &(u128::MAX).to_le_bytes()), ResultCode::AmountOverLimit);
    assert_eq!(code(56, &199_u64.to_le_bytes()), ResultCode::PlayerMistyped);
    assert_eq!(code(56, &[0; 8]), ResultCode::Malformed, "no player");
    assert_eq!(code(68, &[1]), ResultCode::Malformed, "a transfer is in no game");
    assert_eq!(code(72, &199_u64.to_le_bytes()), ResultCode::PlayerMistyped, "the receiver");
    assert_eq!(code(80, &[1]), ResultCode::Malformed, "the ledger's own bytes");
    assert_eq!(code(112, &[1, 2]), ResultCode::Done, "a grant");
    assert_eq!(code(114, &[1]), ResultCode::Malformed, "reserved at the end");
    assert_eq!(code(127, &[1]), ResultCode::Malformed, "up to the last byte");
}

#[test]
fn a_read_uses_its_own_places_and_no_others() {
    let (player, asset) = (PlayerId::from_index(0), AssetId(1));
    let code = |read: Read, at: usize, value: &[u8]| {
        let mut bytes = Ask::Read(read).to_bytes(5);
        bytes[at..at + value.len()].copy_from_slice(value);
        Asked::from_bytes(&bytes).ask.map_or_else(|malformed| malformed.code, |_| ResultCode::Done)
    };
    let purse = Read::Purse { player, asset, purse: Purse::Locked };
    assert_eq!(code(purse, 64, &[6]), ResultCode::Done);
    for unknown in [0_u32, 7, 64, 75, 256, 257, u32::MAX] {
        assert_eq!(code(purse, 64, &unknown.to_le_bytes()), ResultCode::Malformed, "purse {unknown}");
    }
    assert_eq!(code(purse, 56, &[0; 8]), ResultCode::PlayerMistyped);
    let session = Read::Session { session: SessionId(7) };
    assert_eq!(code(session, 64, &u32::MAX.to_le_bytes()), ResultCode::Done);
    assert_eq!(code(session, 56, &195_u64.to_le_bytes()), ResultCode::Malformed, "whose it is is the answer");
    assert_eq!(code(session, 2, &[1]), ResultCode::Malformed);
    for read in [purse, session, Read::Balances { player, asset }, Read::Totals { asset }] {
        assert_eq!(code(read, 4, &[1]), ResultCode::Malformed, "no read is part of a group");
        assert_eq!(code(read, 8, &[1]), ResultCode::Malformed, "no read has an id");
        assert_eq!(code(read, 112, &[1]), ResultCode::Malformed, "no read needs a grant");
        assert_eq!(code(read, 0, &0x2005_u16.to_le_bytes()), ResultCode::OperationUnknown);
    }
}

#[test]
fn what_is_linked_is_known_of_an_item_that_is_otherwise_wrong() {
    let mut bytes = transfer();
    (bytes[4], bytes[127]) = (1, 9);
    let asked = Asked::from_bytes(&bytes);
    assert!(asked.linked && asked.ask.is_err());
    assert!(!Asked::from_bytes(&bytes[..127]).linked, "what is cut off is nothing");
}

#[test]
fn an_opening_of_a_session_is_read_as_it_was_written_and_never_shows_its_token() {
    for length in [0, 1, 300, 2048, 100_000] {
        let token = vec![b'x'; length];
        let asked = OpenSession { tag: 3, id: RequestId(4), grant: 5, token: &token };
        let bytes = frame::open_session(&asked);
        for cut in [0, 7, 8, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(Frame::split(&bytes[..cut]), Ok(None));
        }
        let (read, taken) = Frame::split(&bytes).unwrap().unwrap();
        assert_eq!((read.kind, taken), (FrameKind::OpenSession, bytes.len()));
        assert_eq!(OpenSession::from_bytes(read.items), Some(asked));
        assert!(!format!("{asked:?}").contains("xx"));
    }
    assert_eq!(OpenSession::from_bytes(&[0; 25]), None);
}
