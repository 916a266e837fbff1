//! Writing the results of one experiment in one lab, in plan order.
//!
//! The files are rewritten whole and atomically. A trial outside the current selection (`--only`, `--seeds`) keeps its rows
//! as long as it is in the plan and its stages have the keys that the rows were made from; rows of another recipe are
//! never left standing under the same arm. Imported rows stay.

use super::collect::Rows;
use super::event::StageName;
use super::results::Timing;
use super::results::{self, CurvePoint, Outcome, Results, ResultsError, Trial};
use crate::cache::{DiskError, disk};
use crate::fault;
use crate::plan::{History, TrialPlan};
use crate::recipe::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One trial's part of the three files, ready to be written.
#[derive(Debug, Clone, PartialEq, Default)]
struct Rendered {
    trial: String,
    curves: String,
    timing: String,
}

fn render(trial: &Trial, curves: &[CurvePoint], timing: Option<String>) -> Rendered {
    let text = results::curves_text(curves);
    let rows = text.split_once('\n').map_or("", |(_, rows)| rows);
    Rendered { trial: results::trials_text([trial]), curves: rows.to_string(), timing: timing.unwrap_or_default() }
}

/// The results of a plan while it runs.
pub struct Writer {
    dir: PathBuf,
    /// For each trial of the full plan: what to write.
    rows: Vec<Option<Rendered>>,
    /// For those taken over from the files, whether their stages have been looked at since.
    unseen: Vec<bool>,
    imported: Vec<Rendered>,
    /// Lines of `contamination.jsonl` by the stage they come from, of stages that the plan still has.
    contamination: BTreeMap<Key, String>,
    /// The stages of the plan.
    planned: BTreeSet<Key>,
    written: Option<Instant>,
    /// How long the last writing took.
    took: Duration,
}

impl Writer {
    /// Takes over the rows in `dir` that still hold for `trials`, the full plan. Failed trials in `selected` are about to be tried again.
    pub fn new(dir: &Path, trials: &[TrialPlan], selected: &BTreeSet<usize>) -> Result<Writer, ResultsError> {
        let Results { trials: old, curves } = results::read(dir)?;
        let mut curves_of: BTreeMap<(String, u64), Vec<CurvePoint>> = BTreeMap::new();
        for point in curves {
            curves_of.entry((point.arm.clone(), point.seed)).or_default().push(point);
        }
        let mut timing_of = timings(dir);
        let mut old_of = BTreeMap::new();
        let mut imported = vec![];
        for trial in old {
            let id = (trial.arm.clone(), trial.seed);
            let curves = curves_of.remove(&id).unwrap_or_default();
            let rendered = render(&trial, &curves, timing_of.remove(&id));
            if trial.imported {
                imported.push(rendered);
            } else {
                old_of.insert(id, (trial, rendered));
            }
        }
        let still_holds = |(index, plan): (usize, &TrialPlan)| {
            let (trial, rendered) = old_of.remove(&(plan.arm.clone(), plan.seed.0))?;
            let retried = trial.outcome == Outcome::Failed && selected.contains(&index);
            let levels = trial.levels.0 == plan.levels;
            (trial.is_of(plan) && levels && !retried).then_some(rendered)
        };
        let rows: Vec<Option<Rendered>> = trials.iter().enumerate().map(still_holds).collect();
        let unseen = rows.iter().map(Option::is_some).collect();
        let planned: BTreeSet<Key> =
            trials.iter().flat_map(|trial| trial.stages.iter().map(|stage| stage.key)).collect();
        let mut contamination = contamination(dir);
        contamination.retain(|key, _| planned.contains(key));
        Ok(Writer {
            dir: dir.to_path_buf(),
            rows,
            unseen,
            imported,
            contamination,
            planned,
            written: None,
            took: Duration::ZERO,
        })
    }

    /// Notes what the plan needs, for `ablate gc`: until there are rows, nothing else says that a finished stage is of use.
    /// What earlier runs of other plans did not finish stays noted. A folder that cannot be written is told when there are
    /// results to write.
    pub fn announce(&self) {
        let mut needed = self.unfinished();
        needed.extend(&self.planned);
        let _ = disk::create_lasting_dir(&self.dir).and_then(|()| self.note(&needed));
    }

    /// What is noted; nothing where that cannot be read.
    fn unfinished(&self) -> BTreeSet<Key> {
        results::unfinished(&self.dir).unwrap_or_default().into_iter().collect()
    }

    fn note(&self, needed: &BTreeSet<Key>) -> Result<(), DiskError> {
        let keys: Vec<String> = needed.iter().map(Key::to_string).collect();
        let text = serde_json::to_string(&keys).expect("plain data") + "\n";
        disk::write_atomic(&self.dir.join(results::UNFINISHED), text.as_bytes())
    }

    /// Sets the rows of a trial of the full plan. Says so if the files held other rows for the same artifacts.
    pub fn set(&mut self, trial: usize, rows: &Rows) -> Option<String> {
        let timing = serde_json::to_string(&rows.timing).expect("plain data") + "\n";
        self.contamination.extend(rows.contamination.clone());
        let new = render(&rows.trial, &rows.curves, Some(timing));
        let old = self.rows[trial].replace(new.clone()).filter(|_| std::mem::take(&mut self.unseen[trial]))?;
        let same = old.trial == new.trial && old.curves == new.curves;
        let (arm, seed, dir) = (&rows.trial.arm, rows.trial.seed, self.dir.display());
        (!same).then(|| {
            format!(
                "the rows of {arm} seed {seed} in {dir} were not those of its artifacts \
                 (damaged, edited, or of another version); they are written anew"
            )
        })
    }

    /// Adds a line to `phases.jsonl`: where the seconds of one step of a stage went.
    ///
    /// Like `timing.jsonl` it is for people, nothing compares it, and a line that cannot be written is no reason to stop.
    pub fn phases(&self, stage: &StageName, step: u64, seconds: &[(String, f64)]) {
        let mut line = serde_json::json!({ "arm": stage.arm, "seed": stage.seed, "stage": stage.name, "step": step });
        for (phase, seconds) in seconds {
            line[phase] = (*seconds).into();
        }
        let append = || -> std::io::Result<()> {
            std::fs::create_dir_all(&self.dir)?;
            let path = self.dir.join("phases.jsonl");
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            file.write_all(format!("{line}\n").as_bytes())
        };
        let _ = append();
    }

    /// Whether it is time to write again: always at first, later so seldom that writing takes a twentieth of the time.
    pub fn due(&self) -> bool {
        self.written.is_none_or(|written| written.elapsed() >= 20 * self.took)
    }

    /// Writes what differs from the files.
    pub fn write(&mut self) -> Result<(), DiskError> {
        let begun = Instant::now();
        let all: Vec<&Rendered> = self.rows.iter().flatten().chain(&self.imported).collect();
        let join = |part: fn(&Rendered) -> &str| all.iter().map(|rows| part(rows)).collect::<String>();
        let curves = results::curves_text([]) + &join(|rows| &rows.curves);
        fault::point("before-results");
        disk::create_lasting_dir(&self.dir)?;
        let contamination: String = self.contamination.values().map(String::as_str).collect();
        for (name, text) in [
            ("contamination.jsonl", contamination),
            ("curves.csv", curves),
            ("timing.jsonl", join(|rows| &rows.timing)),
            // Last, so that a trial that is listed has its curves.
            ("trials.jsonl", join(|rows| &rows.trial)),
        ] {
            if name == "trials.jsonl" {
                fault::point("mid-results");
            }
            let path = self.dir.join(name);
            // Only labs with texts and questions from outside have anything to look for.
            if name == "contamination.jsonl" && text.is_empty() && !path.exists() {
                continue;
            }
            if disk::read_if_there(&path)?.as_deref() != Some(text.as_bytes()) {
                disk::write_atomic(&path, text.as_bytes())?;
            }
        }
        // From here on the rows say which of the plan's stages are of use.
        let note = self.dir.join(results::UNFINISHED);
        if self.rows.iter().all(Option::is_some) && note.exists() {
            let others = &self.unfinished() - &self.planned;
            let _ = if others.is_empty() { disk::remove_file(&note) } else { self.note(&others) };
        }
        self.written = Some(Instant::now());
        self.took = begun.elapsed();
        Ok(())
    }
}

/// Lines of `timing.jsonl` by trial; what cannot be read is dropped, for nothing depends on it.
fn timings(dir: &Path) -> BTreeMap<(String, u64), String> {
    let text = disk::read(&dir.join("timing.jsonl")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let lines = text.as_deref().unwrap_or_default().lines();
    lines
        .filter_map(|line| {
            let timing: Timing = serde_json::from_str(line).ok()?;
            Some(((timing.arm, timing.seed), format!("{line}\n")))
        })
        .collect()
}

/// Lines of `contamination.jsonl` by stage.
fn contamination(dir: &Path) -> BTreeMap<Key, String> {
    let text = disk::read(&dir.join("contamination.jsonl")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let mut found: BTreeMap<Key, String> = BTreeMap::new();
    for line in text.as_deref().unwrap_or_default().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        if let Some(key) = value["stage"].as_str().and_then(|key| key.parse().ok()) {
            found.entry(key).or_default().push_str(&format!("{line}\n"));
        }
    }
    found
}

/// What the stages of each trial were when its results were written.
pub fn history(trials: &[Trial]) -> History {
    let stages = |trial: &Trial| {
        trial.stages.iter().filter_map(|(name, key)| Some((name.to_string(), key.parse::<Key>().ok()?))).collect()
    };
    History(trials.iter().map(|trial| ((trial.arm.clone(), trial.seed), stages(trial))).collect())
}
