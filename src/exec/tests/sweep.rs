//! Whole runs: what is made, what is written, what a failure takes with it.

use super::*;
use crate::exec::results::{self, Outcome};
use crate::exec::stub::Mischief;
use crate::recipe::{Recipe, Seed};
use std::time::Duration;

#[test]
fn a_run_makes_each_stage_once_and_a_second_run_makes_nothing() {
    let (place, bench) = (Place::new(), StubBench::default());
    let first = place.run(&experiment(), &bench);
    assert_eq!((first.made, first.hits, first.trials_finished, first.interrupted), (STAGES, 0, 4, false));
    let before = place.result_bytes();
    let second = place.run(&experiment(), &bench);
    assert_eq!((second.made, second.hits, second.trials_finished), (0, STAGES, 4));
    assert_eq!(bench.runs(), STAGES as u64);
    assert_eq!(before, place.result_bytes());
}

#[test]
fn rows_follow_the_chain_of_a_trial() {
    let place = Place::new();
    place.run(&experiment(), &StubBench::default());
    let results = results::read(&place.results()).unwrap();
    assert_eq!(
        results.trials.iter().map(|t| (t.arm.as_str(), t.seed)).collect::<Vec<_>>(),
        [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    );
    let trial = &results.trials[2];
    assert_eq!(trial.levels.get("level"), Some("2"));
    assert_eq!(
        trial.stages.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["corpus:web", "base", "eval:base", "corpus:math", "mid", "eval:mid", "rl"]
    );
    let metric =
        |name: &str| *trial.metrics.get(name).unwrap_or_else(|| panic!("{name} in {:?}", trial.metrics.keys()));
    assert_eq!(metric("gain.accuracy/all"), metric("rl.accuracy/all") - metric("rl0.accuracy/all"));
    let _ = (metric("base.loss"), metric("base.accuracy/easy"), metric("mid.accuracy/all"));
    assert!(trial.cost.flops > 0.0 && trial.cost.tokens > 0);
    let at = |stage: &str, metric: &str| {
        let rows =
            results.curves.iter().filter(|p| p.arm == "b" && p.seed == 0 && p.stage == stage && p.metric == metric);
        rows.map(|p| p.step).collect::<Vec<_>>()
    };
    assert_eq!(at("base", "loss"), [1, 2, 3]);
    assert_eq!(at("base", "accuracy"), [0, 0], "the base is evaluated where mid-training starts");
    assert_eq!(at("mid", "accuracy"), [7, 7], "500 tokens in steps of 64");
    assert_eq!(at("rl", "accuracy"), [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn results_are_the_same_bytes_for_one_job_and_four() {
    let (one, four) = (Place::new(), Place::new());
    one.run(&experiment(), &StubBench::default());
    let summary = run_in(four.path(), &experiment(), &StubBench::default(), |setup| {
        setup.jobs = 4;
        setup.threads = 3;
    });
    assert_eq!(summary.made, STAGES);
    assert_eq!(one.result_bytes(), four.result_bytes());
    assert_eq!(one.artifact_bytes(), four.artifact_bytes());
}

fn is_rl(recipe: &Recipe, seed: u64) -> bool {
    matches!(recipe, Recipe::Rl(rl) if rl.seed == Seed(seed))
}

#[test]
fn a_failing_stage_takes_only_its_dependents_with_it_and_is_tried_again() {
    let mid = experiment()[0].stages[4].recipe.clone();
    for mischief in [Mischief::Fail, Mischief::Panic, Mischief::Forget] {
        let (place, mid) = (Place::new(), mid.clone());
        let bench = StubBench::with(move |recipe| (*recipe == *mid).then_some(mischief));
        let summary = place.run(&experiment(), &bench);
        assert_eq!((summary.made, summary.not_run, summary.failed.len()), (STAGES - 3, 2, 1), "{mischief:?}");
        assert_eq!((summary.trials_finished, summary.trials_failed), (3, 1));
        let (stage, message) = &summary.failed[0];
        assert_eq!((stage.name.as_str(), stage.arm.as_str(), stage.seed), ("mid", "a", 0));
        let trials = results::read(&place.results()).unwrap().trials;
        assert_eq!(trials[0].outcome, Outcome::Failed);
        assert!(trials[0].note.as_ref().unwrap().contains(message), "{:?}", trials[0].note);
        assert!(trials[0].metrics.contains_key("base.loss") && !trials[0].metrics.contains_key("mid.loss"));

        let again = place.run(&experiment(), &StubBench::default());
        assert_eq!((again.made, again.trials_finished), (3, 4));
        let whole = Place::new();
        whole.run(&experiment(), &StubBench::default());
        assert_eq!(place.result_bytes(), whole.result_bytes());
    }
}

#[test]
fn the_summary_tells_of_each_failure_once_and_not_of_what_had_to_wait_for_it() {
    let place = Place::new();
    let (trial, objects) = (experiment().remove(0), place.path().join(".store/objects"));
    let base = trial.stages.iter().find(|stage| stage.name == "base").unwrap().key.to_string();
    let mid = trial.stages[4].recipe.clone();
    // While one stage fails, the base that both seeds share is lost: nothing can build on it, nor tell its numbers.
    let bench = StubBench::with(move |recipe| {
        let here = *recipe == *mid;
        for name in crate::cache::disk::names(&objects).unwrap().iter().filter(|name| here && name.ends_with(&base)) {
            std::fs::remove_dir_all(objects.join(name)).unwrap();
        }
        here.then_some(Mischief::Fail)
    });
    let trials: Vec<TrialPlan> = experiment().into_iter().filter(|trial| trial.arm == "a").collect();
    let summary = place.run(&trials, &bench);
    let failed: Vec<(&str, u64)> = summary.failed.iter().map(|(stage, _)| (stage.name.as_str(), stage.seed)).collect();
    assert_eq!(failed, [("base", 0), ("mid", 0), ("mid", 1)], "{:?}", summary.failed);
    assert!(summary.failed[0].1.contains("there is no such artifact"), "{}", summary.failed[0].1);
    assert_eq!((summary.not_run, summary.trials_failed, summary.trials_finished), (4, 2, 0));
}

#[test]
fn a_state_that_a_stage_did_not_get_on_from_is_dropped_unless_the_machine_was_to_blame() {
    let mid = experiment()[0].stages[4].recipe.clone();
    for (mischief, left) in [(Mischief::Fail, 3), (Mischief::Starve, 2)] {
        let (place, choice) = (Place::new(), mid.clone());
        let bench = StubBench::with(move |recipe| (*recipe == *choice).then_some(mischief));
        // The first attempt makes a step and saves it; the second goes on from there and makes none.
        let failed = [place.run(&experiment(), &bench), place.run(&experiment(), &bench)];
        assert!(failed.iter().all(|summary| summary.failed.len() == 1), "{mischief:?}");
        let bench = StubBench::default();
        let only: Vec<TrialPlan> = experiment().into_iter().take(1).collect();
        let summary = place.run(&only, &bench);
        assert_eq!(summary.made, 3, "{mischief:?}");
        assert_eq!(bench.steps_done(), left + 6, "{mischief:?}: steps of mid, and of what depends on it");
    }
}

#[test]
fn a_diverged_arm_is_data_and_what_depends_on_it_is_not_run() {
    let place = Place::new();
    let mid = experiment()[0].stages[4].recipe.clone();
    let bench = StubBench::with(move |recipe| (*recipe == *mid).then_some(Mischief::Diverge));
    let summary = place.run(&experiment(), &bench);
    assert_eq!((summary.made, summary.not_run, summary.diverged.len(), summary.failed.len()), (STAGES - 2, 2, 1, 0));
    assert_eq!((summary.trials_finished, summary.trials_diverged), (3, 1));
    let trial = &results::read(&place.results()).unwrap().trials[0];
    assert_eq!((trial.outcome, trial.note.as_deref()), (Outcome::Diverged, Some("mid diverged at step 2")));
    assert!(trial.metrics.contains_key("mid.loss"), "its curve until then is kept");

    let bytes = place.result_bytes();
    let again = place.run(&experiment(), &StubBench::default());
    assert_eq!(
        (again.made, again.trials_diverged, again.not_run),
        (0, 1, 2),
        "divergence is an outcome, not a reason to run again"
    );
    assert_eq!(bytes, place.result_bytes());
}

#[test]
fn diverging_rl_keeps_the_trials_earlier_numbers() {
    let place = Place::new();
    let bench = StubBench::with(|recipe| is_rl(recipe, 1).then_some(Mischief::Diverge));
    let summary = place.run(&experiment(), &bench);
    assert_eq!((summary.trials_finished, summary.trials_diverged), (2, 2));
    let trial = &results::read(&place.results()).unwrap().trials[1];
    assert!(trial.metrics.contains_key("mid.accuracy/all") && trial.metrics.contains_key("rl0.accuracy/all"));
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let (place, stop, heard) = (Place::new(), Stop::default(), Heard::default());
    let bench = StubBench::default();
    let trials = experiment();
    let (store, results) = (place.store(), place.results());
    let summary = run(&Setup::new(&trials, &store, &results), Caps::default(), &bench, &stop, &|event| {
        if matches!(event, Event::StageProgress { stage, done: 2, .. } if stage.name == "mid") {
            stop.request();
        }
        heard.0.lock().unwrap().push(event.clone());
    })
    .unwrap();
    assert!(summary.interrupted && summary.trials_left == 4, "{summary:?}");
    let events = heard.events();
    assert!(events.iter().any(|e| matches!(e, Event::StageInterrupted { stage, step: 2 } if stage.name == "mid")));
    let states = place.states(&trials);
    let mid = states.iter().find(|(name, _)| name == "mid").unwrap();
    assert_eq!(mid.1.freshness, Freshness::Resume { step: 2 });

    let heard = Heard::default();
    let again = run(&Setup::new(&trials, &store, &results), Caps::default(), &bench, &Stop::default(), &|event| {
        heard.0.lock().unwrap().push(event.clone());
    })
    .unwrap();
    assert_eq!((again.trials_finished, again.interrupted), (4, false));
    assert_eq!(bench.steps_done(), 3 * STAGES as u64, "no step was done twice");
    let told = heard.events();
    let first =
        told.iter().find_map(|e| if let Event::StageProgress { work, .. } = e { Some(work) } else { None }).unwrap();
    assert!(
        first.done > 0.0 && first.eta >= first.total - first.done,
        "what an earlier run did is no speed: {first:?}"
    );
    let whole = Place::new();
    whole.run(&trials, &StubBench::default());
    assert_eq!(place.result_bytes(), whole.result_bytes());
    assert_eq!(place.artifact_bytes(), whole.artifact_bytes());
    assert!(crate::cache::disk::names(&place.path().join(".store/scratch")).unwrap().is_empty());
}

#[test]
fn a_deadline_starts_nothing_new() {
    let (place, trials) = (Place::new(), experiment());
    let (store, results) = (place.store(), place.results());
    let stop = Stop::after(Duration::ZERO);
    let summary =
        run(&Setup::new(&trials, &store, &results), Caps::default(), &StubBench::default(), &stop, &|_| {}).unwrap();
    assert_eq!((summary.made, summary.left, summary.trials_left, summary.interrupted), (0, STAGES, 4, true));
}

#[test]
fn a_part_of_the_plan_keeps_the_rows_of_the_rest() {
    let (place, trials) = (Place::new(), experiment());
    let select = |indices: &[usize]| {
        let indices = indices.iter().copied().collect();
        run_in(place.path(), &trials, &StubBench::default(), |setup| setup.selected = indices)
    };
    select(&[2, 3]);
    select(&[0, 1]);
    let whole = Place::new();
    whole.run(&trials, &StubBench::default());
    assert_eq!(place.result_bytes(), whole.result_bytes(), "plan order, whatever was run first");

    // Even without the store: the rows say which keys they were made from.
    std::fs::remove_dir_all(place.path().join(".store")).unwrap();
    select(&[0]);
    assert_eq!(place.result_bytes(), whole.result_bytes());

    // Rows of another recipe do not stay under the arm's name.
    let mut edited = trials.clone();
    edited[3] = sample::trial("b", 3, 1);
    run_in(place.path(), &edited, &StubBench::default(), |setup| setup.selected = [0].into());
    let left = results::read(&place.results()).unwrap();
    assert_eq!(
        left.trials.iter().map(|t| (t.arm.as_str(), t.seed)).collect::<Vec<_>>(),
        [("a", 0), ("a", 1), ("b", 0)]
    );
    assert!(!left.curves.iter().any(|p| p.arm == "b" && p.seed == 1));
}

#[test]
fn renaming_an_arm_keeps_its_keys() {
    let (place, bench) = (Place::new(), StubBench::default());
    place.run(&experiment(), &bench);
    let mut renamed = experiment();
    for trial in renamed.iter_mut().filter(|trial| trial.arm == "a") {
        trial.arm = "aa".into();
    }
    let summary = place.run(&renamed, &bench);
    assert_eq!((summary.made, summary.hits), (0, STAGES));
    let arms: Vec<String> = results::read(&place.results()).unwrap().trials.into_iter().map(|t| t.arm).collect();
    assert_eq!(arms, ["aa", "aa", "b", "b"]);
}

#[test]
fn two_runners_make_each_stage_once() {
    let (place, trials) = (Place::new(), experiment());
    let mut bench = StubBench::default();
    bench.pause = Duration::from_millis(1);
    let bench = bench;
    let summaries: Vec<Summary> = std::thread::scope(|scope| {
        let handles: Vec<_> =
            (0..3).map(|_| scope.spawn(|| run_in(place.path(), &trials, &bench, |setup| setup.jobs = 2))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    assert_eq!(bench.runs(), STAGES as u64);
    assert_eq!(summaries.iter().map(|summary| summary.made).sum::<usize>(), STAGES);
    assert!(summaries.iter().all(|summary| summary.trials_finished == 4 && summary.made + summary.hits == STAGES));
    let whole = Place::new();
    whole.run(&trials, &StubBench::default());
    assert_eq!(place.result_bytes(), whole.result_bytes());
}

#[test]
fn a_run_that_is_too_expensive_is_refused_before_it_starts() {
    let (place, trials, bench) = (Place::new(), experiment(), StubBench::default());
    let (store, results) = (place.store(), place.results());
    for (caps, words) in [
        (Caps { max_hours: Some(1e-9), ..Caps::default() }, ["h, more than the allowed", "rl of "]),
        (Caps { max_disk: Some(10), ..Caps::default() }, ["more than the allowed 10 B", "rl of a"]),
        (
            Caps { max_memory: Some(10), ..Caps::default() },
            ["of memory, more than the 10 B that may be used", "rl of a seed 0"],
        ),
    ] {
        let error = run(&Setup::new(&trials, &store, &results), caps, &bench, &Stop::default(), &|_| {})
            .unwrap_err()
            .to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert_eq!(bench.runs(), 0);
    assert!(!results.exists());
}

#[test]
fn events_tell_the_whole_run() {
    let (place, trials, heard) = (Place::new(), experiment(), Heard::default());
    let (store, results) = (place.store(), place.results());
    let setup = Setup::new(&trials, &store, &results);
    run(&setup, Caps::default(), &StubBench::default(), &Stop::default(), &|event| {
        heard.0.lock().unwrap().push(event.clone())
    })
    .unwrap();
    let events = heard.events();
    assert!(matches!(events.first(), Some(Event::Planned { hits: 0, resumed: 0, to_run: STAGES, trials: 4, .. })));
    assert!(matches!(events.last(), Some(Event::RunFinished { .. })));
    let finished = events.iter().filter(|event| matches!(event, Event::StageFinished { .. })).count();
    assert_eq!(finished, STAGES);
    let done: Vec<f64> = events
        .iter()
        .filter_map(|event| match event {
            Event::StageFinished { work, .. } => Some(work.done / work.total),
            _ => None,
        })
        .collect();
    assert!(done.windows(2).all(|pair| pair[0] <= pair[1]) && (done[STAGES - 1] - 1.0).abs() < 1e-9, "{done:?}");
    let first_trial = events.iter().position(|event| matches!(event, Event::TrialFinished { .. })).unwrap();
    let stages_before =
        events[..first_trial].iter().filter(|event| matches!(event, Event::StageFinished { .. })).count();
    assert_eq!(stages_before, 7, "the first trial is finished before the second is begun");
}
