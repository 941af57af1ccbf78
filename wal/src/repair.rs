//! What is left of a log that does not open, and how to go on with that part: only with somebody's consent, deleting
//! nothing, and never without a trace.
//!
//! In: the directory of a log that a start has refused, and its archive. Out: an explanation; then, if the loss is accepted, a log that ends where its damage
//! begins. The files that are not part of it any more lie in a quarantine folder, and a segment whose header says what was
//! given up is woven into the chain. Never here: a byte of a segment that is changed, a record that is made up.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Corruption, RecoveryError, StorageError},
    format::{
        ControlSlot, NO_REST, PAGE, PAGE_BYTES, RepairMark, SEGMENT_BYTES_MIN, SegmentHeader,
        SegmentIdentity, frame_bytes_for, segment_name, segment_number,
    },
    live::Identity,
    lsn::{ChainHash, LogId, Lsn, Position},
    read::{Anchor, CONTROL_NAME, UNFINISHED_REPAIR, check_segment, valid_slots},
    storage::{Directory, FileEntry, Lock, Source, Storage},
};

/// The folder inside the log's directory that files are moved to begins like this.
const QUARANTINE: &str = "quarantine-";
/// What a repair writes about itself, in that folder.
const REPORT: &str = "report.txt";

/// A log that does not open, and what can be kept of it. Nobody else can write to it meanwhile.
#[derive(Debug)]
pub struct Damaged {
    /// What was found first.
    pub corruption: Corruption,
    /// What can be kept; nothing if not even the first segment is one, or the log does not hold the place from which it had
    /// to go on.
    pub kept: Option<Kept>,
    /// The first segment that is only in the archive and lies behind what can be kept: the log cannot end there.
    pub archived_after: Option<u64>,
    /// The last record that is known to have been in the log, if it lies behind what can be kept.
    pub lost_until: Option<Lsn>,
    /// Why that is known.
    pub evidence: Vec<String>,
    /// The files that would be moved.
    pub moved: Vec<String>,
    dir: PathBuf,
    log: Option<LogId>,
    _lock: Box<dyn Lock>,
}

/// The part of a log that is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The LSN after its last record: the first that is lost.
    pub next_lsn: Lsn,
    /// The chain after its last frame.
    pub chain: ChainHash,
    /// Its end.
    pub end: Position,
    /// BLAKE3 of what follows in that segment.
    rest: [u8; 32],
}

impl Kept {
    fn is_continued_by(&self, header: &SegmentHeader) -> bool {
        header.first_lsn == self.next_lsn
            && header.previous_chain == self.chain
            && header.previous_end == self.end.offset
            && header.previous_rest == self.rest
    }
}

/// What a repair has done.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// Where the files lie that are not part of the log any more.
    pub quarantine: PathBuf,
    /// What was written down.
    pub report: String,
}

impl Damaged {
    /// Finds out what can be kept of the log in `dir` that a start has refused for `corruption`. `whole` is the log as the
    /// start has read it, with its archive; `after` is the place from which it had to go on, because a snapshot stands for
    /// what lies before. Changes nothing.
    ///
    /// # Errors
    /// Another writer has the log, or the operating system refuses.
    pub fn of(
        dir: &Path,
        whole: &dyn Storage,
        after: Option<Anchor>,
        corruption: Corruption,
    ) -> Result<Self, RecoveryError<Infallible>> {
        let Some(lock) = whole.lock()? else {
            return Err(RecoveryError::Locked { file: "lock".to_owned() });
        };
        Ok(examine(dir, whole, after, corruption, lock)?)
    }
}

fn examine(
    dir: &Path,
    whole: &dyn Storage,
    after: Option<Anchor>,
    corruption: Corruption,
    lock: Box<dyn Lock>,
) -> Result<Damaged, StorageError> {
    let hot = Directory::existing(dir).list()?;
    let segments = segments_of(&whole.list()?);
    let slots = valid_slots(whole)?;
    let mut headers = BTreeMap::new();
    for (number, bytes) in &segments {
        if let Some(header) = header_of(whole, *number, Some(*bytes))? {
            headers.insert(*number, header);
        }
    }
    let by_slot = slots.iter().max_by_key(|slot| slot.sequence).map(|slot| slot.log);
    let log = by_slot.or_else(|| headers.values().next().map(|header| header.log));
    let kept = keep(whole, &headers, log, after)?;
    let end = kept.map(|kept| kept.end).unwrap_or_default();
    let next = kept.map(|kept| kept.next_lsn).or_else(|| after.map(|anchor| anchor.lsn.next()));
    let mut claims = Claims::new(next.unwrap_or(Lsn::FIRST));
    for slot in &slots {
        claims.hear(slot.durable_lsn, || "the control file says that it was durable".to_owned());
    }
    if let Some(until) = unfinished(dir) {
        claims.hear(until, || "a repair that was not finished had found it".to_owned());
    }
    for (number, header) in headers.range(end.segment..).filter(|(_, header)| Some(header.log) == log) {
        claims.hear(header.first_lsn.previous(), || format!("segment {number:#x} begins after it"));
    }
    let in_log = segments_of(&hot);
    for number in in_log.keys().filter(|number| **number >= end.segment) {
        let from = if *number == end.segment { end.offset } else { 0 };
        hear_frames(whole, *number, from, log, &mut claims)?;
    }
    let archived_after =
        segments.keys().copied().find(|number| *number > end.segment && !in_log.contains_key(number));
    let Claims { until, evidence, .. } = claims;
    Ok(Damaged {
        corruption,
        kept,
        archived_after,
        lost_until: until,
        evidence,
        moved: leaving(&hot, end.segment),
        dir: dir.to_owned(),
        log,
        _lock: lock,
    })
}

/// The segments among some files, with their lengths.
fn segments_of(files: &[FileEntry]) -> BTreeMap<u64, u64> {
    files.iter().filter_map(|file| Some((segment_number(&file.name)?, file.bytes))).collect()
}

/// The files that are not part of a log any more that ends in segment `last`.
fn leaving(files: &[FileEntry], last: u64) -> Vec<String> {
    let stays = |name: &str| segment_number(name).is_some_and(|number| number <= last);
    let belongs = |name: &&str| name.ends_with(".wal") || *name == CONTROL_NAME;
    let names = files.iter().map(|file| file.name.as_str());
    let mut moved: Vec<_> = names.filter(belongs).filter(|name| !stays(name)).map(str::to_owned).collect();
    moved.sort_unstable();
    moved
}

/// What says that there were records behind the end.
struct Claims {
    /// What the log would go on with.
    next: Lsn,
    until: Option<Lsn>,
    evidence: Vec<String>,
}

impl Claims {
    const fn new(next: Lsn) -> Self {
        Self { next, until: None, evidence: Vec::new() }
    }

    fn hear(&mut self, lsn: Lsn, why: impl FnOnce() -> String) {
        if lsn >= self.next && self.until.is_none_or(|until| lsn > until) {
            self.until = Some(lsn);
            self.evidence.push(format!("LSN {lsn}: {}", why()));
        }
    }
}

/// The header of a segment, if it is one; also of one whose length nobody knows, because it was not listed.
fn header_of(
    storage: &dyn Storage,
    number: u64,
    bytes: Option<u64>,
) -> Result<Option<SegmentHeader>, StorageError> {
    if bytes.is_some_and(|bytes| bytes < SEGMENT_BYTES_MIN) {
        return Ok(None);
    }
    let name = segment_name(number);
    let mut page = [0; PAGE_BYTES];
    let file = storage.open_read(&name)?;
    file.read_exact_at(0, &mut page).map_err(|error| StorageError::new("read", &name, error))?;
    let header = SegmentHeader::decode(&page).ok();
    let fits = |header: &SegmentHeader| {
        header.segment == number && bytes.is_none_or(|bytes| header.segment_bytes == bytes)
    };
    Ok(header.filter(fits))
}

/// Walks the segments from the first one, or after the place that a snapshot stands for, as long as each continues the one
/// before.
fn keep(
    storage: &dyn Storage,
    headers: &BTreeMap<u64, SegmentHeader>,
    log: Option<LogId>,
    after: Option<Anchor>,
) -> Result<Option<Kept>, StorageError> {
    let own = |number| headers.get(&number).filter(|header| Some(header.log) == log);
    let mut kept = match after {
        None => {
            own(1).filter(|header| begins_log(header)).map_or(Ok(None), |first| end_of(storage, first))?
        }
        Some(anchor) => match kept_at(storage, anchor)? {
            // It need not be here: the snapshot stands for it.
            None => {
                let next = own(anchor.end.segment + 1).filter(|header| follows(header, &anchor));
                next.map_or(Ok(None), |next| end_of(storage, next))?
            }
            found => found,
        },
    };
    while let Some(end) = kept {
        let next = own(end.end.segment + 1).filter(|header| end.is_continued_by(header));
        match next.map_or(Ok(None), |next| end_of(storage, next))? {
            None => break,
            further => kept = further,
        }
    }
    Ok(kept)
}

fn begins_log(header: &SegmentHeader) -> bool {
    header.first_lsn == Lsn::FIRST
        && header.previous_chain == ChainHash::genesis(header.log)
        && header.previous_end == 0
}

fn follows(header: &SegmentHeader, anchor: &Anchor) -> bool {
    (header.log, header.first_lsn, header.previous_chain, header.previous_end)
        == (anchor.log, anchor.lsn.next(), anchor.chain, anchor.end.offset)
}

/// The place that a snapshot stands for, as the log holds it; nothing if the log does not hold it.
fn kept_at(storage: &dyn Storage, anchor: Anchor) -> Result<Option<Kept>, StorageError> {
    let number = anchor.end.segment;
    if !storage.holds(&segment_name(number)) {
        return Ok(None);
    }
    let Some(header) = header_of(storage, number, None)?.filter(|header| header.log == anchor.log) else {
        return Ok(None);
    };
    let same =
        |kept: &Kept| (kept.next_lsn, kept.chain, kept.end) == (anchor.lsn.next(), anchor.chain, anchor.end);
    Ok(end_of(storage, &header)?.filter(same))
}

/// What can be kept of a segment; nothing if its copy in the archive cannot be unpacked.
fn end_of(storage: &dyn Storage, header: &SegmentHeader) -> Result<Option<Kept>, StorageError> {
    let name = segment_name(header.segment);
    let file = storage.open_device_read(&name)?;
    match check_segment(&*file, header, &mut |_| true, &mut |_, _, _| {}) {
        Ok(checked) => Ok(Some(Kept {
            next_lsn: checked.next,
            chain: checked.chain,
            end: Position { segment: header.segment, offset: checked.end },
            rest: checked.rest,
        })),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(StorageError::new("read", &name, error)),
    }
}

/// Looks at every page of a segment for frames that were written there.
fn hear_frames(
    storage: &dyn Storage,
    number: u64,
    from: u64,
    log: Option<LogId>,
    claims: &mut Claims,
) -> Result<(), StorageError> {
    let content = storage.load(&segment_name(number), Source::Cache)?;
    let begin = usize::try_from(from).unwrap_or(usize::MAX).min(content.len());
    for (index, page) in content[begin..].chunks(PAGE_BYTES).enumerate() {
        let Ok((identity, header)) = SegmentIdentity::of_frame(page) else { continue };
        if identity.segment != number || Some(identity.log) != log {
            continue;
        }
        let offset = from + index as u64 * PAGE;
        let place = format!("the frame at offset {offset} of segment {number:#x}");
        claims.hear(header.durable_lsn, || format!("{place} says that it was durable"));
        let at = begin + index * PAGE_BYTES;
        let frame = content.get(at..at + frame_bytes_for(header.records as usize)).unwrap_or_default();
        if identity.verify(frame, offset, header.first_lsn, header.previous_chain).is_ok() {
            claims.hear(header.next_lsn().previous(), || format!("{place} holds it, whole"));
        }
    }
    Ok(())
}

/// What a repair that was not finished had found to be lost.
fn unfinished(dir: &Path) -> Option<Lsn> {
    let text = fs::read_to_string(dir.join(UNFINISHED_REPAIR)).ok()?;
    let loss = text.lines().next()?.strip_prefix("lost ")?;
    Some(Lsn(loss.split_once('-')?.1.parse().ok()?))
}

impl Damaged {
    /// The loss, as it has to be spelled to be accepted: `FROM-UNTIL`, or `none`.
    #[must_use]
    pub fn loss(&self) -> String {
        let from = self.kept.map_or(Lsn::FIRST, |kept| kept.next_lsn);
        self.lost_until.map_or_else(|| "none".to_owned(), |until| format!("{from}-{until}"))
    }

    /// Ends the log where its damage begins. Files are moved, none is deleted or changed. It may be interrupted at any
    /// moment, and then be begun again. `stamp` names the quarantine folder; it is the time, in letters that a file name
    /// can have.
    ///
    /// # Errors
    /// The operating system refuses; run it again.
    ///
    /// # Panics
    /// If nothing can be kept, or the archive goes on behind it: look at [`Damaged::kept`] and
    /// [`Damaged::archived_after`] first.
    pub fn repair(&self, stamp: &str) -> Result<Repaired, StorageError> {
        assert_eq!(self.archived_after, None, "a log does not end before its archive does");
        let (Some(kept), Some(log)) = (self.kept, self.log) else { panic!("there is no log to go on with") };
        let quarantine = self.dir.join(format!("{QUARANTINE}{stamp}"));
        let report = self.report(stamp, &kept)?;
        self.write_new(&self.dir.join(UNFINISHED_REPAIR), report.as_bytes())?;
        self.sync(&self.dir)?;
        self.done("create", &quarantine, fs::create_dir(&quarantine))?;
        for name in &self.moved {
            link(&self.dir.join(name), &quarantine.join(name)).map_err(failed("link", name))?;
        }
        self.write_new(&quarantine.join(REPORT), report.as_bytes())?;
        self.sync(&quarantine)?;
        // From the last to the first, so that what is left never looks like a shorter log that is whole.
        for name in self.moved.iter().rev().filter(|name| *name != CONTROL_NAME) {
            self.done("unlink", &self.dir.join(name), fs::remove_file(self.dir.join(name)))?;
        }
        self.sync(&self.dir)?;
        let number = kept.end.segment + 1;
        let header = self.mark(log, number, &kept, &report)?;
        self.put(&segment_name(number), &header.encode(), SEGMENT_BYTES_MIN)?;
        let slot = ControlSlot {
            log,
            epoch: header.epoch,
            sequence: 1,
            durable_lsn: kept.next_lsn.previous(),
            chain: kept.chain,
            end: Position { segment: number, offset: PAGE },
            time_ns: header.created_ns,
            clean: false,
        };
        let mut control = vec![0; PAGE_BYTES];
        control.extend(slot.encode());
        self.put(CONTROL_NAME, &control, control.len() as u64)?;
        let plan = quarantine.join(UNFINISHED_REPAIR);
        self.done("move", &plan, fs::rename(self.dir.join(UNFINISHED_REPAIR), &plan))?;
        self.sync(&self.dir)?;
        Ok(Repaired { quarantine, report })
    }

    /// The header that ends the log here and says so for ever.
    fn mark(
        &self,
        log: LogId,
        number: u64,
        kept: &Kept,
        report: &str,
    ) -> Result<SegmentHeader, StorageError> {
        Ok(SegmentHeader {
            log,
            epoch: Identity::from_os()?.epoch,
            segment: number,
            first_lsn: kept.next_lsn,
            previous_chain: kept.chain,
            previous_end: kept.end.offset,
            previous_rest: kept.rest,
            segment_bytes: SEGMENT_BYTES_MIN,
            created_ns: crate::live::wall_clock_ns(),
            repair: Some(RepairMark {
                lost_until: self.lost_until.unwrap_or_else(|| kept.next_lsn.previous()),
                report: blake3::hash(report.as_bytes()).into(),
            }),
        })
    }

    fn report(&self, stamp: &str, kept: &Kept) -> Result<String, StorageError> {
        let mut text = format!(
            "lost {}\nrepaired {stamp}\nfound {}\nkept up to LSN {}, chain {}, {}\n",
            self.loss(),
            self.corruption,
            kept.next_lsn.previous(),
            kept.chain,
            kept.end
        );
        if kept.rest != NO_REST {
            text.push_str("what follows in that segment stays there, and is covered by a hash\n");
        }
        for known in &self.evidence {
            text.push_str(&format!("known {known}\n"));
        }
        for name in &self.moved {
            let bytes = fs::read(self.dir.join(name)).map_err(failed("read", name))?;
            text.push_str(&format!("moved {name} {} bytes blake3 {}\n", bytes.len(), blake3::hash(&bytes)));
        }
        Ok(text)
    }

    /// Puts a file of `bytes` bytes in its place as a whole, durably. What had the name lies in quarantine already.
    fn put(&self, name: &str, begin: &[u8], bytes: u64) -> Result<(), StorageError> {
        let temporary = self.dir.join(format!("{name}.repair"));
        let mut content = begin.to_vec();
        // Small files, written as a whole: a hole would have to be filled while the log is live.
        content.resize(usize::try_from(bytes).unwrap_or(begin.len()), 0);
        self.write_new(&temporary, &content)?;
        self.done("move", &temporary, fs::rename(&temporary, self.dir.join(name)))?;
        self.sync(&self.dir)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written =
            options.open(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        self.done("write", path, written)
    }

    fn sync(&self, dir: &Path) -> Result<(), StorageError> {
        self.done("sync", dir, File::open(dir).and_then(|dir| dir.sync_all()))
    }

    fn done(&self, what: &'static str, path: &Path, result: io::Result<()>) -> Result<(), StorageError> {
        result.map_err(|error| StorageError::new(what, &path.display().to_string(), error))
    }
}

fn failed(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> StorageError {
    let name = name.to_owned();
    move |error| StorageError::new(what, &name, error)
}

/// The file under a second name; a copy where the file system has no such thing.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error)
            if error.kind() == io::ErrorKind::Unsupported
                || error.kind() == io::ErrorKind::PermissionDenied =>
        {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        }
        done => done,
    }
}
