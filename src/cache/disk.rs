//! The one layer through which the ledger touches files.
//!
//! Whatever must survive a power cut is written here: a file's bytes are synced before its name appears, and the directory
//! that holds the name is synced after. In this crate's tests every operation is also noted in a journal, from which the
//! power-cut tests build what a disk may hold after a cut at any moment.

#[cfg(test)]
use super::journal::{self, Operation};
use crate::recipe::Key;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A file operation that did not work: what, where, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {}: {source}{}", path.display(), self.advice())]
pub struct DiskError {
    pub action: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

/// What kind of trouble a [`DiskError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Full,
    Denied,
    ReadOnly,
    TooManyFiles,
    InTheWay,
    Other,
}

impl DiskError {
    pub fn trouble(&self) -> Trouble {
        trouble(&self.source)
    }

    fn advice(&self) -> &'static str {
        advice(&self.source)
    }
}

fn trouble(error: &io::Error) -> Trouble {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Trouble::Full,
        ErrorKind::PermissionDenied => Trouble::Denied,
        ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
        ErrorKind::NotADirectory => Trouble::InTheWay,
        _ if error.raw_os_error() == Some(24) => Trouble::TooManyFiles,
        _ => Trouble::Other,
    }
}

/// What to do about an error of the system, in brackets; nothing where nobody knows.
pub fn advice(error: &io::Error) -> &'static str {
    match trouble(error) {
        Trouble::Full => {
            " (the disk or your quota is full: free some space, `ablate gc` drops what nothing needs; nothing that was finished is lost)"
        }
        Trouble::Denied => " (change its permissions, or choose another folder with --results)",
        Trouble::ReadOnly => " (the file system is read-only: choose another folder with --results)",
        Trouble::TooManyFiles => " (too many open files: raise `ulimit -n` or lower --jobs)",
        Trouble::InTheWay => " (a file is where a folder should be: choose another folder with --results)",
        Trouble::Other => "",
    }
}

pub type Result<T> = std::result::Result<T, DiskError>;

/// Attaches what was done to which path.
pub(super) fn at<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|source| DiskError { action, path: path.to_path_buf(), source })
}

/// A folder whose loss in a power cut costs nothing.
pub fn create_dir(path: &Path) -> Result<()> {
    at("create the folder", path, fs::create_dir_all(path))?;
    #[cfg(test)]
    journal::note(|| Operation::CreateDir(path.to_path_buf()), path);
    Ok(())
}

/// A folder that stays: where it is new, the folders that hold its name and those above it are synced.
pub fn create_lasting_dir(path: &Path) -> Result<()> {
    let new: Vec<&Path> = path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    create_dir(path)?;
    new.into_iter().rev().try_for_each(|part| sync_dir(parent(part)))
}

/// Writes a whole file so that after any crash there is either the old one or the new one.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = beside(path);
    let written = write_synced(&temporary, bytes);
    if written.is_err() {
        // The file at `path` is untouched; what is left of the new one only takes up space.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    rename(&temporary, path)?;
    sync_dir(parent(path))
}

/// A name next to `path` that no other process or thread uses.
fn beside(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{count}.tmp", std::process::id()))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes and syncs a file under a name that nobody looks at yet.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = at("create", path, File::create(path))?;
    at("write", path, file.write_all(bytes))?;
    #[cfg(test)]
    journal::note(|| Operation::Write(path.to_path_buf(), bytes.to_vec()), path);
    at("sync", path, file.sync_all())?;
    #[cfg(test)]
    journal::note(|| Operation::Sync(path.to_path_buf(), bytes.to_vec()), path);
    Ok(())
}

/// Writes without any promise: for notes whose loss costs nothing.
pub fn write_note(path: &Path, bytes: &[u8]) -> Result<()> {
    at("write", path, fs::write(path, bytes))?;
    #[cfg(test)]
    journal::note(|| Operation::Write(path.to_path_buf(), bytes.to_vec()), path);
    Ok(())
}

pub fn sync_file(path: &Path) -> Result<()> {
    let file = at("open", path, File::open(path))?;
    at("sync", path, file.sync_all())?;
    #[cfg(test)]
    journal::note(|| Operation::Sync(path.to_path_buf(), fs::read(path).unwrap()), path);
    Ok(())
}

/// Makes the names in a directory durable. Windows has no such call; its renames are journalled by the file system.
pub fn sync_dir(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let dir = at("open", path, File::open(path))?;
        at("sync the folder", path, dir.sync_all())?;
    }
    #[cfg(test)]
    journal::note(|| Operation::SyncDir(path.to_path_buf()), path);
    Ok(())
}

/// Syncs every file under `dir`, then every directory, the deepest first.
pub fn sync_tree(dir: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(dir).contents_first(true).sort_by_file_name() {
        let entry = walked(dir, entry)?;
        if entry.file_type().is_file() {
            sync_file(entry.path())?;
        } else if entry.file_type().is_dir() {
            sync_dir(entry.path())?;
        }
    }
    Ok(())
}

pub fn rename(from: &Path, to: &Path) -> Result<()> {
    at("move into place", to, fs::rename(from, to))?;
    #[cfg(test)]
    journal::note(|| Operation::Rename(from.to_path_buf(), to.to_path_buf()), to);
    Ok(())
}

/// Removes a directory with all it holds; one that is not there is fine.
pub fn remove_dir(path: &Path) -> Result<()> {
    absent_is_fine(at("remove", path, fs::remove_dir_all(path)))?;
    #[cfg(test)]
    journal::note(|| Operation::RemoveDir(path.to_path_buf()), path);
    Ok(())
}

/// Removes a file; one that is not there is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    absent_is_fine(at("remove", path, fs::remove_file(path)))?;
    #[cfg(test)]
    journal::note(|| Operation::Remove(path.to_path_buf()), path);
    Ok(())
}

fn absent_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub fn read(path: &Path) -> Result<Vec<u8>> {
    at("read", path, fs::read(path))
}

/// The bytes of a file, or `None` if there is no such file.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// SHA-256 and size of a file, read in pieces.
pub fn digest(path: &Path) -> Result<(Key, u64)> {
    let mut file = at("open", path, File::open(path))?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 18]);
    loop {
        let count = at("read", path, file.read(&mut buffer))?;
        if count == 0 {
            return Ok((Key::from_digest(hash.finalize().into()), size));
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}

/// Names in a directory, sorted; a directory that is not there holds none.
pub fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => at("list", dir, entries)?,
    };
    let mut names = vec![];
    for entry in entries {
        names.push(at("list", dir, entry)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Every file under `dir`, as relative paths with `/`, sorted. Anything that is neither file nor folder is refused.
pub fn files(dir: &Path) -> Result<Vec<String>> {
    let mut files = vec![];
    for entry in walkdir::WalkDir::new(dir) {
        let entry = walked(dir, entry)?;
        if entry.file_type().is_dir() {
            continue;
        }
        let relative = entry.path().strip_prefix(dir).expect("a walk stays inside its root");
        let odd = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_string());
        if !entry.file_type().is_file() {
            return at("list", entry.path(), Err(odd("neither a file nor a folder")));
        }
        let parts: Option<Vec<&str>> = relative.components().map(|part| part.as_os_str().to_str()).collect();
        files.push(at("list", entry.path(), parts.ok_or_else(|| odd("the name is not UTF-8")))?.join("/"));
    }
    files.sort();
    Ok(files)
}

/// Bytes of all files under `dir`; 0 if it is not there.
pub fn size(dir: &Path) -> Result<u64> {
    if !dir.exists() {
        return Ok(0);
    }
    let mut total = 0;
    for entry in walkdir::WalkDir::new(dir) {
        let entry = walked(dir, entry)?;
        if entry.file_type().is_file() {
            total += at("read", entry.path(), entry.metadata().map_err(io::Error::from))?.len();
        }
    }
    Ok(total)
}

fn walked(dir: &Path, entry: walkdir::Result<walkdir::DirEntry>) -> Result<walkdir::DirEntry> {
    at("list", dir, entry.map_err(io::Error::from))
}

/// Bytes that may still be written where `path` lies; `None` where the system does not say.
pub fn free(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(path).ok().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    #[cfg(not(unix))]
    return None;
}

/// Seconds since 1970, for records and leases. Never part of a key, never compared for order.
#[cfg(not(test))]
pub fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_secs())
}

/// In this crate's own tests the clock jumps back and forth with every look at it: all of them pass regardless.
#[cfg(test)]
pub fn now() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LOOKS: AtomicU64 = AtomicU64::new(1);
    LOOKS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// This machine's name, for records and leases.
pub fn host() -> String {
    let named = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    let named = named.ok().map(|name| name.trim().to_string()).filter(|name| !name.is_empty());
    named
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .unwrap_or_else(|| "unknown".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_where_and_how_to_mend() {
        let error = |kind: ErrorKind| DiskError { action: "write", path: "/x/y".into(), source: kind.into() };
        for (kind, trouble, word) in [
            (ErrorKind::StorageFull, Trouble::Full, "ablate gc"),
            (ErrorKind::PermissionDenied, Trouble::Denied, "permissions"),
            (ErrorKind::ReadOnlyFilesystem, Trouble::ReadOnly, "--results"),
        ] {
            let error = error(kind);
            assert_eq!(error.trouble(), trouble);
            let text = error.to_string();
            assert!(text.starts_with("failed to write /x/y: ") && text.contains(word), "{text}");
        }
    }

    #[test]
    fn the_clock_of_these_tests_jumps() {
        let looks: Vec<u64> = (0..10).map(|_| now()).collect();
        assert!(
            looks.windows(2).any(|pair| pair[1] < pair[0]) && looks.windows(2).any(|pair| pair[1] > pair[0] + 86_400)
        );
    }

    #[test]
    fn an_atomic_write_syncs_bytes_before_the_name_and_the_name_after() {
        let dir = tempfile::tempdir().unwrap();
        let recording = journal::Recording::of(dir.path());
        write_atomic(&dir.path().join("a"), b"x").unwrap();
        let operations = recording.take();
        assert!(
            matches!(
                &operations[..],
                [Operation::Write(..), Operation::Sync(..), Operation::Rename(..), Operation::SyncDir(_)]
            ),
            "{operations:?}"
        );
        assert_eq!(names(dir.path()).unwrap(), ["a"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("taken");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("inside"), "x").unwrap();
        assert!(write_atomic(&target, b"new").is_err());
        assert_eq!(fs::read(target.join("inside")).unwrap(), b"x");
    }

    #[test]
    fn a_digest_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = vec![7u8; 600_000];
        fs::write(dir.path().join("a"), &bytes).unwrap();
        assert_eq!(digest(&dir.path().join("a")).unwrap(), (Key::of(&bytes), 600_000));
    }
}
