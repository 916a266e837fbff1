//! The runner: missing stages, in plan order, each made once.
//!
//! `jobs` workers take the first stage whose inputs are there. A stage that fails takes only its dependents with it; a
//! stage that diverges is published as it is and its dependents are not run; a stage that another process is making is
//! waited for and then simply found. All decisions are made under one lock over plain data; benches run outside it.

use super::bench::{Bench, Stop};
use super::collect::{Fate, collect};
use super::event::{Event, Summary, Work};
use super::prepare::{PrepareError, Prepared, Setup, prepare};
use super::results;
use super::stage::{Made, News, make};
use super::writer::Writer;
use crate::cache::{Check, Ending, Holder, disk};
use crate::plan::cost;
use crate::plan::{Calibration, Caps, Freshness, Machine};
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long to wait before asking again for a stage that another runner is making.
const PATIENCE: Duration = Duration::from_millis(100);

/// What became of a stage so far.
#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Must be made; waits for its inputs or for a worker.
    Pending,
    Running,
    /// The artifact is there, or is not needed.
    Settled,
    Diverged,
    Failed(String),
    NotRun(String),
    Interrupted,
}

/// All that workers share.
struct Board {
    states: Vec<State>,
    /// Inputs that are still to be made, for each stage.
    open_inputs: Vec<usize>,
    ready: BTreeSet<usize>,
    /// Stages that another runner is making, and when to ask again.
    elsewhere: Vec<(Instant, usize)>,
    told_waiting: BTreeSet<usize>,
    running: usize,
    /// For each trial, its stages that are not settled yet.
    open_stages: Vec<usize>,
    /// Expected seconds of the missing stages, and the part of each that is done.
    share: Vec<f64>,
    /// The part that an earlier run had done, as far as a stage taken up again has told: it took none of this run's time.
    inherited: Vec<Option<f64>>,
    counted: Vec<bool>,
    summary: Summary,
    trials_done: usize,
}

/// A run in progress.
struct Run<'a> {
    setup: &'a Setup<'a>,
    prepared: &'a Prepared,
    bench: &'a dyn Bench,
    stop: &'a Stop,
    listen: &'a (dyn Fn(&Event) + Sync),
    begun: Instant,
    board: Mutex<Board>,
    changed: Condvar,
    writer: Mutex<Writer>,
}

/// Runs what is missing and writes the results. Stages that fail are in the summary; an error means that nothing was started.
pub fn run(
    setup: &Setup,
    caps: Caps,
    bench: &dyn Bench,
    stop: &Stop,
    listen: &(dyn Fn(&Event) + Sync),
) -> Result<Summary, PrepareError> {
    let _in_use = setup.store.in_use()?;
    let damaged = results::set_aside_damaged(setup.results)?;
    let prepared = prepare(setup, Check::Bytes)?;
    let price = prepared.price(setup);
    caps.check(&price, setup.jobs)?;
    if let Some(free) = disk::free(setup.store.root()) {
        cost::fits(&price, setup.jobs, free)?;
    }
    let writer = Writer::new(setup.results, setup.trials, &setup.selected)?;
    let nodes = prepared.graph.nodes.len();
    let run = Run {
        setup,
        bench,
        stop,
        listen,
        begun: Instant::now(),
        board: Mutex::new(Board {
            states: vec![State::Pending; nodes],
            open_inputs: prepared.graph.nodes.iter().map(|node| node.inputs.len()).collect(),
            ready: BTreeSet::new(),
            elsewhere: vec![],
            told_waiting: BTreeSet::new(),
            running: 0,
            open_stages: prepared.graph.stages.iter().map(Vec::len).collect(),
            share: vec![0.0; nodes],
            inherited: vec![Some(0.0); nodes],
            counted: prepared.states.iter().map(|state| state.missing()).collect(),
            summary: Summary::default(),
            trials_done: 0,
        }),
        changed: Condvar::new(),
        writer: Mutex::new(writer),
        prepared: &prepared,
    };
    damaged.into_iter().for_each(|text| run.note(text));
    if prepared.missing().next().is_some() {
        run.writer.lock().expect("writing does not panic").announce();
    }
    run.start();
    std::thread::scope(|scope| {
        for _ in 0..setup.jobs.max(1) {
            scope.spawn(|| run.work());
        }
    });
    Ok(run.finish())
}

impl Run<'_> {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("workers do not panic under this lock")
    }

    fn tell(&self, events: Vec<Event>) {
        events.iter().for_each(self.listen);
    }

    fn note(&self, text: String) {
        self.board().summary.notes.push(text.clone());
        self.tell(vec![Event::Note { text }]);
    }

    /// Settles what is there already.
    fn start(&self) {
        let (hits, resumed, to_run) = self.prepared.counts();
        let expected = self.progress(&self.board());
        self.tell(vec![Event::Planned { hits, resumed, to_run, trials: self.prepared.trials.len(), expected }]);
        let mut board = self.board();
        board.summary.hits = hits;
        let mut events = vec![];
        let mut trials = vec![];
        for (index, state) in self.prepared.states.iter().enumerate() {
            if board.open_inputs[index] == 0 && state.missing() && board.states[index] == State::Pending {
                board.ready.insert(index);
            }
            if !state.missing() {
                let ending = match state.ending {
                    Some(Ending::Diverged { .. }) => State::Diverged,
                    _ => State::Settled,
                };
                self.settle(&mut board, index, ending, &mut events, &mut trials);
            }
        }
        drop(board);
        self.tell(events);
        self.conclude(trials);
    }

    /// One worker: takes stages until there are none.
    fn work(&self) {
        while let Some(node) = self.take() {
            let name = self.prepared.name(node);
            let made = make(self.setup, self.prepared, node, self.bench, self.stop, &|news| {
                let stage = name.clone();
                self.tell(vec![match news {
                    News::Warning { text } => {
                        let note = format!("{} of {} seed {}: {text}", stage.name, stage.arm, stage.seed);
                        self.board().summary.notes.push(note);
                        Event::StageWarning { stage, text }
                    }
                    News::Started { why, resumes_at } => {
                        self.board().inherited[node] = resumes_at.is_none().then_some(0.0);
                        Event::StageStarted { stage, why, resumes_at }
                    }
                    News::Phases { step, seconds } => {
                        return self.writer.lock().expect("writing does not panic").phases(&stage, step, &seconds);
                    }
                    News::Progress { done, total, note } => {
                        let mut board = self.board();
                        let share = (done as f64 / total.max(1) as f64).min(1.0);
                        board.share[node] = share;
                        board.inherited[node].get_or_insert(share);
                        Event::StageProgress { stage, done, total, note, work: self.progress(&board) }
                    }
                }]);
            });
            self.put(node, made);
        }
        self.changed.notify_all();
    }

    /// The first stage that can be made now; waits while other workers may still make one ready.
    fn take(&self) -> Option<usize> {
        let mut board = self.board();
        loop {
            if self.stop.requested() {
                return None;
            }
            let now = Instant::now();
            let mut waiting = std::mem::take(&mut board.elsewhere);
            waiting.retain(|(again, node)| *again > now || !board.ready.insert(*node));
            board.elsewhere = waiting;
            if let Some(node) = board.ready.pop_first() {
                board.states[node] = State::Running;
                board.running += 1;
                return Some(node);
            }
            if board.running == 0 && board.elsewhere.is_empty() {
                return None;
            }
            board = self.changed.wait_timeout(board, PATIENCE).expect("workers do not panic under this lock").0;
        }
    }

    /// Notes what came of a stage.
    fn put(&self, node: usize, made: Made) {
        let stage = self.prepared.name(node);
        let mut board = self.board();
        board.running -= 1;
        let (mut events, mut trials) = (vec![], vec![]);
        match made {
            Made::Elsewhere(holder) => self.wait_for(&mut board, node, holder, &mut events),
            Made::Interrupted { step } => {
                board.states[node] = State::Interrupted;
                events.push(Event::StageInterrupted { stage, step });
            }
            Made::Found(ending) => {
                board.summary.hits += 1;
                let state = if ending == Ending::Finished { State::Settled } else { State::Diverged };
                self.settle(&mut board, node, state, &mut events, &mut trials);
                events.insert(0, Event::StageHit { stage, work: self.progress(&board) });
            }
            Made::Finished { seconds, fresh_seconds } => {
                board.summary.made += 1;
                self.settle(&mut board, node, State::Settled, &mut events, &mut trials);
                events.insert(0, Event::StageFinished { stage: stage.clone(), seconds, work: self.progress(&board) });
                if let Some(seconds) = fresh_seconds {
                    let machine = Machine::here(self.setup.backend, self.setup.threads);
                    let made = [(stage.kind, self.prepared.costs[node], seconds)];
                    // Speeds only serve estimates; not being able to keep them is no reason to stop.
                    let _ = Calibration::add(self.setup.store, &machine, &made);
                }
            }
            Made::Diverged { step, loss } => {
                board.summary.made += 1;
                board.summary.diverged.push(stage.clone());
                self.settle(&mut board, node, State::Diverged, &mut events, &mut trials);
                events.insert(0, Event::StageDiverged { stage, step, loss, work: self.progress(&board) });
            }
            Made::Failed(message) => {
                board.summary.failed.push((stage.clone(), message.clone()));
                self.settle(&mut board, node, State::Failed(message.clone()), &mut events, &mut trials);
                events.insert(0, Event::StageFailed { stage, message, work: self.progress(&board) });
            }
        }
        drop(board);
        self.changed.notify_all();
        self.tell(events);
        self.conclude(trials);
    }

    fn wait_for(&self, board: &mut Board, node: usize, holder: Option<Holder>, events: &mut Vec<Event>) {
        board.states[node] = State::Pending;
        board.elsewhere.push((Instant::now() + PATIENCE, node));
        if board.told_waiting.insert(node) {
            events.push(Event::StageWaits { stage: self.prepared.name(node), holder });
        }
    }

    /// Gives a stage its final state and passes on what follows from it.
    fn settle(&self, board: &mut Board, node: usize, state: State, events: &mut Vec<Event>, trials: &mut Vec<usize>) {
        let because = match &state {
            State::Settled => None,
            State::Diverged => Some(format!("`{}` diverged", self.prepared.graph.nodes[node].names[0])),
            State::Failed(_) => Some(format!("`{}` failed", self.prepared.graph.nodes[node].names[0])),
            State::NotRun(because) => Some(because.clone()),
            State::Pending | State::Running | State::Interrupted => unreachable!("not a final state"),
        };
        board.states[node] = state;
        board.share[node] = 1.0;
        for trial in &self.prepared.graph.nodes[node].trials {
            board.open_stages[*trial] -= 1;
            if board.open_stages[*trial] == 0 {
                trials.push(*trial);
            }
        }
        for consumer in &self.prepared.graph.nodes[node].consumers {
            board.open_inputs[*consumer] -= 1;
            if board.states[*consumer] != State::Pending || !self.prepared.states[*consumer].missing() {
                continue;
            }
            match &because {
                Some(because) => {
                    board.summary.not_run += 1;
                    board.counted[*consumer] = false;
                    self.settle(board, *consumer, State::NotRun(because.clone()), events, trials);
                    let (stage, work) = (self.prepared.name(*consumer), self.progress(board));
                    events.push(Event::StageNotRun { stage, because: because.clone(), work });
                }
                None if board.open_inputs[*consumer] == 0 => {
                    board.ready.insert(*consumer);
                }
                None => {}
            }
        }
    }

    fn progress(&self, board: &Board) -> Work {
        let (mut done, mut total, mut inherited) = (0.0, 0.0, 0.0);
        for (node, seconds) in self.prepared.seconds.iter().enumerate().filter(|(node, _)| board.counted[*node]) {
            total += seconds;
            done += seconds * board.share[node];
            inherited += seconds * board.inherited[node].unwrap_or(0.0);
        }
        Work::new(done, total, inherited, self.begun.elapsed().as_secs_f64(), self.setup.jobs)
    }

    /// Writes the rows of trials all of whose stages are settled.
    fn conclude(&self, trials: Vec<usize>) {
        for trial in trials {
            let plan = &self.prepared.trials[trial];
            let stages = &self.prepared.graph.stages[trial];
            let states: Vec<State> = {
                let board = self.board();
                stages.iter().map(|node| board.states[*node].clone()).collect()
            };
            let fates: Vec<Fate> = stages.iter().zip(&states).map(|(node, state)| self.fate(*node, state)).collect();
            let costs: Vec<_> = stages.iter().map(|node| self.prepared.costs[*node]).collect();
            let rows = collect(plan, &fates, &costs);
            let mut board = self.board();
            board.trials_done += 1;
            for ((node, state), fate) in stages.iter().zip(&states).zip(&fates) {
                // What failed in the making has been noted. What was there, and can't be opened any more, has not.
                if let (Fate::Failed(message), State::Settled | State::Diverged) = (fate, state) {
                    let failure = (self.prepared.name(*node), message.clone());
                    if !board.summary.failed.contains(&failure) {
                        board.summary.failed.push(failure);
                    }
                }
            }
            let outcome = match &rows {
                Ok(rows) => rows.trial.outcome,
                Err(message) => {
                    let stage = self.prepared.name(*stages.last().expect("a trial has stages"));
                    board.summary.failed.push((stage, message.clone()));
                    results::Outcome::Failed
                }
            };
            let count = match outcome {
                results::Outcome::Finished => &mut board.summary.trials_finished,
                results::Outcome::Diverged => &mut board.summary.trials_diverged,
                results::Outcome::Failed => &mut board.summary.trials_failed,
            };
            *count += 1;
            let (done, total) = (board.trials_done, self.prepared.trials.len());
            drop(board);
            let (arm, seed) = (plan.arm.clone(), plan.seed.0);
            self.tell(vec![Event::TrialFinished { arm, seed, outcome, done, total }]);
            let mut writer = self.writer.lock().expect("writing does not panic");
            if let Ok(rows) = rows
                && let Some(text) = writer.set(self.prepared.indices[trial], &rows)
            {
                self.note(text);
            }
            if writer.due() {
                self.write(&mut writer);
            }
        }
    }

    /// How a settled stage ended.
    fn fate(&self, node: usize, state: &State) -> Fate {
        let absent = self.prepared.states[node].freshness == Freshness::Unneeded;
        match state {
            State::Settled if absent => Fate::Unneeded,
            State::Settled | State::Diverged => match self.setup.store.open(&self.prepared.graph.nodes[node].key) {
                Ok(artifact) => Fate::Made(Box::new(artifact)),
                Err(error) => Fate::Failed(error.to_string()),
            },
            State::Failed(message) => Fate::Failed(message.clone()),
            State::NotRun(because) => Fate::NotRun(because.clone()),
            State::Pending | State::Running | State::Interrupted => unreachable!("the trial is settled"),
        }
    }

    fn write(&self, writer: &mut Writer) {
        let failed = writer.write().err().map(|error| error.to_string());
        self.board().summary.not_written = failed.clone();
        if let Some(message) = failed {
            self.tell(vec![Event::ResultsNotWritten { message }]);
        }
    }

    fn finish(self) -> Summary {
        self.write(&mut self.writer.lock().expect("writing does not panic"));
        let mut board = self.board();
        let unsettled = |state: &State| matches!(state, State::Pending | State::Running | State::Interrupted);
        let left = board.states.iter().filter(|state| unsettled(state)).count();
        let trials_left = board.open_stages.iter().filter(|open| **open > 0).count();
        let summary = &mut board.summary;
        summary.left = left;
        summary.trials_left = trials_left;
        summary.interrupted = left > 0;
        summary.seconds = self.begun.elapsed().as_secs_f64();
        // Workers finish in any order; a summary reads in plan order.
        summary.failed.sort_by_key(|(stage, _)| (stage.arm.clone(), stage.seed, stage.name.clone()));
        summary.diverged.sort_by_key(|stage| (stage.arm.clone(), stage.seed, stage.name.clone()));
        let summary = summary.clone();
        drop(board);
        self.tell(vec![Event::RunFinished { summary: summary.clone() }]);
        summary
    }
}
