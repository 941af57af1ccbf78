//! Fixed-size values to bytes and back: the only place that names the archive library's machinery.
//!
//! Every layout is a struct of integers and byte arrays, little-endian, unaligned, without padding. Reading is
//! checked; a value of such a type can take any bit pattern, so what can be wrong is only the length.

use rkyv::api::low::LowValidator;
use rkyv::api::{low, serialize_using};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Strategy};
use rkyv::ser::writer::Buffer;
use rkyv::{Archive, Portable, Serialize};

/// The bytes of `value`. `N` is the size of its archived form; the callers assert that at compile time.
pub fn write<T, const N: usize>(value: &T) -> [u8; N]
where
    T: for<'a> Serialize<Strategy<Buffer<'a>, Failure>>,
{
    const { assert!(size_of::<T::Archived>() == N, "the buffer is as long as the archived value") };
    let mut bytes = [0; N];
    let written = serialize_using::<_, Failure>(value, &mut Buffer::from(&mut bytes));
    debug_assert!(written.is_ok(), "a fixed-size value fits a buffer of its own size");
    bytes
}

/// Looks at `bytes` as a `T`; `None` if their number is not that of a `T`.
#[must_use]
pub fn read<T>(bytes: &[u8]) -> Option<&T::Archived>
where
    T: Archive,
    T::Archived: Portable + for<'a> CheckBytes<LowValidator<'a, Failure>>,
{
    if bytes.len() != size_of::<T::Archived>() {
        return None;
    }
    low::access::<T::Archived, Failure>(bytes).ok()
}
