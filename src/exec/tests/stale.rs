//! Why a stage runs again: one case for each reason.

use super::*;
use crate::cache::{Ending, Finish, Label, Provenance};
use crate::plan::{Change, PlannedStage};
use crate::recipe::{Backend, CorpusRecipe, Fingerprint, MixturePart, Recipe, Tokens};

/// The sample trial with another recipe for one stage, and all that follows from it.
fn with(mut trial: TrialPlan, stage: &str, change: impl Fn(&mut Recipe)) -> TrialPlan {
    let mut moved: Vec<(crate::recipe::Key, crate::recipe::Key)> = vec![];
    for planned in &mut trial.stages {
        let old = planned.key;
        let new = |key: &mut crate::recipe::Key| {
            if let Some((_, to)) = moved.iter().find(|(from, _)| from == key) {
                *key = *to;
            }
        };
        match std::sync::Arc::make_mut(&mut planned.recipe) {
            Recipe::Train(train) => {
                train.mixture.iter_mut().for_each(|part| new(&mut part.corpus));
                if let crate::recipe::Init::From { weights } = &mut train.init {
                    new(weights);
                }
            }
            Recipe::Rl(rl) => new(&mut rl.policy),
            Recipe::Eval(eval) => new(&mut eval.model),
            Recipe::Corpus(_) | Recipe::Checkpoint(_) | Recipe::Contamination(_) => {}
        }
        if planned.name == stage {
            change(std::sync::Arc::make_mut(&mut planned.recipe));
        }
        planned.key = planned.recipe.fingerprint(Backend::Cpu).key();
        moved.push((old, planned.key));
    }
    trial
}

#[test]
fn never_built() {
    let place = Place::new();
    let trials = [sample::trial("a", 1, 0)];
    assert!(place.states(&trials).iter().all(|(_, state)| state.freshness == Freshness::Run(StaleReason::NeverBuilt)));
    place.run(&trials, &StubBench::default());
    // A new arm has no past, however much it resembles another.
    let more = [sample::trial("a", 1, 0), sample::trial("b", 2, 0)];
    let states = place.states(&more);
    let reasons = states.iter().filter(|(_, state)| state.missing()).map(|(_, state)| state.freshness.clone());
    assert_eq!(reasons.collect::<Vec<_>>(), vec![Freshness::Run(StaleReason::NeverBuilt); 4]);
}

#[test]
fn recipe_changed_names_the_field_and_only_dependents_follow() {
    let place = Place::new();
    let trial = sample::trial("a", 1, 0);
    place.run(std::slice::from_ref(&trial), &StubBench::default());
    let edited = [with(trial, "mid", |recipe| {
        if let Recipe::Train(train) = recipe {
            train.tokens = Tokens(640);
        }
    })];
    let reason = place.reason(&edited, "mid");
    assert_eq!(reason, StaleReason::RecipeChanged { field: "tokens".into(), old: "500".into(), new: "640".into() });
    assert_eq!(reason.to_string(), "`tokens` changed: 500 → 640");
    assert_eq!(place.reason(&edited, "rl"), StaleReason::InputStale { input: "mid".into() });
    assert_eq!(place.reason(&edited, "eval:mid").to_string(), "its input `mid` changed");
    let hits = place.states(&edited).iter().filter(|(_, state)| state.freshness == Freshness::Hit).count();
    assert_eq!(hits, 4, "corpora, base and its evaluation");
}

#[test]
fn a_change_of_a_corpus_is_told_by_its_name() {
    let place = Place::new();
    let trial = sample::trial("a", 1, 0);
    place.run(std::slice::from_ref(&trial), &StubBench::default());
    let edited = [with(trial, "corpus:math", |recipe| {
        if let Recipe::Corpus(CorpusRecipe::World(world)) = recipe {
            world.stream = 9;
        }
    })];
    assert_eq!(place.reason(&edited, "corpus:math").to_string(), "`world.stream` changed: 0 → 9");
    assert_eq!(place.reason(&edited, "mid"), StaleReason::InputStale { input: "corpus:math".into() });
}

#[test]
fn one_more_part_of_a_mixture_is_one_change_and_not_a_shift_of_all() {
    let place = Place::new();
    let trial = sample::trial("a", 1, 0);
    place.run(std::slice::from_ref(&trial), &StubBench::default());
    let web = trial.stages[0].key;
    let edited = [with(trial, "mid", |recipe| {
        if let Recipe::Train(train) = recipe {
            train.mixture[0].share = 0.9;
            train.mixture.insert(0, MixturePart { corpus: web, share: 0.1 });
        }
    })];
    let states = place.states(&edited);
    let changes = &states.iter().find(|(name, _)| name == "mid").unwrap().1.changes;
    let text = |value: &str| Some(value.to_string());
    let change = |field: &str, old, new, input| Change { field: field.into(), old, new, input };
    assert_eq!(
        *changes,
        [
            change("mixture.math.share", text("1.0"), text("0.9"), false),
            change("mixture.web.share", None, text("0.1"), false),
            change("mixture.web.corpus", None, text(&web.to_string()), true),
        ]
    );
}

/// Puts an artifact of the stage into the store as another version or backend of this program would have.
fn publish(place: &Place, trial: &TrialPlan, stage: &PlannedStage, fingerprint: Fingerprint) {
    let store = place.store();
    let lease = store.lease(&fingerprint.key(), "test").unwrap().unwrap();
    let draft = store.begin(&lease, fingerprint).unwrap();
    let label = Label { arm: trial.arm.clone(), seed: trial.seed.0, stage: stage.name.clone() };
    let finish = Finish {
        inputs: stage.recipe.inputs(),
        ending: Ending::Finished,
        seconds: 1.0,
        started: 0,
        provenance: Provenance::here(1, None),
        labels: vec![label],
    };
    store.publish(&lease, draft, finish).unwrap();
}

#[test]
fn version_changed_and_backend_changed() {
    let (place, trial) = (Place::new(), sample::trial("a", 1, 0));
    let (base, rl) = (&trial.stages[1], &trial.stages[6]);
    let old = Fingerprint { version: 0, ..base.recipe.fingerprint(Backend::Cpu) };
    publish(&place, &trial, base, old);
    publish(&place, &trial, rl, rl.recipe.fingerprint(Backend::Cuda));
    let trials = [trial.clone()];
    assert_eq!(place.reason(&trials, "base"), StaleReason::VersionChanged { old: 0, new: 1 });
    let reason = place.reason(&trials, "rl");
    assert_eq!(reason, StaleReason::BackendChanged { old: Backend::Cuda, new: Backend::Cpu });
    assert_eq!(reason.to_string(), "the backend changed: cuda → cpu");
}

#[test]
fn corrupt() {
    let (place, trials) = (Place::new(), [sample::trial("a", 1, 0)]);
    place.run(&trials, &StubBench::default());
    let dir = place.store().open(&trials[0].stages[1].key).unwrap().dir;
    std::fs::write(dir.join("record.json"), "{").unwrap();
    assert!(matches!(place.reason(&trials, "base"), StaleReason::Corrupt { reason } if reason.contains("record")));
    let others = place.states(&trials).iter().filter(|(_, state)| state.freshness == Freshness::Hit).count();
    assert_eq!(others, 6, "what was made from the right bytes stays");
}

#[test]
fn forced() {
    let (place, trials, bench) = (Place::new(), experiment(), StubBench::default());
    place.run(&trials, &bench);
    let key = trials[0].stages[4].key;
    let (store, results) = (place.store(), place.results());
    let mut setup = Setup::new(&trials, &store, &results);
    setup.forced.insert(key);
    let prepared = prepare(&setup, Check::Sizes).unwrap();
    let runs: Vec<usize> = prepared.missing().collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(prepared.states[runs[0]].freshness, Freshness::Run(StaleReason::Forced));
    assert_eq!(run(&setup, Caps::default(), &bench, &Stop::default(), &|_| {}).unwrap().made, 1);
}

#[test]
fn a_past_that_is_no_longer_in_the_store_is_still_a_past() {
    let (place, trial) = (Place::new(), sample::trial("a", 1, 0));
    place.run(std::slice::from_ref(&trial), &StubBench::default());
    std::fs::remove_dir_all(place.path().join(".store")).unwrap();
    let edited = [sample::trial("a", 2, 0)];
    assert!(matches!(place.reason(&edited, "mid"), StaleReason::RecipeChanged { field, .. } if field == "recipe"));
    assert_eq!(place.reason(&edited, "base"), StaleReason::NeverBuilt, "the same key as before, only gone");
}

#[test]
fn a_plan_writes_nothing() {
    let place = Place::new();
    let root = place.path().join(".store");
    let (store, results, trials) = (Store::at(&root).unwrap(), place.results(), experiment());
    let prepared = prepare(&Setup::new(&trials, &store, &results), Check::Sizes).unwrap();
    assert_eq!(prepared.counts(), (0, 0, STAGES));
    assert!(!root.exists() && !results.exists());
}
