//! Signed checkpoints: what a server says of its log once a second, for clients and witnesses to keep.
//!
//! In: how far the log is durable, the tree over its latest frames, a signature. Out: bytes that stand alone in a
//! file as well as in a frame. Never here: a key; whoever signs or verifies does so over
//! [`Checkpoint::signed_bytes`].

use cage_engine::layout;
use rkyv::{Archive, Serialize};

/// The bytes of a signed checkpoint.
pub const CHECKPOINT_BYTES: usize = CHECKPOINT_SIGNED_BYTES + SIGNATURE_BYTES;
/// The bytes that are signed: all in front of the signature.
pub const CHECKPOINT_SIGNED_BYTES: usize = 192;
/// The bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
const MAGIC: u32 = u32::from_le_bytes(*b"CWCP");
const FORMAT_VERSION: u16 = 0;

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub log_id: u128,
    /// The last record of the checkpoint before; the tree begins after it.
    pub previous_lsn: u64,
    /// The last record that is vouched for. A frame ends with it.
    pub lsn: u64,
    /// How many frames lie between the two: the leaves of the tree.
    pub frames: u64,
    /// The hash chain's head after `lsn`.
    pub chain_head: [u8; 32],
    /// The root of the tree over the hashes of these frames.
    pub root: [u8; 32],
    /// The last record of the latest state whose digest is known; 0 = none.
    /// It is that of the newest snapshot or of an orderly end: checkpoints in between repeat it.
    pub digest_lsn: u64,
    /// That digest.
    pub digest: [u8; 32],
    /// When it was signed, nanoseconds since 1970.
    pub time: u64,
    /// Which key signed it: the first 8 bytes of the BLAKE3 hash of the public key.
    pub key: u64,
}

/// A checkpoint and its signature. That it has one does not say that it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// Ed25519 over [`Checkpoint::signed_bytes`].
    pub signature: [u8; SIGNATURE_BYTES],
}

#[derive(Archive, Serialize)]
struct Layout {
    magic: u32,
    version: u16,
    zero: u16,
    log_id: u128,
    previous_lsn: u64,
    lsn: u64,
    frames: u64,
    chain_head: [u8; 32],
    root: [u8; 32],
    digest_lsn: u64,
    digest: [u8; 32],
    time: u64,
    key: u64,
    reserved: [u8; 24],
}

const _: () = assert!(size_of::<ArchivedLayout>() == CHECKPOINT_SIGNED_BYTES);

impl Checkpoint {
    /// The bytes that are signed.
    #[must_use]
    pub fn signed_bytes(&self) -> [u8; CHECKPOINT_SIGNED_BYTES] {
        layout::write(&Layout {
            magic: MAGIC,
            version: FORMAT_VERSION,
            zero: 0,
            log_id: self.log_id,
            previous_lsn: self.previous_lsn,
            lsn: self.lsn,
            frames: self.frames,
            chain_head: self.chain_head,
            root: self.root,
            digest_lsn: self.digest_lsn,
            digest: self.digest,
            time: self.time,
            key: self.key,
            reserved: [0; 24],
        })
    }

    fn from_signed_bytes(bytes: &[u8]) -> Option<Self> {
        let layout = layout::read::<Layout>(bytes)?;
        let ours = layout.magic.to_native() == MAGIC && layout.version.to_native() == FORMAT_VERSION;
        let zero = layout.zero.to_native() == 0 && layout.reserved == [0; 24];
        (ours && zero).then(|| Self {
            log_id: layout.log_id.to_native(),
            previous_lsn: layout.previous_lsn.to_native(),
            lsn: layout.lsn.to_native(),
            frames: layout.frames.to_native(),
            chain_head: layout.chain_head,
            root: layout.root,
            digest_lsn: layout.digest_lsn.to_native(),
            digest: layout.digest,
            time: layout.time.to_native(),
            key: layout.key.to_native(),
        })
    }
}

impl SignedCheckpoint {
    /// The checkpoint and its signature in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CHECKPOINT_BYTES] {
        let mut bytes = [0; CHECKPOINT_BYTES];
        bytes[..CHECKPOINT_SIGNED_BYTES].copy_from_slice(&self.checkpoint.signed_bytes());
        bytes[CHECKPOINT_SIGNED_BYTES..].copy_from_slice(&self.signature);
        bytes
    }

    /// Reads a signed checkpoint; nothing if it is none of this version. The signature is not looked at.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; CHECKPOINT_BYTES] = bytes.try_into().ok()?;
        let (signed, signature) = bytes.split_first_chunk::<CHECKPOINT_SIGNED_BYTES>()?;
        let checkpoint = Checkpoint::from_signed_bytes(signed)?;
        Some(Self { checkpoint, signature: signature.try_into().ok()? })
    }
}
