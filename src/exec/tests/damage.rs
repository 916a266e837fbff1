//! Damaged bytes are found, set aside and made anew; cleaning never drops what is needed.

use super::*;
use crate::cache::journal::{Operation, Recording};
use crate::cache::{self, CacheError};
use crate::recipe::Key;
use std::collections::BTreeSet;
use std::fs;

fn entries(place: &Place) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(place.path().join(".store/objects")).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[test]
fn any_damage_to_any_file_of_an_artifact_is_found_and_the_artifact_is_made_anew() {
    let trials = experiment()[..1].to_vec();
    let place = Place::new();
    place.run(&trials, &StubBench::default());
    let (results, artifacts) = (place.result_bytes(), place.artifact_bytes());
    let mut cases = 0;
    for entry in entries(&place) {
        let files = cache::disk::files(&entry).unwrap();
        for file in files {
            for damage in ["flip", "cut", "remove"] {
                if damage == "remove" && file == "record.json" {
                    continue; // Then it was never finished, which is the crash tests' business.
                }
                let path = entry.join(&file);
                let mut bytes = fs::read(&path).unwrap();
                match damage {
                    "flip" => {
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 1;
                        fs::write(&path, bytes).unwrap();
                    }
                    "cut" => fs::write(&path, &bytes[..bytes.len() - 1]).unwrap(),
                    _ => fs::remove_file(&path).unwrap(),
                }
                // A record without its last line break is still whole.
                let harmless = damage == "cut" && file == "record.json";
                let found = cache::verify(&place.store()).unwrap().findings;
                let summary = place.run(&trials, &StubBench::default());
                let case = format!("{damage} {file} of {}", entry.display());
                assert_eq!(summary.made, usize::from(!harmless), "{case}");
                assert_eq!(found.len(), usize::from(!harmless), "{case}: {found:?}");
                assert_eq!(results, place.result_bytes(), "{case}");
                cases += usize::from(!harmless);
            }
        }
    }
    assert_eq!(artifacts, place.artifact_bytes());
    let aside = cache::overview(&place.store()).unwrap().quarantined;
    assert_eq!(aside, cases);
    assert!(cache::verify(&place.store()).unwrap().findings.is_empty());
}

#[test]
fn a_damaged_artifact_is_never_opened() {
    let place = Place::new();
    let trials = experiment();
    place.run(&trials, &StubBench::default());
    let key = trials[0].stages[1].key;
    let dir = place.store().open(&key).unwrap().dir;
    fs::write(dir.join("model/weights.bin"), [0; 64]).unwrap();
    assert!(matches!(place.store().open(&key), Err(CacheError::Damaged { .. })));
    assert_eq!(
        place.reason(&trials, "base"),
        StaleReason::Corrupt { reason: "the bytes of its file `model/weights.bin` have changed".into() }
    );
}

#[test]
fn a_file_that_appeared_in_an_artifact_is_told() {
    let place = Place::new();
    place.run(&experiment()[..1], &StubBench::default());
    fs::write(entries(&place)[0].join("extra"), "x").unwrap();
    let seen = cache::verify(&place.store()).unwrap();
    assert_eq!(seen.findings.len(), 1);
    assert!(seen.findings[0].problem.contains("`extra`"));
}

fn keys(trials: &[TrialPlan]) -> BTreeSet<Key> {
    trials.iter().flat_map(|trial| trial.stages.iter().map(|stage| stage.key)).collect()
}

#[test]
fn gc_drops_what_nothing_refers_to_and_keeps_the_rest() {
    let (place, trials) = (Place::new(), experiment());
    place.run(&trials, &StubBench::default());
    let needed = keys(&trials[..2]);
    let would = cache::garbage(&place.store(), &needed).unwrap();
    assert_eq!(entries(&place).len(), STAGES, "a dry run drops nothing");
    let dropped = cache::collect(&place.store(), &needed).unwrap();
    assert_eq!(would, dropped);
    assert_eq!(dropped.len(), 1 + 2 * 3);
    assert_eq!(place.run(&trials[..2], &StubBench::default()).made, 0);
    assert_eq!(place.run(&trials, &StubBench::default()).made, 1 + 2 * 3);
}

#[test]
fn gc_keeps_what_a_kept_artifact_was_made_from() {
    let (place, trials) = (Place::new(), experiment());
    place.run(&trials, &StubBench::default());
    let rl = trials[0].stages.last().unwrap().key;
    cache::collect(&place.store(), &BTreeSet::from([rl])).unwrap();
    let left: Vec<String> =
        entries(&place).iter().map(|e| e.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let mut wanted: Vec<String> = ["corpus", "corpus", "midtrain", "pretrain", "rl"].map(String::from).into();
    wanted.sort();
    assert_eq!(left.iter().map(|name| name.split('-').next().unwrap()).collect::<Vec<_>>(), wanted);
}

#[test]
fn gc_does_not_work_beside_a_run() {
    let place = Place::new();
    place.run(&experiment()[..1], &StubBench::default());
    let store = place.store();
    let in_use = store.in_use().unwrap();
    assert!(matches!(cache::collect(&place.store(), &BTreeSet::new()), Err(CacheError::InUse { .. })));
    drop(in_use);
    cache::collect(&place.store(), &BTreeSet::new()).unwrap();
    assert!(entries(&place).is_empty());
}

#[test]
fn dropped_corpora_are_not_missed_until_a_model_must_be_trained() {
    let (place, trials) = (Place::new(), experiment());
    place.run(&trials, &StubBench::default());
    let bytes = place.result_bytes();
    let corpora = |entry: &&PathBuf| entry.file_name().unwrap().to_string_lossy().starts_with("corpus");
    entries(&place).iter().filter(corpora).for_each(|entry| fs::remove_dir_all(entry).unwrap());
    let states = place.states(&trials);
    assert_eq!(states.iter().filter(|(_, state)| state.freshness == Freshness::Unneeded).count(), 3);
    assert_eq!(place.run(&trials, &StubBench::default()).made, 0);
    assert_eq!(bytes, place.result_bytes());
    // A new seed trains on the old corpora again.
    let more = [trials.clone(), vec![sample::trial("a", 1, 2)]].concat();
    assert_eq!(place.run(&more, &StubBench::default()).made, 1 + 3);
}

#[test]
fn a_store_of_another_format_is_refused_with_a_way_out() {
    let place = Place::new();
    place.store();
    fs::write(place.path().join(".store/store.json"), "{\"format\":99}").unwrap();
    let error = Store::at(&place.path().join(".store")).unwrap_err().to_string();
    assert!(error.contains("format 99") && error.contains("move it away"), "{error}");
}

#[test]
fn a_store_that_cannot_be_written_says_where_and_what_to_do() {
    let place = Place::new();
    fs::write(place.path().join("file"), "").unwrap();
    let error = Store::create(&place.path().join("file/.store")).unwrap_err().to_string();
    assert!(error.starts_with("failed to ") && error.contains("file/.store"), "{error}");
    // A full disk, as Linux offers one.
    if Path::new("/dev/full").exists() {
        let error = cache::disk::write_synced(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(error.trouble(), cache::Trouble::Full);
        assert!(error.to_string().contains("ablate gc"), "{error}");
    }
}

#[test]
fn publishing_syncs_every_byte_before_its_name_and_the_record_last() {
    let (place, trial) = (Place::new(), sample::trial("a", 1, 0));
    let store = place.store();
    let stage = &trial.stages[0];
    let lease = store.lease(&stage.key, "test").unwrap().unwrap();
    let draft = store.begin(&lease, stage.recipe.fingerprint(crate::recipe::Backend::Cpu)).unwrap();
    fs::create_dir(draft.dir().join("model")).unwrap();
    fs::write(draft.dir().join("model/a"), "a").unwrap();
    fs::write(draft.dir().join("b"), "b").unwrap();
    let dir = draft.dir().to_path_buf();
    let recording = Recording::of(place.path());
    let finish = cache::Finish {
        inputs: vec![],
        ending: cache::Ending::Finished,
        seconds: 0.0,
        started: 0,
        provenance: cache::Provenance::here(1, None),
        labels: vec![],
    };
    let artifact = store.publish(&lease, draft, finish).unwrap();
    let journal = recording.take();
    let at =
        |wanted: &dyn Fn(&Operation) -> bool| journal.iter().rposition(wanted).unwrap_or_else(|| panic!("{journal:?}"));
    let synced = |path: PathBuf| at(&|operation| matches!(operation, Operation::Sync(synced, _) if *synced == path));
    let dir_synced = |path: PathBuf| at(&|operation| *operation == Operation::SyncDir(path.clone()));
    let renamed = |path: PathBuf| at(&|operation| matches!(operation, Operation::Rename(_, to) if *to == path));
    let home = renamed(artifact.dir.clone());
    for file in ["model/a", "b", "fingerprint.json"] {
        assert!(synced(dir.join(file)) < home);
    }
    assert!(dir_synced(dir.join("model")) < home && dir_synced(dir) < home);
    let objects = dir_synced(store.root().join("objects"));
    assert!(home < objects && objects < renamed(artifact.dir.join("record.json")));
    assert_eq!(dir_synced(artifact.dir.clone()), journal.len() - 1);
}

#[test]
fn a_lease_is_held_by_one_and_free_when_its_holder_is_gone() {
    let place = Place::new();
    let (one, two) = (place.store(), place.store());
    let key = Key::of(b"x");
    let lease = one.lease(&key, "mid of a").unwrap().unwrap();
    assert!(two.lease(&key, "").unwrap().is_none());
    let held = two.leases().unwrap();
    assert_eq!((held.len(), held[0].0), (1, key));
    let holder = held[0].1.as_ref().unwrap();
    assert_eq!((holder.pid, holder.what.as_str()), (std::process::id(), "mid of a"));
    drop(lease);
    assert!(two.leases().unwrap().is_empty());
    // What a dead process leaves: its words in an unlocked file.
    fs::write(place.path().join(format!(".store/leases/{key}.lock")), "{\"pid\":1").unwrap();
    assert!(two.lease(&key, "").unwrap().is_some());
}

#[test]
fn stages_made_again_have_the_bytes_of_their_records_and_a_difference_is_told() {
    use crate::exec::recompute;
    let (place, trials) = (Place::new(), experiment());
    place.run(&trials, &StubBench::default());
    let store = place.store();
    let same = recompute(&store, &StubBench::default(), STAGES).unwrap();
    assert_eq!(same.len(), STAGES);
    assert!(same.iter().all(|stage| stage.differences.is_empty()), "{same:?}");
    let mut other = StubBench::default();
    other.steps = 4;
    let differs = recompute(&store, &other, 3).unwrap();
    assert_eq!(differs.len(), 3);
    assert!(differs.iter().all(|stage| stage.differences.iter().any(|d| d.contains("`metrics.json` has other bytes"))));
    assert_eq!(entries(&place).len(), STAGES);
}

#[test]
fn any_flipped_byte_of_an_artifact_is_found_or_changes_nothing() {
    let place = Place::new();
    place.run(&experiment()[..1], &StubBench::default());
    let entry = entries(&place).into_iter().find(|entry| entry.to_string_lossy().contains("midtrain-")).unwrap();
    let key: Key = entry.file_name().unwrap().to_str().unwrap().rsplit_once('-').unwrap().1.parse().unwrap();
    let whole = place.store().open(&key).unwrap().record;
    let mut flips = 0;
    for file in cache::disk::files(&entry).unwrap() {
        let bytes = fs::read(entry.join(&file)).unwrap();
        for (at, bit) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0x20), (at, 0x80)]) {
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            fs::write(entry.join(&file), &flipped).unwrap();
            // Only a record that reads the same (other blanks, capital hex digits) may pass.
            match place.store().open(&key) {
                Err(CacheError::Damaged { .. }) => flips += 1,
                Ok(artifact) => assert!(file == "record.json" && artifact.record == whole, "{file} at {at}"),
                Err(other) => panic!("{file} at {at}: {other}"),
            }
        }
        fs::write(entry.join(&file), &bytes).unwrap();
    }
    assert!(flips > 5000, "{flips}");
}

#[test]
fn damaged_artifacts_are_told_with_where_they_are_now() {
    let (place, trials) = (Place::new(), experiment()[..1].to_vec());
    place.run(&trials, &StubBench::default());
    let entry = entries(&place)[0].clone();
    fs::write(entry.join("metrics.json"), "{}").unwrap();
    let summary = place.run(&trials, &StubBench::default());
    assert_eq!(summary.notes.len(), 1);
    let note = &summary.notes[0];
    assert!(note.contains("its artifact is damaged (its file `metrics.json` has 2 bytes instead of"), "{note}");
    let aside = note.split("set aside in ").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(fs::read_to_string(Path::new(aside).join("metrics.json")).unwrap(), "{}");
}

#[test]
fn results_files_that_cannot_be_read_are_set_aside_told_and_written_anew() {
    let (place, trials) = (Place::new(), experiment());
    place.run(&trials, &StubBench::default());
    let before = place.result_bytes();
    for (n, (name, damage)) in
        [("trials.jsonl", "cut"), ("curves.csv", "cut"), ("trials.jsonl", "binary"), ("curves.csv", "binary")]
            .iter()
            .enumerate()
    {
        let path = place.results().join(name);
        let bytes = fs::read(&path).unwrap();
        match *damage {
            "cut" => {
                // After a comma: in the middle of a number a cut row might still be one.
                let comma = bytes[..bytes.len() * 2 / 3].iter().rposition(|byte| *byte == b',').unwrap();
                fs::write(&path, &bytes[..=comma]).unwrap();
            }
            _ => fs::write(&path, [&bytes[..], &[0xff, 0xfe]].concat()).unwrap(),
        }
        let (store, results) = (place.store(), place.results());
        let refused = prepare(&Setup::new(&trials, &store, &results), Check::Sizes).unwrap_err().to_string();
        assert!(
            refused.contains(name) && (refused.contains("`ablate run` sets the file aside") || *damage == "binary"),
            "{refused}"
        );
        let summary = place.run(&trials, &StubBench::default());
        assert_eq!((summary.made, summary.notes.len()), (0, 1), "{name} {damage}: {:?}", summary.notes);
        assert!(summary.notes[0].contains(name) && summary.notes[0].contains(&format!("*.damaged-{n}")));
        assert_eq!(before, place.result_bytes());
        assert!(place.results().join(format!("{name}.damaged-{n}")).exists());
    }
}

#[test]
fn a_changed_number_in_the_results_is_told_and_written_anew_from_the_artifacts() {
    let (place, trials) = (Place::new(), experiment());
    place.run(&trials, &StubBench::default());
    let before = place.result_bytes();
    for (name, from, to) in [("trials.jsonl", "\"tokens\":", "\"tokens\":1"), ("curves.csv", ",loss,1,", ",loss,1,1")] {
        let path = place.results().join(name);
        fs::write(&path, before[name].replacen(from, to, 1)).unwrap();
        let summary = place.run(&trials, &StubBench::default());
        assert_eq!(summary.notes.len(), 1, "{:?}", summary.notes);
        assert!(summary.notes[0].starts_with("the rows of a seed 0 in "), "{:?}", summary.notes);
        assert_eq!(before, place.result_bytes());
    }
    assert!(place.run(&trials, &StubBench::default()).notes.is_empty());
}
