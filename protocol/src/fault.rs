//! Why a connection ends: the application error code of the QUIC close, and of the last frame before it.

cage_engine::numbered! {
    /// Why one side closed the connection. A number, once given, keeps its meaning.
    #[non_exhaustive]
    pub enum CloseCode: u16 {
        /// Nothing is wrong: the side that closes is done.
        Done = 0, "done";
        /// The server shuts down: connect to the next one and retry what is unanswered with the same ids.
        Draining = 1, "draining";
        /// No common protocol version.
        VersionUnsupported = 2, "version_unsupported";
        /// The first frame of a connection must be a hello, and no later one may be.
        HelloMisplaced = 3, "hello_misplaced";
        /// A frame says that it is longer than the limit.
        FrameTooLong = 4, "frame_too_long";
        /// A frame of an unknown kind.
        FrameUnknown = 5, "frame_unknown";
        /// A frame whose length does not fit its items, or with bytes set that must be zero.
        FrameMalformed = 6, "frame_malformed";
        /// The stream ended inside a frame.
        FrameTruncated = 7, "frame_truncated";
        /// The certificate names no role of this ledger.
        RoleUnknown = 8, "role_unknown";
        /// The client has seen more of this log than the server holds: acknowledged records are missing here.
        ServerBehind = 9, "server_behind";
        /// The client knows another log: it is connected to the wrong ledger.
        LogDiffers = 10, "log_differs";
        /// The log failed; the server has stopped acknowledging and exits. Retry with the same ids at the next one.
        LogFailed = 11, "log_failed";
        /// Too many connections: retry later, or raise the limit.
        TooManyConnections = 12, "too_many_connections";
        /// No hello within the time allowed.
        HelloTooLate = 13, "hello_too_late";
        /// The server met a fault of its own on this connection; its log says which. Connect again.
        Internal = 14, "internal";
        /// The chain of this log is another one than the client was shown: the log was replaced or changed.
        ChainDiffers = 15, "chain_differs";
    }
}
