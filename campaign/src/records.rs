//! Records that can be told apart, and random choices that can be repeated.
//!
//! In: a serial number, or a seed. Out: the same record, the same choices, everywhere. Never here: a clock, a choice
//! of the operating system.

use cage_wal::{RECORD_BYTES, Record, RecordTraits};

/// What the log has to know of these records: kind, linked flag, time, serial number, then bytes that follow from
/// the serial number.
pub const TRAITS: RecordTraits = RecordTraits { linked: is_linked, time_ns };

/// Whether the next record belongs to the same run.
#[must_use]
pub const fn is_linked(record: &Record) -> bool {
    record[2] == 1
}

/// The record's time.
#[must_use]
pub fn time_ns(record: &Record) -> u64 {
    number_at(record, 8)
}

/// The record's serial number, which is its LSN.
#[must_use]
pub fn serial(record: &Record) -> u64 {
    number_at(record, 16)
}

fn number_at(record: &Record, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// The record with a serial number.
#[must_use]
pub fn record(serial: u64, linked: bool) -> Record {
    let mut record = [0; RECORD_BYTES];
    record[0..2].copy_from_slice(&0x0123_u16.to_le_bytes());
    record[2] = linked.into();
    record[8..16].copy_from_slice(&(serial * 1000).to_le_bytes());
    record[16..24].copy_from_slice(&serial.to_le_bytes());
    let mut random = Random::new(serial);
    record[24..].fill_with(|| random.next() as u8);
    record
}

/// `count` records from `first` on, linked to each other.
#[must_use]
pub fn run(first: u64, count: u64) -> Vec<Record> {
    (0..count).map(|index| record(first + index, index + 1 < count)).collect()
}

/// Random numbers that are the same everywhere (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    /// The numbers of one case of many under the same seed.
    #[must_use]
    pub const fn of_case(seed: u64, case: u64) -> Self {
        Self::new(Self::new(seed).next().wrapping_add(case))
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `limit`, which is not 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A place in something that has so many.
    pub const fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Yes, once in so many times.
    pub const fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}
