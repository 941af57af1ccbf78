//! Waiting to the microsecond.
//!
//! In: a point in time. Out: a wake-up then. The runtime's timers count milliseconds, and a load of ten thousand a
//! second needs better. What the kernel's own timer leaves is spun through.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// How long before its time a wait begins to spin: about what the kernel takes to wake a thread. Sleeping through it
/// would send late; spinning for longer takes the processor from a server on the same machine.
const SPIN: Duration = Duration::from_micros(50);

/// A timer of the kernel.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// A timer, to be used within the tokio runtime around this call.
    ///
    /// # Errors
    /// What the operating system says.
    #[expect(
        deprecated,
        reason = "its successor is unsafe: it wants the promise that an `OwnedFd` keeps by its type"
    )]
    pub fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::new(timer)?))
    }

    /// Waits until `due`.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn wait(&self, due: Instant) -> io::Result<()> {
        if let Some(far) = due.checked_duration_since(Instant::now() + SPIN).filter(|far| !far.is_zero()) {
            self.sleep(far).await?;
        }
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn sleep(&self, time: Duration) -> io::Result<()> {
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: nothing, it_value: Timespec::try_from(time).unwrap_or(nothing) };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            match read(&self.0, &mut [0; 8]) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                read => return Ok(read.map(drop)?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_early_however_often_a_wait_is_dropped() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 10, 200, 3_000] {
            let due = Instant::now() + Duration::from_micros(micros);
            let dropped =
                tokio::time::timeout(Duration::ZERO, alarm.wait(due + Duration::from_secs(9))).await;
            assert!(dropped.is_err());
            alarm.wait(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
    }
}
