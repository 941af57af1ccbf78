//! Memory asked for ahead of its use, so that the processor waits for many places at once and not for each.
//!
//! In: a place in a list. Out: nothing; the place is on its way into the cache. Never here: anything that a decision could
//! see. Without the feature `prefetch` nothing happens at all.

/// Asks for the cache line in which `list[at]` begins. Any `at` is allowed.
#[cfg(feature = "prefetch")]
#[inline]
pub(super) fn fetch<T>(list: &[T], at: usize) {
    prefetch_index::prefetch_index(list, at);
}

#[cfg(not(feature = "prefetch"))]
pub(super) const fn fetch<T>(_: &[T], _: usize) {}
