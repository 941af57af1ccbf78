//! What happens when a mapped file is taken away from under a store or a load.
//!
//! In: an exit code. Out: a process that ends with it, instead of dying of a signal. Never here: an attempt to go on;
//! nobody knows what the store has become.
#![expect(unsafe_code, reason = "a signal handler can only be set with unsafe")]

use std::{
    io,
    sync::atomic::{AtomicI32, Ordering},
};

/// What the handler says: it may do little more than that.
const LAST_WORDS: &[u8] =
    b"cage: a mapped file of the log was cut or could not be read (SIGBUS); nothing more is acknowledged\n";

static EXIT_CODE: AtomicI32 = AtomicI32::new(1);

extern "C" fn end(_: libc::c_int) {
    // SAFETY: both calls may be made in a signal handler, and the bytes are a constant.
    unsafe {
        libc::write(2, LAST_WORDS.as_ptr().cast(), LAST_WORDS.len());
        libc::_exit(EXIT_CODE.load(Ordering::Relaxed));
    }
}

/// From now on a bus error (a mapped file was cut, or its device does not give the page) says so on stderr and ends
/// the process at once with this exit code.
///
/// # Errors
/// The operating system does not take the handler.
pub fn exit_on_bus_error(code: u8) -> io::Result<()> {
    EXIT_CODE.store(code.into(), Ordering::Relaxed);
    // SAFETY: all zero is a valid `sigaction`; the handler only makes calls that are allowed in one.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = end as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
