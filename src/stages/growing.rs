//! Progress of files that only grow, sealed: what a text corpus in the making is taken up from.
//!
//! A step checkpoint is written whole each time and sealed whole. Shards of many gigabytes are not: here each stretch between
//! two saves has a digest of its own, so that saving reads what is new and resuming reads everything once.

use crate::cache::disk;
use crate::exec::{StageContext, StageError};
use crate::fault;
use crate::recipe::Key;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// One save: where each file ended, and the digest of what had been added since the save before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    ends: Vec<u64>,
    digest: Key,
}

/// A stage's own progress `P`, with the files that belong to it.
pub struct Growing {
    note: PathBuf,
    files: Vec<PathBuf>,
    stretches: Vec<Stretch>,
}

impl Growing {
    /// What an earlier attempt noted, if every byte is what it was. Otherwise nothing, and the context is told.
    pub fn open<P: DeserializeOwned>(note: &Path, files: Vec<PathBuf>, context: &StageContext) -> (Growing, Option<P>) {
        let fresh = |files| Growing { note: note.to_path_buf(), files, stretches: vec![] };
        let Ok(text) = std::fs::read_to_string(note) else { return (fresh(files), None) };
        let read = text.split_once('\n').filter(|(seal, rest)| *seal == Key::of(rest.as_bytes()).to_string());
        let read = read.and_then(|(_, rest)| serde_json::from_str::<(P, Vec<Stretch>)>(rest).ok());
        match read {
            Some((progress, stretches)) if holds(&files, &stretches) => {
                (Growing { note: note.to_path_buf(), files, stretches }, Some(progress))
            }
            _ => {
                context.warn("what an earlier attempt had saved is damaged; it begins anew");
                (fresh(files), None)
            }
        }
    }

    /// Notes progress, for files that have just been synced.
    pub fn save(&mut self, progress: &impl Serialize) -> Result<(), StageError> {
        let ends = self.files.iter().map(|file| Ok(file.metadata()?.len())).collect::<io::Result<Vec<u64>>>()?;
        let digest = stretch(&self.files, self.stretches.last().map(|last| &last.ends[..]), &ends)?;
        self.stretches.push(Stretch { ends, digest });
        let rest = serde_json::to_string(&(progress, &self.stretches))?;
        fault::point("mid-save");
        Ok(disk::write_atomic(&self.note, format!("{}\n{rest}", Key::of(rest.as_bytes())).as_bytes())?)
    }
}

fn holds(files: &[PathBuf], stretches: &[Stretch]) -> bool {
    let mut from = None;
    stretches.iter().all(|sealed| {
        let same = stretch(files, from, &sealed.ends).is_ok_and(|digest| digest == sealed.digest);
        from = Some(&sealed.ends[..]);
        same
    })
}

/// Digest of the bytes of each file between two ends.
fn stretch(files: &[PathBuf], from: Option<&[u64]>, to: &[u64]) -> io::Result<Key> {
    let mut hash = Sha256::new();
    for (index, (path, to)) in files.iter().zip(to).enumerate() {
        let from = from.map_or(0, |from| from[index]);
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut left = to.checked_sub(from).ok_or(io::ErrorKind::InvalidData)?;
        let mut buffer = vec![0; 1 << 18];
        while left > 0 {
            let part = &mut buffer[..left.min(1 << 18) as usize];
            file.read_exact(part)?;
            hash.update(&part[..]);
            left -= part.len() as u64;
        }
    }
    Ok(Key::from_digest(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::bench::Told;
    use std::fs;
    use std::sync::Mutex;

    #[test]
    fn any_damaged_byte_of_a_growing_file_or_of_its_note_is_found_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let files = vec![dir.path().join("a"), dir.path().join("b")];
        let note = dir.path().join("note.json");
        let told = Mutex::new(0);
        let context = StageContext::new(dir.path(), dir.path(), 1).with_listener(|news| {
            *told.lock().unwrap() += u32::from(matches!(news, Told::Warning { .. }));
        });
        let open = || Growing::open::<u64>(&note, files.clone(), &context);
        let (mut growing, none) = open();
        assert_eq!((none, *told.lock().unwrap()), (None, 0));
        for (progress, text) in [(1u64, "one "), (2, "two "), (3, "three")] {
            for file in &files {
                let before = fs::read(file).unwrap_or_default();
                fs::write(file, [&before[..], text.as_bytes()].concat()).unwrap();
            }
            growing.save(&progress).unwrap();
        }
        // What was written after the last save does not count.
        fs::write(&files[0], "one two threeand more").unwrap();
        assert_eq!(open().1, Some(3));
        let mut cases = 0;
        for path in [&files[0], &files[1], &note] {
            let whole = fs::read(path).unwrap();
            let sealed = if path == &files[0] { 13 } else { whole.len() };
            for at in 0..sealed {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                fs::write(path, flipped).unwrap();
                assert_eq!(open().1, None, "{} at {at}", path.display());
                cases += 1;
            }
            fs::write(path, &whole[..sealed - 1]).unwrap();
            assert_eq!(open().1, None);
            cases += 1;
            fs::write(path, whole).unwrap();
        }
        assert_eq!(*told.lock().unwrap(), cases);
        assert_eq!(open().1, Some(3));
    }
}
