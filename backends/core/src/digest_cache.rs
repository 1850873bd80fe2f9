//! The digests of files that this process has read before. A model that comes and goes is verified at each load, and to read a file
//! of weights again takes longer than to map it.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lockstep_engine::infer::digest::FileDigest;

use crate::digest::digest_of;

/// A file that changed within this time may change again within one step of the file system's clock, and look the same.
const SETTLES: Duration = Duration::from_secs(2);

/// The digest of a file's content, which is read only if the file has changed since the last call.
///
/// # Errors
/// The error of the file system.
#[allow(clippy::disallowed_methods, reason = "times of files are times of the wall clock")]
pub(crate) fn known_digest(file: &Path) -> io::Result<FileDigest> {
    static DIGESTS: LazyLock<DigestCache> = LazyLock::new(DigestCache::default);
    DIGESTS.digest(file, SystemTime::now(), digest_of)
}

/// The last digest of each file.
#[derive(Default)]
struct DigestCache(Mutex<HashMap<PathBuf, (FileState, FileDigest)>>);

impl DigestCache {
    /// The digest of a file at the time `now`, by `read` unless it is known.
    fn digest(
        &self,
        file: &Path,
        now: SystemTime,
        read: impl FnOnce(&Path) -> io::Result<FileDigest>,
    ) -> io::Result<FileDigest> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = FileState::of(&std::fs::metadata(file)?);
        if let Some((before, digest)) = known().get(file)
            && state.is_some_and(|state| state == *before)
        {
            return Ok(*digest);
        }
        // Other files can be looked up meanwhile.
        let digest = read(file)?;
        // A file that changes while it is read has a digest of neither content.
        let after = FileState::of(&std::fs::metadata(file)?);
        match (state, after) {
            (Some(state), Some(after)) if state == after && state.is_settled(now) => {
                known().insert(file.to_owned(), (state, digest));
            }
            _ => drop(known().remove(file)),
        }
        Ok(digest)
    }
}

/// What the file system says of a file. Each write, rename or copy changes it.
///
/// So it is safe enough for the purpose of the digest, to find a file that is damaged, cut or mixed up. Tools can set back the length and
/// the time of the last write, but not that of the last change of these. Damage on the disk stays unseen if the file system does
/// not notice it. The pages of a file that was read before are mostly still in memory, so a second reading would not see it either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds of the last write.
    written: (i64, i64),
    /// Seconds and nanoseconds of the last change of content, name, owner or times.
    changed: (i64, i64),
}

impl FileState {
    #[cfg(unix)]
    fn of(file: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// True if a later change will show.
    fn is_settled(&self, now: SystemTime) -> bool {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = u64::try_from(self.changed.0).map_or(Duration::MAX, Duration::from_secs);
        since.checked_sub(SETTLES).is_some_and(|latest| changed < latest)
    }

    /// None: other systems do not tell enough.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    /// A time at which files that were written during a test have settled.
    fn later() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)
    }

    /// The digest, and whether the file was read for it.
    fn asked(cache: &DigestCache, file: &Path) -> (FileDigest, bool) {
        let mut is_read = false;
        let digest = cache.digest(file, later(), |file| {
            is_read = true;
            digest_of(file)
        });
        (digest.expect("a file"), is_read)
    }

    #[test]
    fn unchanged_file_is_read_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "weights").expect("written");
        std::fs::write(&other, "weights").expect("written");
        let cache = DigestCache::default();
        let (first, is_read) = asked(&cache, &file);
        assert!(is_read);
        assert_eq!(asked(&cache, &file), (first, false));
        assert_eq!(asked(&cache, &other), (first, true));
    }

    #[test]
    fn file_of_the_same_length_and_time_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, new) = (folder.path().join("a"), folder.path().join("new"));
        std::fs::write(&file, "one").expect("written");
        let cache = DigestCache::default();
        let (first, _) = asked(&cache, &file);
        let written = std::fs::metadata(&file).and_then(|file| file.modified()).expect("a time");
        std::fs::write(&new, "two").expect("written");
        let renamed = std::fs::File::options().write(true).open(&new).expect("opened");
        renamed.set_modified(written).expect("the time is set");
        std::fs::rename(&new, &file).expect("renamed");
        let (second, is_read) = asked(&cache, &file);
        assert!(is_read && second != first);
    }

    #[test]
    fn file_that_changes_while_it_is_read_is_not_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "one").expect("written");
        let cache = DigestCache::default();
        let during = cache.digest(&file, later(), |file| {
            let digest = digest_of(file);
            std::fs::write(file, "longer").expect("written");
            digest
        });
        let (after, is_read) = asked(&cache, &file);
        assert!(is_read && during.expect("a file") != after);
    }

    #[test]
    fn file_that_has_just_changed_is_not_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "one").expect("written");
        let cache = DigestCache::default();
        let written = std::fs::metadata(&file).and_then(|file| file.modified()).expect("a time");
        cache.digest(&file, written + Duration::from_secs(1), digest_of).expect("a file");
        assert!(asked(&cache, &file).1);
    }

    #[test]
    fn missing_file_has_no_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "one").expect("written");
        let cache = DigestCache::default();
        asked(&cache, &file);
        std::fs::remove_file(&file).expect("removed");
        assert!(cache.digest(&file, later(), digest_of).is_err());
    }
}
