//! The power goes after any operation, and the disk forgets whatever it was not told to keep.
//!
//! A run is recorded operation by operation. For every prefix a disk is built that holds what a sync has made durable, and
//! of everything else an arbitrary part: names old or new, files empty, half, old or new. On that disk the store must open,
//! hold every artifact that was finished, serve nothing half-written, and run on to the same bytes.

use super::*;
use crate::cache::journal::{Operation, Recording};
use crate::cache::{self, Presence};
use crate::exec::results;
use crate::recipe::{Key, Rng, Seed};
use std::collections::BTreeSet;
use std::fs;

/// A file or folder: what the system shows, and what is on the platter.
#[derive(Clone)]
enum Inode {
    File { now: Vec<u8>, durable: Option<Vec<u8>> },
    Folder { now: BTreeMap<String, usize>, durable: BTreeMap<String, usize> },
}

fn folder() -> Inode {
    Inode::Folder { now: BTreeMap::new(), durable: BTreeMap::new() }
}

/// A disk with volatile and durable state. Inode 0 is the folder of the test, which was there before.
struct Disk {
    root: PathBuf,
    inodes: Vec<Inode>,
}

impl Disk {
    fn new(root: &Path) -> Disk {
        Disk { root: root.to_path_buf(), inodes: vec![folder()] }
    }

    fn parts(&self, path: &Path) -> Vec<String> {
        let relative = path.strip_prefix(&self.root).unwrap();
        relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    }

    fn entries(&mut self, index: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.inodes[index] {
            Inode::Folder { now, .. } => now,
            Inode::File { .. } => panic!("a file has no entries"),
        }
    }

    /// The folder at a path, made with those above it where it is missing.
    fn folder_at(&mut self, parts: &[String]) -> usize {
        let mut at = 0;
        for part in parts {
            at = match self.entries(at).get(part) {
                Some(next) => *next,
                None => {
                    self.inodes.push(folder());
                    let new = self.inodes.len() - 1;
                    self.entries(at).insert(part.clone(), new);
                    new
                }
            };
        }
        at
    }

    fn split(&mut self, path: &Path) -> (usize, String) {
        let mut parts = self.parts(path);
        let name = parts.pop().expect("something below the root");
        (self.folder_at(&parts), name)
    }

    fn write(&mut self, path: &Path, bytes: &[u8], sync: bool) {
        let (parent, name) = self.split(path);
        let index = match self.entries(parent).get(&name) {
            Some(index) => *index,
            None => {
                self.inodes.push(Inode::File { now: vec![], durable: None });
                let new = self.inodes.len() - 1;
                self.entries(parent).insert(name, new);
                new
            }
        };
        if let Inode::File { now, durable } = &mut self.inodes[index] {
            *now = bytes.to_vec();
            if sync {
                *durable = Some(bytes.to_vec());
            }
        }
    }

    /// Everything inside goes, in no particular order.
    fn empty(&mut self, index: usize) {
        if let Inode::Folder { now, .. } = &mut self.inodes[index] {
            std::mem::take(now).into_values().for_each(|inner| self.empty(inner));
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::CreateDir(path) => {
                let parts = self.parts(path);
                self.folder_at(&parts);
            }
            Operation::Write(path, bytes) => self.write(path, bytes, false),
            Operation::Sync(path, bytes) => self.write(path, bytes, true),
            Operation::SyncDir(path) => {
                let parts = self.parts(path);
                let index = self.folder_at(&parts);
                if let Inode::Folder { now, durable } = &mut self.inodes[index] {
                    *durable = now.clone();
                }
            }
            Operation::Rename(from, to) => {
                let (parent, name) = self.split(from);
                let index = self.entries(parent).remove(&name).expect("what is renamed is there");
                let (parent, name) = self.split(to);
                self.entries(parent).insert(name, index);
            }
            Operation::Remove(path) | Operation::RemoveDir(path) => {
                let (parent, name) = self.split(path);
                if let Some(index) = self.entries(parent).remove(&name) {
                    self.empty(index);
                }
            }
        }
    }

    /// Writes what is left after a cut. Without `luck` nothing that was not synced is left; with it, any part of it may be.
    fn materialise(&self, index: usize, to: &Path, luck: &mut Option<Rng>) {
        let heads = |luck: &mut Option<Rng>| luck.as_mut().is_some_and(|rng| rng.f64() < 0.5);
        match &self.inodes[index] {
            Inode::File { now, durable } => {
                let bytes = match durable {
                    Some(durable) if durable == now || !heads(luck) => durable.clone(),
                    _ if heads(luck) => now.clone(),
                    _ if heads(luck) => now[..now.len() / 2].to_vec(),
                    _ => vec![],
                };
                fs::write(to, bytes).unwrap();
            }
            Inode::Folder { now, durable } => {
                fs::create_dir_all(to).unwrap();
                let names: BTreeSet<&String> = now.keys().chain(durable.keys()).collect();
                for name in names {
                    let (new, old) = (now.get(name), durable.get(name));
                    let kept = if new == old || !heads(luck) { old } else { new };
                    if let Some(inner) = kept {
                        self.materialise(*inner, &to.join(name), luck);
                    }
                }
            }
        }
    }
}

/// Keys of the artifacts whose publication had returned after these operations, less those dropped since.
fn finished(operations: &[Operation]) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    let key_of = |dir: &Path| dir.file_name()?.to_str()?.rsplit_once('-')?.1.parse::<Key>().ok();
    for pair in operations.windows(2) {
        match pair {
            [Operation::Rename(_, record), Operation::SyncDir(dir)] if *record == dir.join("record.json") => {
                keys.extend(key_of(dir));
            }
            [Operation::Rename(from, _), _] => {
                key_of(from).map(|key| keys.remove(&key));
            }
            _ => {}
        }
    }
    keys
}

/// Cuts the power after every operation of `work`, and looks at what is left with `check(disk, keys finished by then)`.
fn cut_everywhere(place: &Place, work: impl FnOnce(), check: impl Fn(&Place, &BTreeSet<Key>, &str)) {
    let mut before = Disk::new(place.path());
    for entry in walkdir::WalkDir::new(place.path()).min_depth(1) {
        let path = entry.unwrap().into_path();
        match path.is_dir() {
            true => before.apply(&Operation::CreateDir(path)),
            false => before.apply(&Operation::Sync(path.clone(), fs::read(&path).unwrap())),
        }
    }
    for inode in &mut before.inodes {
        if let Inode::Folder { now, durable } = inode {
            *durable = now.clone();
        }
    }
    let recording = Recording::of(place.path());
    work();
    let operations = recording.take();
    assert!(operations.len() > 20, "{operations:?}");
    let mut disk = before;
    for cut in 0..=operations.len() {
        if cut > 0 {
            disk.apply(&operations[cut - 1]);
        }
        let keys = finished(&operations[..cut]);
        // The worst case after every operation, an arbitrary one after every other.
        for luck in [0, 1 + cut as u64 % 7] {
            if luck > 0 && cut % 2 == 1 {
                continue;
            }
            let left = Place::new();
            let mut rng = (luck > 0).then(|| Seed(luck).stream("power cut").at(&[cut as u64]));
            disk.materialise(0, left.path(), &mut rng);
            let last = cut.checked_sub(1).map(|last| &operations[last]);
            check(&left, &keys, &format!("luck {luck}, cut {cut}/{} after {last:?}", operations.len()));
        }
    }
}

#[test]
fn a_power_cut_at_any_moment_of_a_run_loses_the_stage_in_flight_and_nothing_else() {
    let trials = experiment()[..1].to_vec();
    let whole = Place::new();
    whole.run(&trials, &StubBench::default());
    let (results, artifacts) = (whole.result_bytes(), whole.artifact_bytes());
    let cuts = std::sync::atomic::AtomicUsize::new(0);
    let place = Place::new();
    let work = || assert_eq!(place.run(&trials, &StubBench::default()).trials_finished, 1);
    cut_everywhere(&place, work, |left, finished, case| {
        let store = left.store();
        let verified = cache::verify(&store).unwrap();
        assert!(verified.findings.is_empty(), "{case}: {:?}", verified.findings);
        for key in finished {
            assert!(matches!(store.look(key, Check::Bytes).unwrap(), Presence::Present(_)), "lost {key:?}: {case}");
        }
        results::read(&left.results()).unwrap_or_else(|error| panic!("{case}: {error}"));
        let summary = left.run(&trials, &StubBench::default());
        assert_eq!((summary.trials_finished, summary.failed.len()), (1, 0), "{case}");
        assert!(summary.notes.is_empty(), "{case}: {:?}", summary.notes);
        assert!(left.result_bytes() == results && left.artifact_bytes() == artifacts, "{case}");
        cuts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(cuts.into_inner() > 200);
}

#[test]
fn a_power_cut_while_cleaning_or_mending_leaves_every_needed_artifact_whole() {
    let trials = experiment();
    let needed: BTreeSet<Key> = trials[..2].iter().flat_map(|t| t.stages.iter().map(|stage| stage.key)).collect();
    let place = Place::new();
    place.run(&trials, &StubBench::default());
    let damaged = place.store().open(&trials[0].stages[4].key).unwrap().dir;
    let work = || {
        cache::collect(&place.store(), &needed).unwrap();
        fs::write(damaged.join("metrics.json"), "{").unwrap();
        place.run(&trials[..2], &StubBench::default());
    };
    cut_everywhere(&place, work, |left, _, case| {
        let store = left.store();
        // Of what is being dropped anything may be left, but a needed entry is whole, gone, or known to be damaged.
        let summary = left.run(&trials[..2], &StubBench::default());
        assert_eq!((summary.trials_finished, summary.failed.len()), (2, 0), "{case}");
        assert!(summary.made <= 1, "{case}: made {} again", summary.made);
        for key in &needed {
            assert!(store.open(key).is_ok(), "{case}: {key:?}");
        }
    });
}

#[test]
fn a_disk_that_forgets_shows_what_was_not_synced_as_lost() {
    // The model itself must bite: without syncs nothing may be left, or the tests above prove nothing.
    let (place, left) = (Place::new(), Place::new());
    let file = place.path().join("a/b");
    let mut disk = Disk::new(place.path());
    disk.apply(&Operation::Write(file.clone(), b"x".to_vec()));
    disk.materialise(0, &left.path().join("none"), &mut None);
    assert!(!left.path().join("none/a").exists());
    disk.apply(&Operation::SyncDir(place.path().into()));
    disk.apply(&Operation::SyncDir(place.path().join("a")));
    disk.materialise(0, &left.path().join("name"), &mut None);
    assert_eq!(fs::read(left.path().join("name/a/b")).unwrap(), b"", "the name is there, the bytes are not");
    disk.apply(&Operation::Sync(file, b"x".to_vec()));
    disk.materialise(0, &left.path().join("all"), &mut None);
    assert_eq!(fs::read(left.path().join("all/a/b")).unwrap(), b"x");
}
