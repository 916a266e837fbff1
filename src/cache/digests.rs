//! Digests of files outside the store, remembered by what the file system says of them, so that a plan over gigabytes of
//! text does not read them each time.
//!
//! A file that was written a moment ago may be written again within the same tick of its clock; its digest is not kept.

use super::disk;
use super::store::{Result, Store};
use crate::recipe::Key;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Younger files are read each time.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub struct Digests {
    known: BTreeMap<String, Key>,
    changed: bool,
}

impl Digests {
    fn path(store: &Store) -> PathBuf {
        store.root().join("digests.json")
    }

    /// What is remembered; nothing if there is no such file or it is damaged, for it only saves time.
    pub fn read(store: &Store) -> Digests {
        let text = disk::read(&Digests::path(store)).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let sealed = text.as_deref().and_then(|text| text.split_once('\n'));
        // A damaged digest would be taken for other data.
        let whole = sealed.filter(|(seal, rest)| *seal == Key::of(rest.as_bytes()).to_string());
        let known = whole.and_then(|(_, rest)| serde_json::from_str(rest).ok()).unwrap_or_default();
        Digests { known, changed: false }
    }

    /// The digest of some files taken together, remembered or made by `digest`. `what` tells apart ways of taking them.
    pub fn of<E>(
        &mut self,
        what: &str,
        files: &[PathBuf],
        digest: impl FnOnce() -> std::result::Result<Key, E>,
    ) -> std::result::Result<Key, E> {
        let Some(seen) = look(what, files) else { return digest() };
        if let Some(key) = self.known.get(&seen) {
            return Ok(*key);
        }
        let key = digest()?;
        // Unchanged while it was read.
        if look(what, files).as_ref() == Some(&seen) {
            self.known.insert(seen, key);
            self.changed = true;
        }
        Ok(key)
    }

    /// Keeps what was added.
    pub fn write(&self, store: &Store) -> Result<()> {
        if self.changed {
            let rest = serde_json::to_string_pretty(&self.known).expect("plain data");
            disk::write_atomic(&Digests::path(store), format!("{}\n{rest}", Key::of(rest.as_bytes())).as_bytes())?;
        }
        Ok(())
    }
}

/// Paths, sizes and times of some files, as a short name; none if one is too young or can't be looked at.
fn look(what: &str, files: &[PathBuf]) -> Option<String> {
    let mut text = what.to_string();
    for file in files {
        let (path, seen) = (file.canonicalize().ok()?, file.metadata().ok()?);
        let time = seen.modified().ok()?;
        if SystemTime::now().duration_since(time).ok()? < SETTLED {
            return None;
        }
        let nanos = time.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        text.push_str(&format!("\n{}\t{}\t{nanos}", path.display(), seen.len()));
    }
    Some(Key::of(text.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let file = dir.path().join("a");
        let write = |text: &str, age: u64| {
            fs::write(&file, text).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age);
            fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        };
        let files = [file.clone()];
        let read = |digests: &mut Digests| digests.of("bytes", &files, || fs::read(&file).map(|bytes| Key::of(&bytes)));
        let unread = |digests: &mut Digests| digests.of("bytes", &files, || Err(()));
        write("one", 60);
        let mut digests = Digests::read(&store);
        assert_eq!(read(&mut digests).unwrap(), Key::of(b"one"));
        digests.write(&store).unwrap();
        let mut digests = Digests::read(&store);
        assert_eq!(unread(&mut digests), Ok(Key::of(b"one")));
        assert!(digests.of("otherwise", &files, || Err(())).is_err());
        let kept = fs::read(Digests::path(&store)).unwrap();
        for at in 0..kept.len() {
            let mut flipped = kept.clone();
            flipped[at] ^= 1;
            fs::write(Digests::path(&store), flipped).unwrap();
            assert!(unread(&mut Digests::read(&store)).is_err(), "a flipped byte at {at} is not believed");
        }
        write("two", 50);
        assert!(unread(&mut digests).is_err());
        write("new", 0);
        assert_eq!(read(&mut digests).unwrap(), Key::of(b"new"));
        assert!(unread(&mut digests).is_err(), "a file of this very moment is not trusted");
    }
}
