//! Results as users and reports read them: `trials.jsonl` and `curves.csv` of one experiment in one lab.
//!
//! These files are all that `verdict` and `report` ever see: no store, no weights. They are derived from artifacts alone, in
//! plan order, so the same experiment gives the same bytes however often it was interrupted and on however many threads
//! it ran. Wall seconds would break that and live in files that nothing compares: `timing.jsonl`, a line a trial, and
//! `phases.jsonl`, a line for each rollout step of an RL stage (`sample`, `verify`, `update`; log-probabilities have no phase
//! of their own, since the sampler's are the trainer's).

use crate::cache::{DiskError, disk};
use crate::plan::TrialPlan;
use crate::recipe::Key;
use crate::text;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The columns of `curves.csv`.
pub const CURVE_COLUMNS: [&str; 7] = ["arm", "seed", "stage", "benchmark", "metric", "step", "value"];

/// One line of `trials.jsonl`: an arm under a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub arm: String,
    /// Axis to level, in the order in which the experiment file names its axes.
    pub levels: Pairs,
    pub seed: u64,
    pub outcome: Outcome,
    /// What went wrong and where, unless the trial finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Final numbers by name: `<stage>.<metric>/<benchmark>`, where `rl0` is the policy before RL and `gain` is `rl` minus `rl0`.
    #[serde(deserialize_with = "numbers")]
    pub metrics: BTreeMap<String, f64>,
    /// Stage name to key, in dependency order; empty for imported trials.
    #[serde(default)]
    pub stages: Pairs,
    #[serde(default)]
    pub cost: Cost,
    /// Read from elsewhere (W&B exports, a paper's table), not run here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
}

impl Trial {
    /// Whether it is the trial that is planned, made from the very stages that a run would make now.
    pub fn is_of(&self, plan: &TrialPlan) -> bool {
        let planned = plan.stages.iter().map(|stage| (stage.name.clone(), stage.key.to_string()));
        self.arm == plan.arm && self.seed == plan.seed.0 && self.stages.0.iter().cloned().eq(planned)
    }
}

/// How a trial ended. A diverged arm is data, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Finished,
    Diverged,
    Failed,
}

/// What a trial cost, in numbers that do not depend on the machine. Shared stages count in every trial that uses them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    #[serde(deserialize_with = "number")]
    pub flops: f64,
    pub tokens: u64,
}

/// One row of `curves.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub arm: String,
    pub seed: u64,
    /// The stage's name without `eval:`. An evaluation of a stage stands at that stage's last step, one of the base at 0.
    pub stage: String,
    /// Empty for training metrics; `all` is the equally weighted mean over the protocol's benchmarks.
    pub benchmark: String,
    pub metric: String,
    pub step: u64,
    #[serde(deserialize_with = "number")]
    pub value: f64,
}

/// Results hold finite numbers no further from zero than this: squares of squares of them still have a mean. No float of
/// single precision, and no sum of such, comes near it.
const MOST: f64 = 1e50;

/// Whether a number can stand in results. An undefined one has no row.
pub fn holds(value: f64) -> bool {
    value.abs() <= MOST
}

fn held<E: serde::de::Error>(value: f64) -> Result<f64, E> {
    if holds(value) {
        Ok(value)
    } else {
        Err(E::custom(format!("{value:e} is no number of results: they are finite, and at most {MOST:e}")))
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    held(f64::deserialize(deserializer)?)
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let numbers = BTreeMap::<String, f64>::deserialize(deserializer)?;
    numbers.values().try_for_each(|value| held(*value).map(drop)).map(|()| numbers)
}

/// Names with values, in order; a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pairs(pub Vec<(String, String)>);

impl Pairs {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// One line of `timing.jsonl`: what may differ from run to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub arm: String,
    pub seed: u64,
    /// Stage name to when, where and how long.
    pub stages: BTreeMap<String, StageTiming>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTiming {
    pub seconds: f64,
    /// Seconds since 1970.
    pub finished: u64,
    pub host: String,
    pub threads: usize,
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
}

/// Everything known about one experiment in one lab.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Results {
    pub trials: Vec<Trial>,
    pub curves: Vec<CurvePoint>,
}

/// A result file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    #[error("failed to read {path}: {source}{}", disk::advice(source))]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "failed to read {path}, line {line}: {message} (`ablate run` sets the file aside and writes it anew from the store)"
    )]
    Line { path: PathBuf, line: u64, message: String },
}

/// Reads `trials.jsonl` and `curves.csv` in `dir`. Absent files are empty results: nothing has been run yet.
pub fn read(dir: &Path) -> Result<Results, ResultsError> {
    Ok(Results { trials: read_trials(dir)?, curves: read_curves(&dir.join("curves.csv"))? })
}

/// The trials alone, for those who can do without the curves, which are most of what there is to read.
pub fn read_trials(dir: &Path) -> Result<Vec<Trial>, ResultsError> {
    read_lines(&dir.join("trials.jsonl"))
}

/// Keys of all stages of plans whose results are not all there yet, as a JSON list: added when a run begins and taken away
/// when all its results are there, so that `ablate gc` keeps what an interrupted run has made. A plan that was edited before it
/// was finished stays noted until somebody removes the file; `ablate gc` says so.
pub const UNFINISHED: &str = "unfinished.json";

/// The keys in it; none where it isn't there.
pub fn unfinished(dir: &Path) -> Result<Vec<Key>, ResultsError> {
    let path = dir.join(UNFINISHED);
    let Some(text) = read_text(&path)? else { return Ok(vec![]) };
    let keys: Vec<String> = serde_json::from_str(&text).map_err(|error| ResultsError::Line {
        path,
        line: error.line() as u64,
        message: error.to_string(),
    })?;
    Ok(keys.iter().filter_map(|key| key.parse().ok()).collect())
}

/// Moves both files aside if either cannot be read, so that they are written anew from artifacts; says so. They belong
/// together: rows without their curves would be kept for trials that are not looked at.
pub fn set_aside_damaged(dir: &Path) -> Result<Option<String>, DiskError> {
    let reason = match read(dir) {
        Err(ResultsError::Line { path, line, message }) => {
            format!("failed to read {}, line {line}: {message}", path.display())
        }
        // Text that is no UTF-8 is damage too; a file that can't be opened is not.
        Err(ResultsError::Io { path, source }) if source.kind() == std::io::ErrorKind::InvalidData => {
            format!("failed to read {}: {source}", path.display())
        }
        Ok(_) | Err(ResultsError::Io { .. }) => return Ok(None),
    };
    let free =
        |n: &usize| !["trials.jsonl", "curves.csv"].iter().any(|name| dir.join(format!("{name}.damaged-{n}")).exists());
    let n = (0..).find(free).expect("numbers do not end");
    for name in ["trials.jsonl", "curves.csv"] {
        if dir.join(name).exists() {
            disk::rename(&dir.join(name), &dir.join(format!("{name}.damaged-{n}")))?;
        }
    }
    disk::sync_dir(dir)?;
    Ok(Some(format!(
        "{reason}; both results files are set aside as *.damaged-{n} and written anew from the store \
         (trials left out by --only come back with a run without it; imported runs must be imported again)"
    )))
}

/// Reads `timing.jsonl` in `dir`; absent, nothing is known of times.
pub fn read_timing(dir: &Path) -> Result<Vec<Timing>, ResultsError> {
    read_lines(&dir.join("timing.jsonl"))
}

fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, ResultsError> {
    let Some(text) = read_text(path)? else { return Ok(vec![]) };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| ResultsError::Line {
                path: path.into(),
                line: index as u64 + 1,
                message: text::broken_json(&error),
            })
        })
        .collect()
}

fn read_curves(path: &Path) -> Result<Vec<CurvePoint>, ResultsError> {
    let Some(text) = read_text(path)? else { return Ok(vec![]) };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    // An export of ours has its header even if it has no row; without one the file was cut off.
    if reader.headers().is_ok_and(|header| header.is_empty()) {
        let message = format!("the header is missing: {}", CURVE_COLUMNS.join(","));
        return Err(ResultsError::Line { path: path.into(), line: 1, message });
    }
    let rows = reader.deserialize();
    rows.map(|row| {
        row.map_err(|error: csv::Error| ResultsError::Line {
            path: path.into(),
            line: error.position().map_or(0, |position| position.line()),
            message: text::broken_csv(&error),
        })
    })
    .collect()
}

fn read_text(path: &Path) -> Result<Option<String>, ResultsError> {
    match text::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ResultsError::Io { path: path.into(), source }),
    }
}

/// The bytes of `trials.jsonl`.
pub fn trials_text<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> String {
    let mut text = String::new();
    for trial in trials {
        text.push_str(&serde_json::to_string(trial).expect("a trial is plain data"));
        text.push('\n');
    }
    text
}

/// The bytes of `curves.csv`, header included. Values are printed in their shortest exact form.
pub fn curves_text<'a>(points: impl IntoIterator<Item = &'a CurvePoint>) -> String {
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(CURVE_COLUMNS).expect("memory takes every row");
    for p in points {
        let (seed, step, value) = (p.seed.to_string(), p.step.to_string(), p.value.to_string());
        let row = [&p.arm, &seed, &p.stage, &p.benchmark, &p.metric, &step, &value];
        writer.write_record(row).expect("memory takes every row");
    }
    let bytes = writer.into_inner().expect("memory takes every row");
    String::from_utf8(bytes).expect("rows are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_exactly() {
        let trial = Trial {
            arm: "family=llama,mix=\"a, b\"".into(),
            levels: Pairs(vec![("mix".into(), "a, b".into()), ("family".into(), "llama".into())]),
            seed: 3,
            outcome: Outcome::Diverged,
            note: Some("rl diverged at step 4".into()),
            metrics: BTreeMap::from([("rl.accuracy/all".into(), 0.1 + 0.2)]),
            stages: Pairs(vec![("base".into(), "00".into())]),
            cost: Cost { flops: 1.5e15, tokens: 20 },
            imported: false,
        };
        let point = CurvePoint {
            arm: trial.arm.clone(),
            seed: 3,
            stage: "rl".into(),
            benchmark: String::new(),
            metric: "loss".into(),
            step: 7,
            value: 1.0 / 3.0,
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("trials.jsonl"), trials_text([&trial])).unwrap();
        std::fs::write(dir.path().join("curves.csv"), curves_text([&point])).unwrap();
        let results = read(dir.path()).unwrap();
        assert_eq!(results, Results { trials: vec![trial], curves: vec![point] });
    }

    #[test]
    fn nothing_run_yet_is_no_error() {
        assert_eq!(read(Path::new("/nowhere/at/all")).unwrap(), Results::default());
    }

    #[test]
    fn numbers_that_nothing_can_be_done_with_are_refused_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let trial = |number: &str| {
            format!(
                "{{\"arm\":\"a\",\"levels\":{{}},\"seed\":0,\"outcome\":\"finished\",\"metrics\":{{\"rl.loss\":{number}}}}}\n"
            )
        };
        std::fs::write(dir.path().join("trials.jsonl"), trial("-3e38")).unwrap();
        assert_eq!(read(dir.path()).unwrap().trials[0].metrics["rl.loss"], -3e38);
        std::fs::write(dir.path().join("trials.jsonl"), trial("1") + &trial("1e308")).unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl, line 2: ") && error.contains("at most 1e50"), "{error}");
        std::fs::remove_file(dir.path().join("trials.jsonl")).unwrap();
        for number in ["NaN", "-inf", "1e51"] {
            let text = format!("{}\na,0,rl,all,loss,1,0.5\na,0,rl,all,loss,2,{number}\n", CURVE_COLUMNS.join(","));
            std::fs::write(dir.path().join("curves.csv"), text).unwrap();
            let error = read(dir.path()).unwrap_err().to_string();
            assert!(error.contains("curves.csv, line 3: ") && error.contains("at most 1e50"), "{error}");
            assert!(error.len() < 250, "{error}");
        }
    }

    #[test]
    fn a_broken_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("trials.jsonl"), "{\"arm\":\"a\"}\n").unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl, line 1: missing field `levels` ("), "{error}");
        std::fs::write(dir.path().join("trials.jsonl"), "\n{\"arm\":\"a").unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl, line 2: it is cut off after column 9 ("), "{error}");
        std::fs::write(dir.path().join("trials.jsonl"), b"\nK\xf6nig").unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl: line 2, column 2 is not UTF-8"), "{error}");
        std::fs::remove_file(dir.path().join("trials.jsonl")).unwrap();
        std::fs::write(dir.path().join("curves.csv"), "arm,seed,stage,benchmark,metric,step,value\na,x,,,,1,1\n")
            .unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("curves.csv, line 2: cell 2: invalid digit"), "{error}");
        let cut = format!("{}\na,0,rl,al", CURVE_COLUMNS.join(","));
        std::fs::write(dir.path().join("curves.csv"), cut).unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("curves.csv, line 2: it has 4 of 7 cells; is it cut off? ("), "{error}");
        std::fs::write(dir.path().join("curves.csv"), "").unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("curves.csv, line 1") && error.contains("header"), "{error}");
    }
}
