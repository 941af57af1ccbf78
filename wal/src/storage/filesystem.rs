//! Which file system a directory lies on, and whether a log may be kept there.
//!
//! In: a path. Out: a name, and a reason against it if there is one. Never here: a decision to go on all the same.

use std::path::Path;

use crate::error::StorageError;

/// A file system, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// Its usual name.
    pub name: &'static str,
    /// The number by which `statfs` tells it.
    pub magic: u64,
    /// Why an acknowledgement on it is not what it says; nothing for those that are known to be good.
    pub unfit: Option<&'static str>,
}

const MEMORY: Option<&str> = Some("it is memory: nothing on it survives the machine");
const NETWORK: Option<&str> =
    Some("it is a network: what another machine calls durable, and who holds a lock, is not known here");
const COPIES: Option<&str> = Some(
    "it writes every page to a new place: space that was prepared is not there when it is needed, and a full disk stops \
     wins in the middle of a segment",
);
const LAYERED: Option<&str> =
    Some("what lies below it is not seen from here: give a directory of a real disk (a volume)");
const SIMPLE: Option<&str> = Some("it has no journal: a loss of power can take names and files with it");
const UNKNOWN: Option<&str> = Some("nobody has tried what a loss of power does to a log on it");

const KNOWN: [(u64, &str, Option<&str>); 20] = [
    (0xEF53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x0102_1994, "tmpfs", MEMORY),
    (0x8584_58F6, "ramfs", MEMORY),
    (0x6969, "nfs", NETWORK),
    (0x517B, "smb", NETWORK),
    (0xFF53_4D42, "cifs", NETWORK),
    (0xFE53_4D42, "smb2", NETWORK),
    (0x00C3_6400, "ceph", NETWORK),
    (0x5346_414F, "afs", NETWORK),
    (0x0102_1997, "9p", NETWORK),
    (0x9123_683E, "btrfs", COPIES),
    (0x2FC1_2FC1, "zfs", COPIES),
    (0xF2F5_2010, "f2fs", COPIES),
    (0xCA45_1A4E, "bcachefs", COPIES),
    (0x794C_7630, "overlay", LAYERED),
    (0x6573_5546, "fuse", LAYERED),
    (0xF15F, "ecryptfs", LAYERED),
    (0x4D44, "vfat", SIMPLE),
    (0x2011_BAB0, "exfat", SIMPLE),
];

impl Filesystem {
    /// The file system that a directory or file lies on.
    ///
    /// # Errors
    /// It does not exist, or the operating system does not say.
    pub fn of(path: &Path) -> Result<Self, StorageError> {
        let found = rustix::fs::statfs(path).map_err(|error| {
            StorageError::new("examine the file system of", &path.display().to_string(), error)
        })?;
        // The kernel's numbers have 32 bits; some platforms return them sign-extended.
        Ok(Self::from_magic(found.f_type as u64 & 0xFFFF_FFFF))
    }

    /// The file system with this number.
    #[must_use]
    pub fn from_magic(magic: u64) -> Self {
        KNOWN.iter().find(|known| known.0 == magic).map_or(
            Self { name: "unknown", magic, unfit: UNKNOWN },
            |(magic, name, unfit)| Self { name, magic: *magic, unfit: *unfit },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_journaling_local_disks_are_fit_for_money() {
        let fit: Vec<_> =
            KNOWN.iter().filter(|known| Filesystem::from_magic(known.0).unfit.is_none()).collect();
        assert_eq!(fit.iter().map(|known| known.1).collect::<Vec<_>>(), ["ext4", "xfs"]);
        assert!(Filesystem::from_magic(0x1234).unfit.is_some(), "what is not known is not trusted");
    }

    #[test]
    fn memory_is_told_from_a_disk() {
        assert_eq!(Filesystem::of(Path::new("/proc")).expect("it is mounted").name, "unknown");
        let memory = Filesystem::of(Path::new("/dev/shm"));
        assert!(memory.is_ok_and(|memory| memory.name == "tmpfs" && memory.unfit.is_some()));
    }
}
