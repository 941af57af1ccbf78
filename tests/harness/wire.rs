//! The wire by hand: for tests that send what no client would, or look at what a client hides.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use cage_client::{Pair, load_authority, load_pair};
use cage_engine::{Operation, Request, RequestId, Role};
use cage_protocol::{
    ALPN, Ask, CloseCode, FRAME_ITEMS_MAX, Frame, FrameKind, Hello, OpenSession, Read, Reply, VERSION,
    WIRE_REQUEST_BYTES, Watermark, Welcome, frame,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::{Ledger, soon};

/// How a stranger dials.
pub(crate) struct Dial {
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) pair: Option<Pair>,
    pub(crate) alpn: Vec<u8>,
    /// Unread reply bytes that it allows, if not what QUIC usually does.
    pub(crate) window: Option<u32>,
}

impl Dial {
    /// As a well-behaved client of a role does.
    pub(crate) fn of(certs: &Path, role: Role) -> Self {
        Self {
            authority: load_authority(certs).expect("an authority"),
            pair: Some(load_pair(certs, role.name()).expect("a certificate")),
            alpn: ALPN.to_vec(),
            window: None,
        }
    }

    /// The QUIC connection, without any frame. A server that refuses the certificate may say so only afterwards.
    pub(crate) async fn connect(self, address: SocketAddr) -> Result<Connection, ConnectionError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots);
        let mut tls = match self.pair {
            Some(pair) => tls.with_client_auth_cert(pair.chain, pair.key).expect("a key that fits"),
            None => tls.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![self.alpn];
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("QUIC's cipher")));
        let mut transport = TransportConfig::default();
        if let Some(window) = self.window {
            transport
                .stream_receive_window(VarInt::from_u32(window))
                .receive_window(VarInt::from_u32(window));
        }
        config.transport_config(Arc::new(transport));
        let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
        endpoint.set_default_client_config(config);
        endpoint.connect(address, "localhost").expect("an address").await
    }
}

/// A stream of a connection, byte by byte.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    receive: RecvStream,
    unread: Vec<u8>,
}

impl Wire {
    /// A stream on which nothing was said yet.
    pub(crate) async fn open(connection: &Connection) -> Self {
        let (send, receive) = connection.open_bi().await.expect("a stream");
        Self { connection: connection.clone(), send, receive, unread: Vec::new() }
    }

    /// A connection of a role, not greeted yet.
    pub(crate) async fn dial(ledger: &Ledger, role: Role) -> Self {
        let dialed = Dial::of(&ledger.certs(), role).connect(ledger.address());
        Self::open(&soon("a connection", dialed).await.expect("a connection")).await
    }

    /// A connection of a role that allows so many bytes of replies to be unread; not greeted yet.
    pub(crate) async fn dial_with_window(ledger: &Ledger, role: Role, window: u32) -> Self {
        let dial = Dial { window: Some(window), ..Dial::of(&ledger.certs(), role) };
        Self::open(&soon("a connection", dial.connect(ledger.address())).await.expect("a connection")).await
    }

    /// A connection of a role, greeted.
    pub(crate) async fn greeted(ledger: &Ledger, role: Role) -> Self {
        let mut wire = Self::dial(ledger, role).await;
        wire.greet().await;
        wire
    }

    /// Says hello and waits for the welcome.
    pub(crate) async fn greet(&mut self) -> Welcome {
        self.write(&frame::hello(&hello())).await;
        let (kind, items) = self.frame().await.expect("a welcome");
        assert_eq!(kind, FrameKind::Welcome);
        Welcome::from_bytes(&items).expect("a welcome")
    }

    /// Writes bytes. What a server that has closed does not take is not an error here.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.send.write_all(bytes).await;
    }

    /// Writes requests in as few frames as possible.
    pub(crate) async fn ask(&mut self, asks: &[(u64, Ask)]) {
        let items: Vec<_> = asks.iter().map(|(tag, ask)| ask.to_bytes(*tag)).collect();
        self.write(&requests(&items)).await;
    }

    /// The next frame; nothing if the stream or the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<(FrameKind, Vec<u8>)> {
        loop {
            if let Some((frame, length)) = Frame::split(&self.unread).expect("a server keeps to the protocol")
            {
                let found = (frame.kind, frame.items.to_vec());
                self.unread.drain(..length);
                return Some(found);
            }
            let chunk = self.receive.read_chunk(1 << 20, true).await.ok().flatten()?;
            self.unread.extend_from_slice(&chunk.bytes);
        }
    }

    /// The replies of the next frame; nothing if there is none.
    pub(crate) async fn replies(&mut self) -> Option<Vec<Reply>> {
        let (kind, items) = self.frame().await?;
        (kind == FrameKind::Replies).then(|| read_replies(&items))
    }

    /// Asks for one thing and waits for its answer.
    pub(crate) async fn answer(&mut self, item: [u8; WIRE_REQUEST_BYTES]) -> Reply {
        self.write(&requests(&[item])).await;
        let replies = soon("an answer", self.replies()).await.expect("replies");
        assert_eq!(replies.len(), 1, "one request, one reply");
        replies[0]
    }

    /// Asks for one operation and waits for its answer.
    pub(crate) async fn operate(&mut self, id: RequestId, operation: &Operation) -> Reply {
        self.answer(operation_item(1, id, operation)).await
    }

    /// Asks for a group and waits for the answers of all its members.
    pub(crate) async fn group(&mut self, operations: &[(RequestId, Operation)]) -> Vec<Reply> {
        self.items(&group_items(operations)).await
    }

    /// Writes items in one frame and waits for all their answers.
    pub(crate) async fn items(&mut self, items: &[[u8; WIRE_REQUEST_BYTES]]) -> Vec<Reply> {
        self.write(&requests(items)).await;
        let mut replies = Vec::new();
        while replies.len() < items.len() {
            replies.extend(soon("answers", self.replies()).await.expect("replies"));
        }
        replies
    }

    /// Shows a token and waits for the answer.
    pub(crate) async fn open_session(&mut self, id: RequestId, token: &[u8]) -> Reply {
        self.write(&frame::open_session(&OpenSession { tag: 1, id, grant: 0, token })).await;
        soon("an answer", self.replies()).await.expect("replies")[0]
    }

    /// Why the server closed the connection; nothing if it was not by a code of the protocol.
    pub(crate) async fn closed(&self) -> Option<CloseCode> {
        close_code(&soon("the end of the connection", self.connection.closed()).await)
    }
}

/// The protocol's code in the reason for a connection's end.
pub(crate) fn close_code(reason: &ConnectionError) -> Option<CloseCode> {
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            u16::try_from(close.error_code.into_inner()).ok().and_then(CloseCode::from_number)
        }
        _ => None,
    }
}

/// The hello of a client that has seen nothing.
pub(crate) fn hello() -> Hello {
    Hello {
        version_min: VERSION,
        version_max: VERSION,
        checkpoints: false,
        evidence: false,
        seen: Watermark::default(),
    }
}

/// Requests in frames.
pub(crate) fn requests(items: &[[u8; WIRE_REQUEST_BYTES]]) -> Vec<u8> {
    let frames = items.chunks(FRAME_ITEMS_MAX);
    frames
        .flat_map(|items| [&frame::header(FrameKind::Requests, items.len()), items.as_flattened()].concat())
        .collect()
}

/// The item of an operation.
pub(crate) fn operation_item(tag: u64, id: RequestId, operation: &Operation) -> [u8; WIRE_REQUEST_BYTES] {
    Ask::operation(operation.request(id)).to_bytes(tag)
}

/// The items of a group: all but the last are linked to the next. Each one's tag is its place.
pub(crate) fn group_items(operations: &[(RequestId, Operation)]) -> Vec<[u8; WIRE_REQUEST_BYTES]> {
    let item = |(place, (id, operation)): (usize, &(RequestId, Operation))| {
        let linked = place + 1 < operations.len();
        Ask::operation(Request { linked, ..operation.request(*id) }).to_bytes(place as u64)
    };
    operations.iter().enumerate().map(item).collect()
}

/// The item of a read.
pub(crate) fn read_item(tag: u64, read: Read) -> [u8; WIRE_REQUEST_BYTES] {
    Ask::Read(read).to_bytes(tag)
}

/// The replies of a frame.
pub(crate) fn read_replies(items: &[u8]) -> Vec<Reply> {
    let size = cage_protocol::REPLY_BYTES;
    items.chunks_exact(size).map(|item| Reply::from_bytes(item).expect("a reply")).collect()
}
