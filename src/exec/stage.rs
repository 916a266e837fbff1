//! One stage, from lease to record.

use super::bench::{Bench, Outcome, StageContext, Stop, Told};
use super::collect::numbers;
use super::prepare::{Prepared, Setup};
use crate::cache::store::{Finish, Result};
use crate::cache::{CacheError, Check};
use crate::cache::{Ending, Holder, Label, Lease, Noted, Presence, Provenance, disk, record::MAX_LABELS};
use crate::plan::cost::{self, bytes};
use crate::plan::{Assessment, Freshness, StaleReason};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

/// What came of an attempt to make a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    Finished {
        /// Of all attempts.
        seconds: f64,
        /// Of this one, if it did the whole stage: then it is a measurement of speed.
        fresh_seconds: Option<f64>,
    },
    Diverged {
        step: u64,
        loss: f64,
    },
    Interrupted {
        step: u64,
    },
    /// Another runner made it meanwhile.
    Found(Ending),
    /// Another runner is making it.
    Elsewhere(Option<Holder>),
    Failed(String),
}

/// What is told while a stage is made.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Started { why: String, resumes_at: Option<u64> },
    Progress { done: u64, total: u64, note: String },
    Warning { text: String },
    Phases { step: u64, seconds: Vec<(String, f64)> },
}

/// Makes a stage whose inputs are there.
pub fn make(
    setup: &Setup,
    prepared: &Prepared,
    node: usize,
    bench: &dyn Bench,
    stop: &Stop,
    tell: &(dyn Fn(News) + Sync),
) -> Made {
    let attempt = || -> Result<Made> {
        let stage = &prepared.graph.nodes[node];
        let what = format!("{} of {}", stage.names[0], prepared.trials[stage.trials[0]].arm);
        let Some(lease) = setup.store.lease(&stage.key, &what)? else {
            let holder = setup.store.leases()?.into_iter().find(|(key, _)| *key == stage.key);
            return Ok(Made::Elsewhere(holder.and_then(|(_, holder)| holder)));
        };
        let forced = setup.forced.contains(&stage.key);
        match setup.store.look(&stage.key, Check::Bytes)? {
            Presence::Present(record) if !forced => return Ok(Made::Found(record.ending)),
            Presence::Damaged(reason) => {
                let aside = setup.store.quarantine(&lease, &reason)?;
                let text = format!("its artifact is damaged ({reason}); set aside in {}, made anew", aside.display());
                tell(News::Warning { text });
            }
            Presence::Present(_) | Presence::Absent => {}
        }
        if forced {
            setup.store.clear_scratch(&stage.key)?;
        }
        attempt(setup, prepared, node, bench, stop, &lease, tell)
    };
    attempt().unwrap_or_else(|error| Made::Failed(error.to_string()))
}

fn attempt(
    setup: &Setup,
    prepared: &Prepared,
    node: usize,
    bench: &dyn Bench,
    stop: &Stop,
    lease: &Lease,
    tell: &(dyn Fn(News) + Sync),
) -> Result<Made> {
    let (stage, store) = (&prepared.graph.nodes[node], setup.store);
    if let Some(message) = no_room(setup, prepared, node) {
        return Ok(Made::Failed(message));
    }
    let earlier = store.noted(&stage.key);
    let draft = store.begin(lease, stage.recipe.fingerprint(setup.backend))?;
    let scratch = store.scratch(&stage.key);
    disk::create_dir(&scratch)?;
    let (began, begun) = (disk::now(), Instant::now());
    let seconds = || earlier.map_or(0.0, |noted| noted.seconds) + begun.elapsed().as_secs_f64();
    // (last saved step, last step told)
    let steps = Mutex::new((None, earlier.map_or(0, |noted| noted.step)));
    let mut ctx = StageContext::new(draft.dir(), &scratch, setup.threads)
        .with_sources(&setup.sources)
        .with_stop(stop.clone())
        .with_listener(|told| {
            lease.beat();
            match told {
                Told::Progress { done, total, note } => {
                    steps.lock().expect("no panic under this lock").1 = done;
                    tell(News::Progress { done, total, note: note.to_string() });
                }
                Told::Warning { text } => tell(News::Warning { text: text.to_string() }),
                Told::Phases { step, seconds } => {
                    let seconds = seconds.iter().map(|(phase, seconds)| (phase.to_string(), *seconds)).collect();
                    tell(News::Phases { step, seconds });
                }
                Told::Saved { step } => {
                    steps.lock().expect("no panic under this lock").0 = Some(step);
                    let _ = store.note_scratch(&stage.key, Noted { step, seconds: seconds() });
                }
            }
        });
    for input in &stage.inputs {
        let key = prepared.graph.nodes[*input].key;
        ctx = ctx.with_input(key, &store.open(&key)?.dir);
    }
    tell(News::Started { why: why(&prepared.states[node]), resumes_at: earlier.map(|noted| noted.step) });
    let ended = catch_unwind(AssertUnwindSafe(|| bench.run(&stage.recipe, &ctx)));
    drop(ctx);
    let (saved, told) = *steps.lock().expect("no panic under this lock");
    let ending = match ended {
        Ok(Ok(Outcome::Interrupted)) => {
            let step = saved.unwrap_or(told);
            store.note_scratch(&stage.key, Noted { step, seconds: seconds() })?;
            store.abandon(draft)?;
            return Ok(Made::Interrupted { step });
        }
        Ok(Ok(Outcome::Finished)) => Ending::Finished,
        Ok(Ok(Outcome::Diverged { step, loss })) => Ending::Diverged { step, loss: loss.is_finite().then_some(loss) },
        Ok(Err(error)) => {
            let stuck = earlier.is_some() && saved.is_none() && !error.starved;
            return failed(setup, lease, draft, stuck, error.message);
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let message = format!("panicked: {} (this is a mistake in ablate)", text.unwrap_or("no message"));
            return failed(setup, lease, draft, earlier.is_some() && saved.is_none(), message);
        }
    };
    if let Err(message) = numbers(draft.dir()) {
        return failed(setup, lease, draft, true, format!("failed to publish: {message}"));
    }
    let finish = Finish {
        inputs: stage.recipe.inputs(),
        ending,
        seconds: seconds(),
        started: began,
        provenance: Provenance::here(setup.threads, setup.git.clone()),
        labels: labels(prepared, node),
    };
    let artifact = store.publish(lease, draft, finish)?;
    // It is there now; scratch that cannot be removed only takes up space, and gc will find it.
    let _ = store.clear_scratch(&stage.key);
    let fresh_seconds = earlier.is_none().then(|| begun.elapsed().as_secs_f64());
    Ok(match (ending, ended) {
        (Ending::Diverged { step, .. }, Ok(Ok(Outcome::Diverged { loss, .. }))) => Made::Diverged { step, loss },
        _ => Made::Finished { seconds: artifact.record.seconds, fresh_seconds },
    })
}

/// A failed attempt. If it resumed and got nowhere, its scratch may be what made it fail: the next one starts from nothing.
fn failed(setup: &Setup, lease: &Lease, draft: crate::cache::Draft, stuck: bool, message: String) -> Result<Made> {
    let cleaned = setup.store.abandon(draft).and_then(|()| match stuck {
        true => setup.store.clear_scratch(&lease.key()),
        false => Ok(()),
    });
    // The failure itself is the news; leftovers are removed by the next attempt.
    let _: std::result::Result<(), CacheError> = cleaned;
    Ok(Made::Failed(message))
}

fn why(state: &Assessment) -> String {
    match &state.freshness {
        Freshness::Run(reason) => reason.to_string(),
        Freshness::Resume { .. } => "interrupted before".to_string(),
        Freshness::Hit | Freshness::Unneeded => StaleReason::NeverBuilt.to_string(),
    }
}

/// Says so if the stage will not fit on the disk: its artifact, and for training a checkpoint with two moments.
fn no_room(setup: &Setup, prepared: &Prepared, node: usize) -> Option<String> {
    let artifact = prepared.costs[node].disk;
    let scratch = cost::scratch(prepared.graph.nodes[node].recipe.kind(), &prepared.costs[node]);
    let free = disk::free(setup.store.root())?;
    let needed = artifact + scratch;
    (needed > free).then(|| {
        format!(
            "failed to start: it needs about {} in {}, where {} are free (`ablate gc` drops what nothing needs)",
            bytes(needed),
            setup.store.root().display(),
            bytes(free)
        )
    })
}

/// Who asks for it, so that a later plan can say what changed.
fn labels(prepared: &Prepared, node: usize) -> Vec<Label> {
    let stage = &prepared.graph.nodes[node];
    let mut labels = vec![];
    for trial in &stage.trials {
        let trial = &prepared.trials[*trial];
        for own in trial.stages.iter().filter(|own| own.key == stage.key) {
            if labels.len() == MAX_LABELS {
                return labels;
            }
            labels.push(Label { arm: trial.arm.clone(), seed: trial.seed.0, stage: own.name.clone() });
        }
    }
    labels
}
