//! Bytes from outside never make the decoder panic, and what it accepts means exactly one thing.

use cage_engine::{Amount, AssetId, Malformed, Operation, PlayerId, RequestId, ResultCode, SessionId};
use cage_protocol::{Ask, Asked, CloseCode, FRAME_BYTES_MAX, Frame, FrameKind, Hello, Reply, Welcome, frame};
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
    Ask::Operation(transfer.request(RequestId(7))).to_bytes(11)
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
        let _ = frame::read_goodbye(&bytes[..random.random_range(0..=128)]);
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
    assert_eq!(header(128, 6, 0, 1), Err(CloseCode::FrameUnknown));
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
    assert_eq!(code(4, &[2]), ResultCode::Malformed, "unknown flag");
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
    assert_eq!(code(112, &[1]), ResultCode::Malformed, "reserved at the end");
}
