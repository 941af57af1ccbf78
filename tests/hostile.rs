//! Strangers, broken programs and greedy ones. Each is turned away with the number that says why, and nobody else
//! notices.
//!
//! What breaks: a handshake that lets somebody in, a frame that is taken though it is none, a session that takes the
//! others down with it (the healthy client of each test gets no answer), memory that grows with what a stranger
//! sends.

use std::fs;
use std::time::Duration;

use cage::certs::foreign_caller;
use cage::limits::{HELLO_TIME_MAX, IN_FLIGHT_PER_CONNECTION_MAX, STREAMS_PER_CONNECTION_MAX};
use cage_client::{Client, ConnectionError, Endpoint, Pair, load_pair};
use cage_engine::{AssetId, Lsn, ResultCode, Role};
use cage_protocol::hello::HELLO_BYTES;
use cage_protocol::{
    Ask, CloseCode, FRAME_HEADER_BYTES, FRAME_ITEMS_MAX, FrameKind, Hello, Read, WIRE_REQUEST_BYTES,
    Watermark, frame,
};
use rand::RngExt;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::harness::casino::{Casino, client, credentials, new_id};
use crate::harness::wire::{Dial, Wire, hello, operation_item, read_item, requests};
use crate::harness::{self, Ledger, audit, folder, run, soon};

/// A client that does nothing wrong.
struct Healthy {
    client: Client,
    casino: Casino,
    last: Lsn,
}

impl Healthy {
    async fn of(ledger: &Ledger) -> Self {
        let casino = Casino::funded(ledger, 2, 1_000_000).await;
        Self { client: client(ledger, Role::Frontend).await, casino, last: Lsn::NONE }
    }

    /// Is served as if nothing had happened.
    async fn is_served(&mut self) {
        let transfer = self.casino.transfer(0, 1, 1);
        let done = soon("a healthy client's answer", self.client.submit(transfer)).await.expect("a transfer");
        assert!(done.lsn > self.last);
        self.last = done.lsn;
    }

    fn read(&self) -> Read {
        Read::Totals { asset: self.casino.asset }
    }
}

/// Why a connection that should not be greeted was not.
async fn fate(dial: Dial, ledger: &Ledger) -> quinn::ConnectionError {
    match soon("a handshake", dial.connect(ledger.address())).await {
        Err(reason) => reason,
        // The client is done with its side of the handshake before the server has looked at the certificate.
        Ok(connection) => soon("the end of the connection", connection.closed()).await,
    }
}

fn is_tls_alert(reason: &quinn::ConnectionError) -> bool {
    let code = match reason {
        quinn::ConnectionError::ConnectionClosed(close) => close.error_code,
        quinn::ConnectionError::TransportError(error) => error.code,
        _ => return false,
    };
    (0x100..0x200).contains(&u64::from(code))
}

/// A certificate of the ledger's own authority for any names.
fn issued(ledger: &Ledger, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> Pair {
    let read = |name: &str| fs::read_to_string(ledger.certs().join(name)).expect("the development authority");
    let authority = KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), authority).expect("an authority");
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Pair { chain: vec![certificate.der().clone()], key }
}

#[test]
fn strangers_do_not_get_through_the_handshake() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        let good = || Dial::of(&ledger.certs(), Role::Frontend);
        let foreign = foreign_caller(Role::Operator).expect("a certificate");
        let server = load_pair(&ledger.certs(), "server").expect("a certificate");
        for (who, dial) in [
            ("another protocol", Dial { alpn: b"h3".to_vec(), ..good() }),
            ("a later version of it", Dial { alpn: b"cage/2".to_vec(), ..good() }),
            ("no certificate", Dial { pair: None, ..good() }),
            ("a certificate of another authority", Dial { pair: Some(foreign.clone()), ..good() }),
            ("the server's own certificate", Dial { pair: Some(server), ..good() }),
        ] {
            let reason = fate(dial, &ledger).await;
            assert!(is_tls_alert(&reason), "{who}: {reason:?}");
            healthy.is_served().await;
        }
        // The library says in words whose fault it is.
        let mut credentials = credentials(&ledger.certs(), Role::Operator);
        credentials.pair = foreign;
        let config = cage_client::Config::new(ledger.address());
        match Client::connect(config, credentials).await {
            Err(ConnectionError::CertificateRefused(_)) => {}
            other => panic!("a stranger: {other:?}"),
        }
        healthy.is_served().await;
    });
}

#[test]
fn a_certificate_without_exactly_one_known_role_is_turned_away() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        let uri = |text: &str| SanType::URI(text.try_into().expect("a name"));
        let names = [
            vec![],
            vec![uri("cage://king/me")],
            vec![uri("cage://system/me")],
            vec![uri("cage://operator/")],
            vec![uri("https://operator/me")],
            vec![uri("cage://support/me"), uri("cage://operator/me")],
            vec![SanType::DnsName("operator".try_into().expect("a name"))],
        ];
        for names in names {
            let pair = Some(issued(&ledger, names.clone(), ExtendedKeyUsagePurpose::ClientAuth));
            let reason = fate(Dial { pair, ..Dial::of(&ledger.certs(), Role::Frontend) }, &ledger).await;
            assert_eq!(
                harness::wire::close_code(&reason),
                Some(CloseCode::RoleUnknown),
                "{names:?}: {reason:?}"
            );
            healthy.is_served().await;
        }
        let one = vec![uri("cage://auditor/elsewhere")];
        let pair = Some(issued(&ledger, one, ExtendedKeyUsagePurpose::ClientAuth));
        let dial = Dial { pair, ..Dial::of(&ledger.certs(), Role::Frontend) };
        let connection = dial.connect(ledger.address()).await.expect("a connection");
        assert_eq!(Wire::open(&connection).await.greet().await.role, Role::Auditor as u8);
    });
}

/// Bytes on the first stream of a connection, whether the stream ends behind them, and what they are answered with.
type Opening = (&'static str, Vec<u8>, bool, CloseCode);

fn wrong_openings(read: Read) -> Vec<Opening> {
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = frame::hello(&hello());
        change(&mut bytes);
        bytes
    };
    let versions = |version_min, version_max| frame::hello(&Hello { version_min, version_max, ..hello() });
    vec![
        ("a request first", requests(&[read_item(1, read)]), false, CloseCode::HelloMisplaced),
        ("versions of the future", versions(1, 9), false, CloseCode::VersionUnsupported),
        ("versions upside down", versions(1, 0), false, CloseCode::VersionUnsupported),
        ("another magic", with(|bytes| bytes[FRAME_HEADER_BYTES] ^= 1), false, CloseCode::FrameMalformed),
        (
            "reserved bytes",
            with(|bytes| bytes[FRAME_HEADER_BYTES + 20] = 1),
            false,
            CloseCode::FrameMalformed,
        ),
        ("half a hello", with(|bytes| bytes.truncate(50)), true, CloseCode::FrameTruncated),
        ("half a header", with(|bytes| bytes.truncate(5)), true, CloseCode::FrameTruncated),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: ledger\r\n\r\n".to_vec(), false, CloseCode::FrameTooLong),
        ("zeroes", vec![0; 4096], false, CloseCode::FrameUnknown),
    ]
}

/// Bytes behind a hello that was answered.
fn wrong_frames(read: Read) -> Vec<Opening> {
    let request = requests(&[read_item(1, read)]);
    let head = |length: u32, kind: u8, zero: u8, count: u16| {
        [&length.to_le_bytes()[..], &[kind, zero], &count.to_le_bytes()].concat()
    };
    let one = WIRE_REQUEST_BYTES as u32;
    let most = FRAME_ITEMS_MAX as u32;
    let server_frame = |kind: FrameKind| [&frame::header(kind, 1)[..], &vec![0; kind.item_bytes()]].concat();
    vec![
        ("a frame too long", head(most * one + 1, 3, 0, 1), false, CloseCode::FrameTooLong),
        ("a frame without end", head(u32::MAX, 3, 0, 1), false, CloseCode::FrameTooLong),
        ("too many items", head((most + 1) * one, 3, 0, 1025), false, CloseCode::FrameTooLong),
        ("an unknown kind", head(one, 200, 0, 1), false, CloseCode::FrameUnknown),
        ("kind zero", head(one, 0, 0, 1), false, CloseCode::FrameUnknown),
        ("a byte that must be zero", head(one, 3, 1, 1), false, CloseCode::FrameMalformed),
        ("no items", head(0, 3, 0, 0), false, CloseCode::FrameMalformed),
        ("more items than bytes", head(one, 3, 0, 2), false, CloseCode::FrameMalformed),
        ("fewer items than bytes", head(2 * one, 3, 0, 1), false, CloseCode::FrameMalformed),
        ("a welcome", server_frame(FrameKind::Welcome), false, CloseCode::FrameUnknown),
        ("replies", server_frame(FrameKind::Replies), false, CloseCode::FrameUnknown),
        ("a goodbye", server_frame(FrameKind::Goodbye), false, CloseCode::FrameUnknown),
        ("a second hello", frame::hello(&hello()), false, CloseCode::HelloMisplaced),
        ("half a request", request[..request.len() - 1].to_vec(), true, CloseCode::FrameTruncated),
        ("a header alone", request[..FRAME_HEADER_BYTES].to_vec(), true, CloseCode::FrameTruncated),
    ]
}

#[test]
fn a_connection_that_does_not_begin_with_a_hello_is_closed_with_the_reason() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        for (what, bytes, ends, code) in wrong_openings(healthy.read()) {
            let mut wire = Wire::dial(&ledger, Role::Frontend).await;
            wire.write(&bytes).await;
            if ends {
                let _ = wire.send.finish();
            }
            assert_eq!(wire.closed().await, Some(code), "{what}");
            healthy.is_served().await;
        }
        assert_eq!(HELLO_BYTES + FRAME_HEADER_BYTES, frame::hello(&hello()).len());
    });
}

#[test]
fn a_hello_that_never_comes_is_not_waited_for() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        let silent = Wire::dial(&ledger, Role::Frontend).await;
        let mut slow = Wire::dial(&ledger, Role::Frontend).await;
        slow.write(&frame::hello(&hello())[..60]).await;
        let begin = std::time::Instant::now();
        assert_eq!(silent.closed().await, Some(CloseCode::HelloTooLate));
        assert_eq!(slow.closed().await, Some(CloseCode::HelloTooLate));
        assert!(begin.elapsed() < 2 * HELLO_TIME_MAX, "{:?}", begin.elapsed());
        healthy.is_served().await;
    });
}

#[test]
fn bytes_that_are_no_frames_end_the_connection_and_what_stood_before_them_is_done() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        for (what, bytes, ends, code) in wrong_frames(healthy.read()) {
            for alone in [true, false] {
                let mut wire = Wire::greeted(&ledger, Role::Frontend).await;
                let id = new_id();
                let transfer = healthy.casino.transfer(0, 1, 1);
                let before = requests(&[operation_item(1, id, &transfer)]);
                let sent = if alone { bytes.clone() } else { [before.as_slice(), &bytes].concat() };
                wire.write(&sent).await;
                if ends {
                    let _ = wire.send.finish();
                }
                assert_eq!(wire.closed().await, Some(code), "{what}");
                if !alone {
                    let again = Wire::greeted(&ledger, Role::Frontend).await.operate(id, &transfer).await;
                    assert_eq!((again.result, again.repeated), (ResultCode::Done, true), "{what}");
                }
            }
            healthy.is_served().await;
        }
        // A fault on one stream ends the connection and its other streams with it.
        let wire = Wire::greeted(&ledger, Role::Frontend).await;
        let mut second = Wire::open(&wire.connection).await;
        second.write(&[255; 8]).await;
        assert_eq!(wire.closed().await, Some(CloseCode::FrameTooLong));
        healthy.is_served().await;
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

/// Whatever the bytes are, the server lives.
#[test]
fn random_bytes_do_no_harm() {
    let mut random = harness::random("bytes");
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        for round in 0..60 {
            let mut wire = Wire::dial(&ledger, Role::CALLERS[round % Role::CALLERS.len()]).await;
            let mut bytes = frame::hello(&hello());
            // Half are noise, half are frames with a few bytes of noise in them.
            if round % 2 == 0 {
                bytes.extend((0..random.random_range(1..2_000)).map(|_| random.random::<u8>()));
            } else {
                let items: Vec<_> = (0..20)
                    .map(|tag| operation_item(tag, new_id(), &healthy.casino.transfer(0, 1, 1)))
                    .collect();
                bytes.extend(requests(&items));
                for _ in 0..random.random_range(1..8) {
                    let place = random.random_range(0..bytes.len());
                    bytes[place] ^= 1 << random.random_range(0..8);
                }
            }
            wire.write(&bytes).await;
            let _ = wire.send.finish();
            // Either the connection is closed, or everything is answered and the stream ends.
            soon("an end", async { while wire.frame().await.is_some() {} }).await;
            healthy.is_served().await;
        }
        ledger.close().await;
        audit(dir.path(), &[]).assert_clean();
    });
}

#[test]
fn a_client_that_has_seen_more_than_the_server_holds_is_told_so() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        healthy.is_served().await;
        let endpoint =
            Endpoint::new(&credentials(&ledger.certs(), Role::Frontend), "localhost", ledger.address())
                .expect("an endpoint");
        let seen = healthy.client.watermark();
        let durable = healthy.last.0;
        for (what, seen, code) in [
            ("what it was shown", seen, None),
            ("the future", Watermark { lsn: durable + 1_000, ..seen }, Some(CloseCode::ServerBehind)),
            ("the end of time", Watermark { lsn: u64::MAX, ..seen }, Some(CloseCode::ServerBehind)),
            (
                "no log, far along",
                Watermark { lsn: 1 << 40, log_id: 0, ..seen },
                Some(CloseCode::ServerBehind),
            ),
            ("another past", Watermark { chain_head: [7; 32], ..seen }, Some(CloseCode::ChainDiffers)),
            (
                "another beginning",
                Watermark { chain_lsn: 1, chain_head: [7; 32], ..seen },
                Some(CloseCode::ChainDiffers),
            ),
            (
                "a chain from the future",
                Watermark { chain_lsn: durable + 1_000, ..seen },
                Some(CloseCode::ServerBehind),
            ),
            ("another log", Watermark { log_id: seen.log_id ^ 1, ..seen }, Some(CloseCode::LogDiffers)),
            ("another log, begun", Watermark { log_id: 5, lsn: 1, ..seen }, Some(CloseCode::LogDiffers)),
        ] {
            let connected = soon("a connection", endpoint.connect(ledger.address(), seen)).await;
            match (connected, code) {
                (Ok(_), None) => {}
                (Err(ConnectionError::Closed { code: found, .. }), Some(_)) => {
                    assert_eq!(found, code, "{what}")
                }
                (other, _) => panic!("{what}: {other:?}"),
            }
            healthy.is_served().await;
        }
        ledger.process().wait_for("acknowledged records are missing here or changed");
        // The same log after a restart is still the same log.
        let seen = healthy.client.watermark();
        let ledger = ledger.kill().ledger();
        let connection =
            soon("a connection", endpoint.connect(ledger.address(), seen)).await.expect("a connection");
        assert_eq!(connection.welcome().durable.log_id, seen.log_id);
        assert!(connection.welcome().durable.lsn >= seen.lsn);
    });
}

/// The memory of a process, in bytes.
fn memory(ledger: &Ledger) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", ledger.process().id())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number")
        << 10
}

#[test]
fn a_client_that_never_reads_stops_itself_and_nobody_else() {
    harness::run_for(Duration::from_secs(120), async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        let before = memory(&ledger);
        let mut greedy = Wire::dial_with_window(&ledger, Role::Auditor, 64 << 10).await;
        greedy.greet().await;
        // More than may be unanswered, more than all buffers on the way hold.
        let total = IN_FLIGHT_PER_CONNECTION_MAX as usize * 8;
        let ask = Ask::Read(healthy.read());
        let asks: Vec<_> = (0..FRAME_ITEMS_MAX as u64).map(|tag| ask.to_bytes(tag)).collect();
        let frames = requests(&asks);
        let (mut written, mut still) = (0, 0);
        let mut rest = frames.as_slice();
        // It is stuck when nothing of it is taken while a healthy client is served many times over.
        while written < total && still < 100 {
            tokio::select! {
                biased;
                taken = greedy.send.write(rest) => {
                    rest = &rest[taken.expect("a connection")..];
                    still = 0;
                    if rest.is_empty() {
                        rest = &frames;
                        written += FRAME_ITEMS_MAX;
                    }
                }
                () = healthy.is_served() => still += 1,
            }
        }
        let grown = memory(&ledger).saturating_sub(before);
        println!("{written} of {total} requests were taken, the server grew by {} KiB", grown >> 10);
        assert_eq!(still, 100, "a server that takes everything has no bound: {written} requests");
        assert!(grown < 96 << 20, "{grown} bytes for one client");

        // It can still change its mind: every request has its reply, in order.
        let mut tags = 0;
        while tags < written {
            for reply in soon("replies", greedy.replies()).await.expect("replies") {
                assert_eq!((reply.tag, reply.result), ((tags % FRAME_ITEMS_MAX) as u64, ResultCode::Done));
                tags += 1;
            }
        }
        healthy.is_served().await;
    });
}

#[test]
fn a_connection_has_so_many_streams_and_no_more() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let mut healthy = Healthy::of(&ledger).await;
        let item = read_item(1, healthy.read());
        let mut streams = vec![Wire::greeted(&ledger, Role::Auditor).await];
        let connection = streams[0].connection.clone();
        while streams.len() < STREAMS_PER_CONNECTION_MAX as usize {
            streams.push(soon("a stream", Wire::open(&connection)).await);
        }
        for stream in &mut streams {
            assert_eq!(stream.answer(item).await.result, ResultCode::Done);
        }
        {
            let one_more = Wire::open(&connection);
            tokio::pin!(one_more);
            for _ in 0..50 {
                tokio::select! {
                    biased;
                    _ = &mut one_more => panic!("one stream more than allowed"),
                    () = healthy.is_served() => {}
                }
            }
            // Those that end make room; QUIC tells of it when an eighth has ended.
            for mut done in streams.drain(1..=STREAMS_PER_CONNECTION_MAX as usize / 4) {
                done.send.finish().expect("an open stream");
                assert_eq!(soon("the end of the stream", done.frame()).await, None);
            }
            let mut next = soon("a stream", &mut one_more).await;
            assert_eq!(next.answer(item).await.result, ResultCode::Done);
        }
        // Other kinds of channels there are none.
        tokio::select! {
            biased;
            _ = connection.open_uni() => panic!("a stream in one direction"),
            () = healthy.is_served() => {}
        }
        assert!(connection.send_datagram(vec![0; 8].into()).is_err(), "a datagram");
        assert!(connection.close_reason().is_none(), "it was only made to wait");
    });
}

/// A read of what is not there is an answer, not a fault.
#[test]
fn reads_of_nothing_are_answered() {
    run(async {
        let dir = folder();
        let ledger = Ledger::small(dir.path());
        let casino = Casino::open(&ledger, 1).await;
        let mut wire = Wire::greeted(&ledger, Role::Support).await;
        let (player, nobody) = (casino.players[0], cage_engine::PlayerId::from_index(500));
        let none = AssetId(99);
        for (read, code) in [
            (Read::Balances { player, asset: casino.asset }, ResultCode::Done),
            (Read::Balances { player: nobody, asset: casino.asset }, ResultCode::PlayerUnknown),
            (Read::Balances { player, asset: none }, ResultCode::AssetUnknown),
            (Read::Totals { asset: none }, ResultCode::AssetUnknown),
        ] {
            assert_eq!(wire.answer(read_item(1, read)).await.result, code, "{read:?}");
        }
        let mut item = read_item(7, Read::Totals { asset: casino.asset });
        item[60] = 1;
        let reply = wire.answer(item).await;
        assert_eq!((reply.tag, reply.result), (7, ResultCode::Malformed), "a byte that a read does not use");
        item[..2].copy_from_slice(&0x2005_u16.to_le_bytes());
        assert_eq!(wire.answer(item).await.result, ResultCode::OperationUnknown);
    });
}
