//! Death of a real run at every fault point of every kind of stage, and life again.
//!
//! One run is killed over and over: each life dies at the next point, and the life after it goes on with what that death
//! left. After each death the store must verify, hold all that was finished before, and not the stage in which it died.
//! Whatever the run has gone through, in the end every artifact, results file and page of the report has the bytes of a
//! run that nobody disturbed.

use super::{Place, said};
use crate::cache::{Check, Presence, Store};
use crate::cli::args::Selection;
use crate::cli::session::Session;
use crate::exec::prepare;
use crate::recipe::corpus::CorpusRecipe;
use crate::recipe::{Key, Kind, Recipe};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const RUN: &str = "run bytes.yaml --lab ./tiny.yaml --progress none --jobs 1 --threads 2";

/// Points that a stage passes before its record is there, in the order in which it passes them, and at which passage to die.
/// Test builds save after every step, so each life goes on where the one before it died.
fn points(recipe: &Recipe) -> Vec<&'static str> {
    let own: &[&str] = match recipe.kind() {
        Kind::Corpus if is_text(recipe) => &["mid-corpus:2", "mid-save:1", "mid-corpus:1"],
        Kind::Corpus => &["mid-corpus:3"],
        Kind::Checkpoint => &["mid-checkpoint:1"],
        Kind::Pretrain | Kind::Midtrain => {
            &["mid-train-step:3", "mid-optimizer-step:2", "mid-save:2", "after-save:2", "mid-train-step:2"]
        }
        Kind::Rl => &[
            "mid-rl-step:1",
            "mid-rollout:20",
            "mid-optimizer-step:3",
            "between-inner-updates:1",
            "mid-save:2",
            "after-save:2",
            "mid-rl-step:2",
        ],
        Kind::Eval => &["mid-eval:1", "mid-rollout:5"],
        Kind::Contamination => &["mid-contamination:4"],
    };
    let store = ["after-temp-write", "before-rename", "after-rename", "before-record"];
    own.iter().copied().chain(store).collect()
}

/// A corpus that is read, not generated: it grows by other code.
fn is_text(recipe: &Recipe) -> bool {
    matches!(recipe, Recipe::Corpus(CorpusRecipe::Text(_)))
}

/// Every stage with its key, in the order in which one job makes them.
fn stages(place: &Place) -> Vec<(Arc<Recipe>, Key)> {
    let selection = Selection {
        experiment: place.path().join("bytes.yaml"),
        lab: place.path().join("tiny.yaml").display().to_string(),
        results: place.path().join("results"),
        seeds: None,
        only: vec![],
        device: "cpu".parse().unwrap(),
    };
    let session = Session::open(&selection).unwrap();
    let prepared = prepare(&session.setup(), Check::Sizes).unwrap();
    prepared.graph.nodes.iter().map(|node| (node.recipe.clone(), node.key)).collect()
}

/// A place whose lab has a third family, bound to a checkpoint, which reads pages and answers questions from files.
fn place(checkpoint: &Path) -> Place {
    let place = Place::new();
    let page = |n: usize| {
        let text = format!("tom has {n} apples and buys 2 more in the shop by the river so now it is answer");
        format!("{}\n", serde_json::json!({ "text": vec![text; 20].join(" . ") }))
    };
    place.write("pages.jsonl", &(0..12).map(page).collect::<String>());
    let question = "tom has 3 apples and buys 2 more in the shop by the river so now how many ?";
    let items = [("a", question, "5"), ("b", "how many books does amy find in the old house by the farm ?", "2")];
    let items = items.map(|(id, question, answer)| {
        format!("{}\n", serde_json::json!({ "id": id, "question": question, "answer": answer }))
    });
    place.write("asked.jsonl", &items.concat());
    let mut lab = include_str!("../selftest/lab.yaml").to_string();
    for (list, entry) in [
        ("families", format!("given: {{ checkpoint: {} }}", checkpoint.display())),
        ("corpora", "pages: { text: { files: pages.jsonl } }".to_string()),
        ("benchmarks", "asked: { dataset: asked.jsonl }".to_string()),
    ] {
        lab = lab.replacen(&format!("\n{list}:\n"), &format!("\n{list}:\n  {entry}\n"), 1);
    }
    place.write("tiny.yaml", &lab);
    let level = "    given:
      family: given
      midtrain: { web: none, own: { mixture: { pages: 100% }, budget: 4B tokens, schedule: cosine } }
      benchmarks: [easy, asked]\n";
    place.write("bytes.yaml", &(include_str!("../selftest/experiment.yaml").to_string() + level));
    place
}

/// A folder of weights, as `export` writes them.
fn checkpoint() -> Place {
    let place = Place::new();
    let run = place.ablate(&format!("{RUN} --only family=llama"), None);
    assert!(run.status.success(), "{}", said(&run));
    let export = "export bytes.yaml --lab ./tiny.yaml --arm family=llama --seed 0 --stage base --to given";
    let exported = place.ablate(export, None);
    assert!(exported.status.success(), "{}", said(&exported));
    place
}

#[test]
fn every_kind_of_stage_survives_death_at_every_point() {
    let given = checkpoint();
    let given = given.path().join("given");
    let (whole, killed) = (place(&given), place(&given));
    let run = whole.ablate(RUN, None);
    assert!(run.status.success(), "{}", said(&run));
    let report = "report bytes.yaml --lab ./tiny.yaml";
    // A report of costs shows what clocks said.
    let forget_times = |place: &Place| std::fs::remove_file(place.path().join("results/bytes/selftest/timing.jsonl"));
    forget_times(&whole).unwrap();
    assert!(whole.ablate(report, None).status.success());

    let order = stages(&killed);
    let kinds: BTreeSet<&str> = order.iter().map(|(recipe, _)| recipe.kind().name()).collect();
    assert!(kinds.len() == Kind::ALL.len() && order.iter().any(|(recipe, _)| is_text(recipe)), "{kinds:?}");
    let store = Store::create(&killed.path().join("results/.store")).unwrap();
    let there = |key: &Key| matches!(store.look(key, Check::Sizes).unwrap(), Presence::Present(_));
    let (mut seen, mut deaths) = (BTreeSet::new(), 0);
    for (index, (recipe, key)) in order.iter().enumerate() {
        let kind = recipe.kind();
        let mut lives = if seen.insert((kind.name(), is_text(recipe))) { points(recipe) } else { vec![] };
        lives.push("after-record");
        for fault in lives {
            let life = killed.ablate(RUN, Some(fault));
            let case = format!("{} {index} at {fault}: {}", kind.name(), said(&life));
            assert!(!life.status.success() && life.status.code().is_none(), "not killed: {case}");
            assert_eq!(there(key), fault == "after-record", "{case}");
            assert!(order[..index].iter().all(|(_, earlier)| there(earlier)), "lost an earlier stage: {case}");
            assert!(order[index + 1..].iter().all(|(_, later)| !there(later)), "{case}");
            let verified = crate::cache::verify(&store).unwrap();
            assert!(verified.findings.is_empty(), "{case}: {:?}", verified.findings);
            deaths += 1;
        }
    }
    // All stages are there; the results are not.
    for fault in ["before-results:1", "mid-results:1"] {
        std::fs::remove_dir_all(killed.path().join("results/bytes")).ok();
        assert!(killed.ablate(RUN, Some(fault)).status.code().is_none(), "{fault}");
        deaths += 1;
    }
    let last = killed.ablate(RUN, None);
    assert!(last.status.success(), "{}", said(&last));
    assert!(said(&last).contains("0 stages made"), "{}", said(&last));
    forget_times(&killed).unwrap();
    for fault in ["during-report:1", "during-report:4", "during-report:9"] {
        assert!(killed.ablate(report, Some(fault)).status.code().is_none(), "{fault}");
        deaths += 1;
    }
    assert!(killed.ablate(report, None).status.success());

    for folder in ["results/.store/objects", "results/bytes", "reports"] {
        let (expected, found) = (whole.bytes(folder), killed.bytes(folder));
        assert!(!expected.is_empty() && expected.keys().eq(found.keys()), "{folder}: {:?}", found.keys());
        for (name, bytes) in &expected {
            assert!(found[name] == *bytes, "{folder}/{name} differs after {deaths} deaths");
        }
    }
    // Cleaning is killed too: an entry is gone, or there and whole.
    let kept = killed.bytes("results/bytes");
    let more = killed.ablate(&format!("{RUN} --seeds 2"), None);
    assert!(more.status.success(), "{}", said(&more));
    for (name, bytes) in kept {
        std::fs::write(killed.path().join("results/bytes").join(name), bytes).unwrap();
    }
    for fault in ["during-gc:1", "mid-discard:1", "during-gc:2", "mid-discard:2"] {
        assert!(killed.ablate("gc", Some(fault)).status.code().is_none(), "{fault}");
        assert!(crate::cache::verify(&store).unwrap().findings.is_empty(), "{fault}");
        deaths += 1;
    }
    assert!(killed.ablate("gc", None).status.success());
    assert!(
        whole.bytes("results/.store/objects") == killed.bytes("results/.store/objects"),
        "gc dropped or left too much"
    );
    // A death between a record and the end of its scratch leaves the scratch to gc.
    assert!(killed.bytes("results/.store/scratch").is_empty() && killed.bytes("results/.store/tmp").is_empty());
    assert!(deaths > 55, "{deaths}");
}

#[test]
fn gc_keeps_what_an_unfinished_run_has_made_and_looks_behind_links() {
    let place = Place::new();
    let more = format!("{RUN} --seeds 2");
    let died = place.ablate(&more, Some("before-results:1"));
    assert!(died.status.code().is_none(), "{}", said(&died));
    let made = place.bytes("results/.store/objects");
    assert!(!made.is_empty());
    assert!(place.ablate("gc", None).status.success());
    assert!(place.bytes("results/.store/objects").keys().eq(made.keys()), "a run that goes on needs them");

    // Another plan of the same experiment that comes between, and is finished, takes nothing away.
    assert!(place.ablate(&format!("{more} --only family=llama"), Some("before-results:2")).status.code().is_none());
    let made = place.bytes("results/.store/objects");
    assert!(place.ablate(&format!("{RUN} --seeds 1"), None).status.success());
    assert!(place.path().join("results/bytes/selftest/unfinished.json").exists());
    assert!(place.ablate("gc", None).status.success());
    assert!(
        made.keys().all(|name| place.bytes("results/.store/objects").contains_key(name)),
        "nor does it take the note"
    );

    assert!(place.ablate(&more, None).status.success());
    let results = place.path().join("results/bytes");
    assert!(!results.join("selftest/unfinished.json").exists());
    let made = place.bytes("results/.store/objects");
    #[cfg(unix)]
    {
        let elsewhere = place.path().join("elsewhere");
        std::fs::rename(&results, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &results).unwrap();
        assert!(place.ablate("gc", None).status.success());
        assert!(place.bytes("results/.store/objects").keys().eq(made.keys()), "results may lie on another disk");
        std::fs::rename(&elsewhere, place.path().join("unplugged")).unwrap();
        let refused = place.ablate("gc", None);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains("failed to look for results"), "{}", said(&refused));
        assert!(place.bytes("results/.store/objects").keys().eq(made.keys()));
    }
}

#[test]
fn a_report_is_never_half_written() {
    let place = Place::new();
    let report = "report bytes.yaml --lab ./tiny.yaml";
    let run = |command: &str| {
        let run = place.ablate(command, None);
        assert!(run.status.success(), "{}", said(&run));
        // Pages about costs show what clocks said.
        std::fs::remove_file(place.path().join("results/bytes/selftest/timing.jsonl")).unwrap();
    };
    run(&format!("{RUN} --only family=llama"));
    assert!(place.ablate(report, None).status.success());
    let old = place.bytes("reports");
    run(RUN);
    let mut deaths = vec![];
    while place.ablate(report, Some(&format!("mid-report:{}", 9 * deaths.len() + 1))).status.code().is_none() {
        deaths.push(place.bytes("reports"));
    }
    let new = place.bytes("reports");
    let half = |name: &&String| name.ends_with(".tmp");
    assert!(deaths.len() > 3 && new.keys().find(half).is_none(), "{} deaths left {:?}", deaths.len(), new.keys());
    let changed = old.iter().filter(|(name, bytes)| new.get(*name).is_some_and(|now| now != *bytes)).count();
    assert!(changed > 3, "only {changed} files tell old and new apart");
    for (death, found) in deaths.iter().enumerate() {
        assert_eq!(found.keys().filter(half).count(), 1 + death, "each death leaves its draft");
        for (name, bytes) in found.iter().filter(|(name, _)| !half(name)) {
            assert!([old.get(name), new.get(name)].contains(&Some(bytes)), "{name} is neither old nor new");
        }
    }
}

#[test]
fn a_fault_point_that_does_not_exist_is_an_error_that_lists_those_that_do() {
    let place = Place::new();
    let refused = place.ablate("status", Some("mid-air:2"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said(&refused).contains("`mid-air`, which is no fault point; there are: mid-corpus, "),
        "{}",
        said(&refused)
    );
    let listed = place.ablate("faults", None);
    assert!(said(&listed).contains("mid-optimizer-step     between two tensors of an update"), "{}", said(&listed));
}
