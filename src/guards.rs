//! Whether money may be kept on this machine: where the log lies, and where memory may end up.
//!
//! In: the log's folder, and what the operator takes upon himself. Out: a go-ahead, or a refusal that says what to
//! change. Never here: a silent exception; whatever is overridden is told at every start.

use std::path::Path;

use cage_wal::StorageError;
use cage_wal::storage::{Directory, Filesystem};
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// The kernel's list of what memory may be swapped to.
const SWAPS: &str = "/proc/swaps";
/// Swap that is memory again, compressed: nothing of it reaches a disk.
const SWAP_IN_MEMORY: &str = "/dev/zram";

/// What an operator overrides. Nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// Take a file system that is not known to keep what it says.
    pub unsafe_filesystem: bool,
    /// Start although memory may be swapped to a disk.
    pub unsafe_swap: bool,
    /// Lock all memory even if there is no swap.
    pub lock_memory: bool,
}

/// Why money may not be kept here.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The file system is not known to keep what it says.
    #[error(
        "{dir} lies on {name} (file system {magic:#x}): {reason}. Keep the log on ext4 or xfs of a local disk; for a \
         trial without real money, --unsafe-filesystem goes on all the same"
    )]
    Filesystem {
        /// The log's folder.
        dir: String,
        /// What it lies on.
        name: &'static str,
        /// The kernel's number for that.
        magic: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Memory may be swapped.
    #[error(
        "swap is on ({swaps}), and memory cannot be locked ({reason}): a bad sector there would change balances, and \
         they would lie on a disk that nobody guards. Turn swap off, or allow the process to lock memory \
         (LimitMEMLOCK=infinity); for a trial without real money, --unsafe-swap goes on all the same"
    )]
    Swap {
        /// To where.
        swaps: String,
        /// The operating system's answer.
        reason: String,
    },
    /// Memory was to be locked.
    #[error("memory cannot be locked ({0}): allow it (LimitMEMLOCK=infinity), or leave --lock-memory out")]
    MemoryLock(String),
    /// Nobody knows what the log lies on.
    #[error(transparent)]
    Unknown(#[from] StorageError),
}

/// What is wrong with a machine that is used all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overridden {
    /// The log lies on a file system that is not known to keep what it says.
    pub filesystem: bool,
    /// Memory may be swapped to a disk.
    pub swap: bool,
}

/// Looks at the machine before anything is believed of it. The folder of the log is made unless it exists.
///
/// # Errors
/// [`Unfit`], unless it is overridden.
pub fn check(log_dir: &Path, guards: Guards) -> Result<Overridden, Unfit> {
    Directory::create(log_dir)?;
    let filesystem = check_filesystem(log_dir, Filesystem::of(log_dir)?, guards)?;
    // Where there is no such list there is no swap.
    let list = std::fs::read_to_string(SWAPS).unwrap_or_default();
    let swap = check_memory(&swaps_to_disk(&list), guards, lock_memory)?;
    Ok(Overridden { filesystem, swap })
}

/// Whether it had to be overridden.
fn check_filesystem(dir: &Path, found: Filesystem, guards: Guards) -> Result<bool, Unfit> {
    let Filesystem { name, magic, unfit } = found;
    let Some(reason) = unfit else { return Ok(false) };
    let dir = dir.display().to_string();
    if !guards.unsafe_filesystem {
        return Err(Unfit::Filesystem { dir, name, magic, reason });
    }
    tracing::warn!(%dir, name, reason, "UNSAFE FILE SYSTEM: acknowledgements may not survive; not for real money");
    Ok(true)
}

/// Whether it had to be overridden.
fn check_memory(
    swaps: &[&str],
    guards: Guards,
    lock: impl FnOnce() -> Result<(), String>,
) -> Result<bool, Unfit> {
    if swaps.is_empty() && !guards.lock_memory {
        return Ok(false);
    }
    if guards.unsafe_swap && !guards.lock_memory {
        tracing::warn!(?swaps, "UNSAFE SWAP: balances may be written to it; not for real money");
        return Ok(true);
    }
    match lock() {
        Ok(()) => {
            tracing::info!(?swaps, "memory is locked");
            Ok(false)
        }
        Err(reason) if guards.lock_memory => Err(Unfit::MemoryLock(reason)),
        Err(reason) => Err(Unfit::Swap { swaps: swaps.join(", "), reason }),
    }
}

/// The swap areas of the kernel's list that lie on disks.
fn swaps_to_disk(list: &str) -> Vec<&str> {
    let areas = list.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    areas.filter(|area| !area.starts_with(SWAP_IN_MEMORY)).collect()
}

/// Locks what is used of memory, now and from now on. Only without a limit: with one, memory that is asked for later
/// would not be given, and the process would end in the middle of its work.
fn lock_memory() -> Result<(), String> {
    let unlimited = Rlimit { current: None, maximum: None };
    let limit = getrlimit(Resource::Memlock);
    if limit.current.is_some() && setrlimit(Resource::Memlock, unlimited).is_err() {
        return Err(format!("the limit is {} bytes", limit.current.unwrap_or_default()));
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|error: Errno| error.to_string())
}

/// Whatever happens, no picture of memory is left behind: it would show every balance and key.
///
/// # Errors
/// The operating system refuses.
pub fn forbid_dumps() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
                        /dev/zram0  partition\t8388604\t0\t100\n/swap.img   file\t4194300\t1024\t-2\n";

    #[test]
    fn swap_in_memory_is_no_swap() {
        assert_eq!(swaps_to_disk(LIST), ["/swap.img"]);
        assert!(swaps_to_disk("Filename Type Size Used Priority\n").is_empty());
        assert!(swaps_to_disk("").is_empty());
    }

    #[test]
    fn with_swap_memory_is_locked_or_the_start_refused() {
        let strict = Guards::default();
        let denied = || Err("the limit is 8388608 bytes".to_owned());
        assert!(check_memory(&[], strict, || panic!("there is nothing to lock against")).is_ok());
        assert!(check_memory(&["/swap.img"], strict, || Ok(())).is_ok());
        let refused = check_memory(&["/swap.img"], strict, denied).expect_err("swap").to_string();
        assert!(refused.contains("/swap.img") && refused.contains("8388608"), "{refused}");
        assert!(refused.contains("--unsafe-swap") && refused.contains("LimitMEMLOCK"), "{refused}");
        let overridden = Guards { unsafe_swap: true, ..strict };
        assert!(check_memory(&["/swap.img"], overridden, || panic!("nobody asked for it")).is_ok());
        let asked = Guards { lock_memory: true, ..overridden };
        assert!(matches!(check_memory(&[], asked, denied), Err(Unfit::MemoryLock(_))));
    }

    #[test]
    fn an_unfit_file_system_is_refused_with_what_to_do() {
        let memory = Filesystem::from_magic(0x0102_1994);
        let refused = check_filesystem(Path::new("/dev/shm/log"), memory, Guards::default());
        let refused = refused.expect_err("memory").to_string();
        for part in ["/dev/shm/log", "tmpfs", "ext4 or xfs", "--unsafe-filesystem"] {
            assert!(refused.contains(part), "{part:?} in {refused}");
        }
        let overridden = Guards { unsafe_filesystem: true, ..Guards::default() };
        assert!(check_filesystem(Path::new("log"), memory, overridden).is_ok());
        assert!(
            check_filesystem(Path::new("log"), Filesystem::from_magic(0xEF53), Guards::default()).is_ok()
        );
    }
}
