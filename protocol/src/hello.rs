//! The first frame each way: who speaks what, and how far the log is known to reach.

use cage_engine::layout;
use rkyv::{Archive, Serialize};

/// The bytes of a hello.
pub const HELLO_BYTES: usize = 96;
/// The bytes of a welcome.
pub const WELCOME_BYTES: usize = 128;
const MAGIC: u32 = u32::from_le_bytes(*b"CAGE");
const FLAG_CHECKPOINTS: u16 = 1;
const FLAG_EVIDENCE: u16 = 2;

/// How far a log is known to be durable: what a server acknowledged, and what a client may hold against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// Which log; 0 = none known.
    pub log_id: u128,
    /// The highest durable position known; 0 = none.
    pub lsn: u64,
    /// The last record of the frame whose chain hash follows; at or before `lsn`.
    pub chain_lsn: u64,
    /// The hash chain's head there.
    pub chain_head: [u8; 32],
}

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version that it speaks.
    pub version_min: u16,
    /// The newest version that it speaks.
    pub version_max: u16,
    /// Whether it wants to be sent checkpoints.
    pub checkpoints: bool,
    /// Whether the next frame is the latest checkpoint that it knows: a proof of what it has seen.
    pub evidence: bool,
    /// The most that it has seen acknowledged.
    pub seen: Watermark,
}

/// What the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version spoken from here on.
    pub version: u16,
    /// The role that the client's certificate gave it, by number.
    pub role: u8,
    /// The most items in one frame.
    pub frame_items_max: u16,
    /// The most requests that the server takes from this connection before it has answered some.
    pub in_flight_max: u32,
    /// The number of this opening of the log: other after each restart.
    pub epoch: u64,
    /// The server's time, nanoseconds since 1970: for ids, and to see one's own clock be wrong.
    pub now: u64,
    /// The newest time, nanoseconds since 1970, of an id that is too old to be executed.
    pub id_horizon: u64,
    /// How far the log is durable.
    pub durable: Watermark,
}

#[derive(Archive, Serialize)]
struct WatermarkLayout {
    log_id: u128,
    lsn: u64,
    chain_lsn: u64,
    chain_head: [u8; 32],
}

#[derive(Archive, Serialize)]
struct HelloLayout {
    magic: u32,
    version_min: u16,
    version_max: u16,
    flags: u16,
    reserved: [u8; 22],
    seen: WatermarkLayout,
}

#[derive(Archive, Serialize)]
struct WelcomeLayout {
    magic: u32,
    version: u16,
    role: u8,
    zero: u8,
    frame_items_max: u16,
    zero_too: u16,
    in_flight_max: u32,
    epoch: u64,
    now: u64,
    id_horizon: u64,
    reserved: [u8; 24],
    durable: WatermarkLayout,
}

const _: () = assert!(size_of::<ArchivedHelloLayout>() == HELLO_BYTES);
const _: () = assert!(size_of::<ArchivedWelcomeLayout>() == WELCOME_BYTES);

impl Watermark {
    const fn to_layout(self) -> WatermarkLayout {
        let Self { log_id, lsn, chain_lsn, chain_head } = self;
        WatermarkLayout { log_id, lsn, chain_lsn, chain_head }
    }

    const fn of(layout: &ArchivedWatermarkLayout) -> Self {
        Self {
            log_id: layout.log_id.to_native(),
            lsn: layout.lsn.to_native(),
            chain_lsn: layout.chain_lsn.to_native(),
            chain_head: layout.chain_head,
        }
    }
}

impl Hello {
    /// The hello in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HELLO_BYTES] {
        layout::write(&HelloLayout {
            magic: MAGIC,
            version_min: self.version_min,
            version_max: self.version_max,
            flags: (u16::from(self.checkpoints) * FLAG_CHECKPOINTS)
                | (u16::from(self.evidence) * FLAG_EVIDENCE),
            reserved: [0; 22],
            seen: self.seen.to_layout(),
        })
    }

    /// Reads a hello; nothing if it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let layout = layout::read::<HelloLayout>(bytes)?;
        let flags = layout.flags.to_native();
        let zero = layout.reserved == [0; 22] && flags & !(FLAG_CHECKPOINTS | FLAG_EVIDENCE) == 0;
        (layout.magic.to_native() == MAGIC && zero).then(|| Self {
            version_min: layout.version_min.to_native(),
            version_max: layout.version_max.to_native(),
            checkpoints: flags & FLAG_CHECKPOINTS != 0,
            evidence: flags & FLAG_EVIDENCE != 0,
            seen: Watermark::of(&layout.seen),
        })
    }
}

impl Welcome {
    /// The welcome in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; WELCOME_BYTES] {
        layout::write(&WelcomeLayout {
            magic: MAGIC,
            version: self.version,
            role: self.role,
            zero: 0,
            frame_items_max: self.frame_items_max,
            zero_too: 0,
            in_flight_max: self.in_flight_max,
            epoch: self.epoch,
            now: self.now,
            id_horizon: self.id_horizon,
            reserved: [0; 24],
            durable: self.durable.to_layout(),
        })
    }

    /// Reads a welcome; nothing if it is none. Reserved bytes are left for newer servers to use.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let layout = layout::read::<WelcomeLayout>(bytes)?;
        (layout.magic.to_native() == MAGIC).then(|| Self {
            version: layout.version.to_native(),
            role: layout.role,
            frame_items_max: layout.frame_items_max.to_native(),
            in_flight_max: layout.in_flight_max.to_native(),
            epoch: layout.epoch.to_native(),
            now: layout.now.to_native(),
            id_horizon: layout.id_horizon.to_native(),
            durable: Watermark::of(&layout.durable),
        })
    }
}
