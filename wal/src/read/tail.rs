//! Tells a torn tail from damage.
//!
//! In: the bytes at the end of the last segment that are not the next frame. Out: the end of the log, perhaps
//! with a torn tail, or corruption. Never here: the benefit of the doubt; one sign that the bytes were
//! durable is enough to refuse.
//!
//! A checksum alone cannot tell a write that was cut off (nobody was promised anything) from durable bytes
//! that changed later. The difference is evidence from elsewhere: a later segment, a later frame or the
//! control file that could only exist if these bytes had been durable.

use crate::{
    error::{Corruption, Damage},
    format::{ControlSlot, FrameFault, NO_REST, PAGE, PAGE_BYTES, SegmentIdentity, is_zero},
    lsn::Position,
};

use super::{
    TornTail,
    scanner::{Cursor, frame_damage, hash_rest},
    survey::in_segment,
};

/// The end of the log.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub(super) torn: Option<TornTail>,
    /// BLAKE3 of what follows, as [`hash_rest`] has it.
    pub(super) rest: [u8; 32],
}

impl Default for Tail {
    fn default() -> Self {
        Self { torn: None, rest: NO_REST }
    }
}

/// `rest` is the last segment from the cursor to its end, and does not begin with the frame that belongs
/// there, for the reason given by `fault`. `closed`: the control file says that the log was closed in order.
pub(super) fn judge<'a>(
    identity: &SegmentIdentity,
    rest: &[u8],
    cursor: &Cursor,
    fault: &FrameFault,
    slots: impl Iterator<Item = &'a ControlSlot>,
    closed: bool,
) -> Result<Tail, Corruption> {
    let empty = is_zero(rest);
    let claim = slots.map(|slot| slot.durable_lsn).filter(|durable| *durable >= cursor.next).max();
    if let Some(durable) = claim {
        let evidence = format!("the control file says that LSN {durable} was durable");
        if !empty {
            return Err(frame_damage(cursor, fault, &evidence));
        }
        let Position { segment, offset } = cursor.position;
        return Err(in_segment(Damage::BelowDurable, segment, offset, cursor.next, evidence));
    }
    if empty {
        return Ok(Tail::default());
    }
    if closed {
        return Err(frame_damage(cursor, fault, "the log was closed in order before this place"));
    }
    if matches!(fault, FrameFault::Contradiction(_)) {
        // Its checksums hold for this very place: nothing tore it.
        return Err(frame_damage(cursor, fault, "the frame is complete, so the log before it has changed"));
    }
    let mut frames_after = 0;
    for (index, page) in rest.chunks(PAGE_BYTES).enumerate().skip(1) {
        let Some(header) = identity.plausible_header(page) else { continue };
        if header.durable_lsn >= cursor.next {
            let offset = cursor.position.offset + index as u64 * PAGE;
            let durable = header.durable_lsn;
            let evidence = format!("the frame at offset {offset} says that LSN {durable} was durable");
            return Err(frame_damage(cursor, fault, &evidence));
        }
        frames_after += 1;
    }
    let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let torn = TornTail {
        position: cursor.position,
        lsn: cursor.next,
        bytes: used as u64,
        frames_after,
        reason: fault.to_string(),
    };
    Ok(Tail { torn: Some(torn), rest: hash_rest(rest) })
}
