//! A small file system of its own, on a file: so that a disk can be filled.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

/// What a file system and a log count in, in bytes.
const PAGE_BYTES: usize = 4096;
/// What a device counts in, in bytes.
const SECTOR_BYTES: usize = 512;

/// An ext4 file system in a file, mounted until this is dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    mount: PathBuf,
    image: PathBuf,
    _home: TempDir,
}

impl SmallDisk {
    /// Makes one. Where that is not possible (it takes root and loop devices) the test is skipped, and says so;
    /// with `CAGE_MUST_NOT_SKIP=1` it fails instead.
    pub(crate) fn mounted(mib: u64) -> Option<Self> {
        match Self::try_mount(mib) {
            Ok(disk) => Some(disk),
            Err(reason) => {
                let must = std::env::var("CAGE_MUST_NOT_SKIP").is_ok_and(|value| value == "1");
                assert!(!must, "CAGE_MUST_NOT_SKIP=1, and there is no small disk: {reason}");
                println!("SKIPPED: no small disk can be mounted here: {reason}");
                None
            }
        }
    }

    fn try_mount(mib: u64) -> Result<Self, String> {
        let home = super::folder();
        let (image, mount) = (home.path().join("image"), home.path().join("disk"));
        let file = File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mib << 20).map_err(|error| error.to_string())?;
        std::fs::create_dir(&mount).map_err(|error| error.to_string())?;
        call("mkfs.ext4", &["-q", "-F", "-m", "0", super::text(&image)])?;
        call("mount", &["-o", "loop", super::text(&image), super::text(&mount)])?;
        Ok(Self { mount, image, _home: home })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// Flips a bit of a page on the device itself, behind the file system's back. The page has to be the only one like it.
    pub(crate) fn flip_on_the_device(&self, page: &[u8; PAGE_BYTES]) {
        call("sync", &[]).expect("everything is on the device");
        let device = std::fs::read(&self.image).expect("the device");
        // The file system's blocks may be smaller than a page.
        let mut places = (0..device.len() - PAGE_BYTES)
            .step_by(SECTOR_BYTES)
            .filter(|place| device[*place..*place + PAGE_BYTES] == *page);
        let place = places.next().expect("the page is on the device");
        assert_eq!(places.next(), None, "one page is like it");
        let at = (place + PAGE_BYTES / 2) as u64;
        let image = File::options().write(true).open(&self.image).expect("the device");
        image.write_all_at(&[page[PAGE_BYTES / 2] ^ 1], at).expect("a byte");
    }

    /// Takes all space that is left.
    pub(crate) fn fill(&self) {
        let ballast = File::create(self.mount.join("ballast")).expect("a file");
        let (mut end, mut step) = (0, 8 << 20);
        while step >= 4096 {
            match fallocate(&ballast, FallocateFlags::empty(), end, step) {
                Ok(()) => end += step,
                Err(_) => step /= 2,
            }
        }
        let left = statvfs(&self.mount).expect("a file system").f_bavail * 4096;
        assert!(left < 1 << 20, "{left} bytes are left");
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.mount.join("ballast")).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server that a failed test left behind may still have files open.
        if let Err(reason) = call("umount", &["-l", super::text(&self.mount)]) {
            println!("{reason}");
        }
    }
}

fn call(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", super::stderr(&output)))
}
