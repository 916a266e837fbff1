//! Runs made elsewhere: Weights & Biases CSV exports become results files.
//!
//! An export has a `Step` column and one column `<run> - <metric>` per series, with `__MIN` and `__MAX` companions, which are
//! ignored. One file may hold several runs, and one run may lie in several files: the same export downloaded twice, other
//! metrics, or a segment that was resumed later. Where two files speak of one cell:
//!
//! * values that agree to nine digits are one value (spreadsheets and scripts that save a file again change the last ones);
//! * of a run and its resumed segment, the one that starts earlier is kept, which is what the run really did, and the
//!   overlap is told;
//! * anything else is an error that names both files, since nobody can know which is meant.
//!
//! Metric names are mapped by [`METRICS`], which holds the names that verl and its descendants log; an unknown one is an error
//! that lists the known ones, because a column dropped in silence is a hole in a figure. Imported trials are marked: exports
//! may be sampled, arms have one run, and seeds are unknown, so nothing is ever tested on them (see [`crate::verdict`]).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::exec::results::{self, Cost, CurvePoint, Outcome, Pairs, Results, Trial};
use crate::text;

/// What stands between a run and its metric in a column's name.
const SEPARATOR: &str = " - ";

/// Names a column of steps may have.
const STEP_COLUMNS: [&str; 4] = ["Step", "_step", "global_step", "trainer/global_step"];

/// Logged name, and the metric it is here. `*` stands for a benchmark. The first match counts.
pub const METRICS: [(&str, &str); 26] = [
    ("val/test_score/avg_acc", "accuracy@all"),
    ("val/test_score/*", "accuracy"),
    ("test_score/avg_acc", "accuracy@all"),
    ("test_score/*", "accuracy"),
    ("val_response_length/test_length_correct/*", "response_length"),
    ("test_length_correct/*", "response_length"),
    ("val_response_length/test_length/*", "response_length_all"),
    ("test_length/*", "response_length_all"),
    ("val-core/*/acc/mean@1", "accuracy"),
    ("val-core/*/reward/mean@1", "accuracy"),
    ("response_length/correct_mean", "response_length"),
    ("response_length/mean", "response_length_all"),
    ("response_length/clip_ratio", "truncated"),
    ("critic/score/mean", "reward"),
    ("critic/rewards/mean", "reward_with_penalties"),
    ("actor/entropy_loss", "entropy"),
    ("actor/entropy", "entropy"),
    ("actor/grad_norm", "grad_norm"),
    ("actor/pg_clipfrac", "clip_fraction"),
    ("actor/ppo_kl", "approx_kl"),
    ("actor/pg_loss", "policy_loss"),
    ("actor/lr", "lr"),
    ("train/reward", "reward"),
    ("train/entropy", "entropy"),
    ("train/loss", "loss"),
    ("loss", "loss"),
];

/// Benchmarks by the letters and digits of their names, so that `MATH-500` and `math.500` are one.
const BENCHMARKS: [&str; 10] =
    ["math500", "gsm8k", "olympiadbench", "amc23", "aime24", "aime25", "minervamath", "svamp", "asdiv", "math"];

/// An export that cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("failed to read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("failed to read {path}, line {line}: {message}")]
    Line { path: PathBuf, line: u64, message: String },
    #[error("failed to find a step column in {path}: one of {known} is needed, found {found}")]
    NoStep { path: PathBuf, known: String, found: String },
    #[error(
        "failed to read column `{column}` of {path}: it is not `<run> - <metric>`; export the panel with run names, or remove the column"
    )]
    Column { path: PathBuf, column: String },
    #[error("failed to read column `{column}` of {path}: unknown metric `{metric}`; known are {known}")]
    Metric { path: PathBuf, column: String, metric: String, known: String },
    #[error("failed to merge the exports: {0}")]
    Conflict(Box<Conflict>),
    #[error("failed to find a CSV export in {0}")]
    Nothing(String),
}

/// Two values for one cell.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{run}`, {metric}{benchmark}, step {step} is {first_value} in {first} and {second_value} in {second}; leave one of the two out"
)]
pub struct Conflict {
    pub run: String,
    pub metric: String,
    /// ` on <benchmark>`, or empty.
    pub benchmark: String,
    pub step: u64,
    pub first: PathBuf,
    pub first_value: f64,
    pub second: PathBuf,
    pub second_value: f64,
}

/// What the exports hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Import {
    pub results: Results,
    /// Worth telling the user: averaged cells, runs in several files.
    pub notes: Vec<String>,
}

/// Relative difference below which two values are one.
const SAME: f64 = 1e-9;

/// Metric, benchmark, step.
type Cell = (String, String, u64);

/// Reads CSV files, and folders of them (every `.csv` below, sorted by path). `arms` renames runs; others keep their names.
pub fn wandb(paths: &[PathBuf], arms: &BTreeMap<String, String>) -> Result<Import, ImportError> {
    let files = csv_files(paths)?;
    if files.is_empty() {
        let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(ImportError::Nothing(names.join(", ")));
    }
    let mut runs: BTreeMap<String, BTreeMap<Cell, Vec<(f64, usize)>>> = BTreeMap::new();
    let mut starts: Starts = BTreeMap::new();
    let mut order: Vec<String> = vec![];
    let mut notes = vec![];
    for (index, path) in files.iter().enumerate() {
        let mut odd = Odd::default();
        for row in read_file(path, &mut odd)? {
            if !runs.contains_key(&row.run) {
                order.push(row.run.clone());
            }
            let (metric, benchmark, step) = &row.cell;
            let start = starts.entry((index, row.run.clone(), metric.clone(), benchmark.clone())).or_insert(*step);
            *start = (*step).min(*start);
            runs.entry(row.run).or_default().entry(row.cell).or_default().push((row.value, index));
        }
        let path = path.display();
        if odd.averaged > 0 {
            let n = odd.averaged;
            notes.push(format!("{path}: {n} cells are averages of several logged values (their MIN and MAX differ)"));
        }
        if odd.not_finite > 0 {
            notes.push(format!("{path}: {} cells are not finite numbers and stay gaps", odd.not_finite));
        }
    }
    let mut merged: BTreeMap<&str, BTreeMap<Cell, (f64, usize)>> = BTreeMap::new();
    for run in &order {
        let mut overlaps: BTreeMap<usize, usize> = BTreeMap::new();
        let cells = merged.entry(run).or_default();
        for (cell, said) in &runs[run] {
            cells.insert(cell.clone(), settle(run, cell, said, &starts, &files, &mut overlaps)?);
        }
        if let Some((file, _)) = overlaps.first_key_value() {
            let points: usize = overlaps.values().sum();
            let more =
                if overlaps.len() > 1 { format!(" and {} more files", overlaps.len() - 1) } else { String::new() };
            let file = files[*file].display();
            notes.push(format!(
                "{run}: {file}{more} hold a later segment that differs at {points} points; the earlier segment is kept there"
            ));
        }
    }
    let mut results = Results::default();
    let mut pieces = 0;
    for run in &order {
        let cells = &merged[run.as_str()];
        let arm = arms.get(run).unwrap_or(run);
        let mut sources: Vec<usize> = cells.values().map(|(_, file)| *file).collect();
        sources.sort_unstable();
        sources.dedup();
        pieces += sources.len();
        for ((metric, benchmark, step), (value, _)) in cells {
            let (metric, benchmark) = (metric.clone(), benchmark.clone());
            let (stage, arm) = ("rl".to_string(), arm.clone());
            results.curves.push(CurvePoint { arm, seed: 0, stage, benchmark, metric, step: *step, value: *value });
        }
        let metrics = end_values(cells);
        let names: Vec<String> = sources.iter().map(|file| file_name(&files[*file])).collect();
        results.trials.push(Trial {
            arm: arm.clone(),
            levels: Pairs(sources.first().and_then(|file| level(paths, &files[*file])).into_iter().collect()),
            seed: 0,
            outcome: Outcome::Finished,
            note: Some(format!("imported run `{run}` from {}", names.join(", "))),
            metrics,
            stages: Pairs::default(),
            cost: Cost::default(),
            imported: true,
        });
    }
    if pieces > results.trials.len() {
        notes.push(format!("{} runs put together from {} files", results.trials.len(), files.len()));
    }
    Ok(Import { results, notes })
}

/// First step of a series in a file: file, run, metric, benchmark.
type Starts = BTreeMap<(usize, String, String, String), u64>;

/// The value of a cell and the file it is taken from.
fn settle(
    run: &str,
    cell: &Cell,
    said: &[(f64, usize)],
    starts: &Starts,
    files: &[PathBuf],
    overlaps: &mut BTreeMap<usize, usize>,
) -> Result<(f64, usize), ImportError> {
    let (metric, benchmark, step) = cell;
    let start = |file: usize| starts[&(file, run.to_string(), metric.clone(), benchmark.clone())];
    let mut kept = said[0];
    for other in &said[1..] {
        if start(other.1) < start(kept.1) {
            kept = *other;
        }
    }
    for (value, file) in said {
        if (value - kept.0).abs() <= SAME * kept.0.abs() {
            continue;
        }
        if start(*file) == start(kept.1) {
            return Err(ImportError::Conflict(Box::new(Conflict {
                run: run.into(),
                metric: metric.clone(),
                benchmark: if benchmark.is_empty() { String::new() } else { format!(" on {benchmark}") },
                step: *step,
                first: files[kept.1].clone(),
                first_value: kept.0,
                second: files[*file].clone(),
                second_value: *value,
            })));
        }
        *overlaps.entry(*file).or_default() += 1;
    }
    Ok(kept)
}

/// Cells of a file that are worth a word.
#[derive(Default)]
struct Odd {
    averaged: usize,
    not_finite: usize,
}

struct Row {
    run: String,
    cell: Cell,
    value: f64,
}

/// A series of a file: its column, and those of its extremes.
struct Series {
    run: String,
    metric: String,
    benchmark: String,
    column: usize,
    extremes: [Option<usize>; 2],
}

fn read_file(path: &Path, odd: &mut Odd) -> Result<Vec<Row>, ImportError> {
    let text = text::read(path).map_err(|source| ImportError::Io { path: path.into(), source })?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let broken = |error: csv::Error| ImportError::Line {
        path: path.into(),
        line: error.position().map_or(1, |position| position.line()),
        message: text::broken_csv(&error),
    };
    let columns: Vec<String> = reader.headers().map_err(broken)?.iter().map(|c| c.trim().to_string()).collect();
    let Some(step_column) = columns.iter().position(|c| STEP_COLUMNS.contains(&c.as_str())) else {
        let found = columns.iter().take(3).map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
        let known = STEP_COLUMNS.map(|c| format!("`{c}`")).join(", ");
        return Err(ImportError::NoStep { path: path.into(), known, found });
    };
    // Of columns with one name, the first.
    let places: HashMap<&str, usize> = columns.iter().enumerate().rev().map(|(at, name)| (name.as_str(), at)).collect();
    let mut series = vec![];
    for (column, name) in columns.iter().enumerate() {
        if column == step_column || name.ends_with("__MIN") || name.ends_with("__MAX") {
            continue;
        }
        // Run names may hold the separator; metrics do not.
        let Some((run, metric)) = name.rsplit_once(SEPARATOR) else {
            return Err(ImportError::Column { path: path.into(), column: name.clone() });
        };
        // `_step` of a run is the step again.
        if STEP_COLUMNS.contains(&metric) {
            continue;
        }
        let Some((metric, benchmark)) = map(metric) else {
            return Err(ImportError::Metric {
                path: path.into(),
                column: name.clone(),
                metric: metric.into(),
                known: METRICS.map(|(logged, _)| format!("`{logged}`")).join(", "),
            });
        };
        let extremes = ["__MIN", "__MAX"].map(|end| places.get(format!("{name}{end}").as_str()).copied());
        series.push(Series { run: defused(run.trim()), metric, benchmark, column, extremes });
    }
    let mut rows = vec![];
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, |position| position.line());
        let bad = |message: String| ImportError::Line { path: path.into(), line, message };
        let number = |column: usize| -> Result<Option<f64>, ImportError> {
            let cell = record.get(column).unwrap_or("").trim();
            if cell.is_empty() {
                return Ok(None);
            }
            cell.parse().map(Some).map_err(|_| bad(format!("`{cell}` is not a number")))
        };
        let Some(step) = number(step_column)? else { return Err(bad("the step is missing".into())) };
        if !(step >= 0.0 && step.fract() == 0.0 && step <= MOST_STEPS) {
            let cell = record.get(step_column).unwrap_or("").trim();
            return Err(bad(format!("step {cell} is not a whole number from 0 on")));
        }
        for s in &series {
            let Some(value) = number(s.column)? else { continue };
            if !results::holds(value) {
                odd.not_finite += 1;
                continue;
            }
            if let [Some(low), Some(high)] = s.extremes
                && let (Some(low), Some(high)) = (number(low)?, number(high)?)
                && low != high
            {
                odd.averaged += 1;
            }
            rows.push(Row { run: s.run.clone(), cell: (s.metric.clone(), s.benchmark.clone(), step as u64), value });
        }
    }
    Ok(rows)
}

/// Beyond these a float doesn't tell one step from the next.
const MOST_STEPS: f64 = (1u64 << 53) as f64;

/// A name from elsewhere becomes a cell of tables: what a spreadsheet would take for a formula gets an apostrophe.
fn defused(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.to_string() }
}

/// Our metric and benchmark (or empty) for a logged name.
fn map(logged: &str) -> Option<(String, String)> {
    METRICS.iter().find_map(|(pattern, metric)| {
        let benchmark = match pattern.split_once('*') {
            None => (logged == *pattern).then_some("")?,
            Some((before, after)) => {
                logged.strip_prefix(before)?.strip_suffix(after).filter(|b| !b.is_empty() && !b.contains('/'))?
            }
        };
        Some(match metric.split_once('@') {
            Some((metric, benchmark)) => (metric.to_string(), benchmark.to_string()),
            None => (metric.to_string(), defused(&benchmark_name(benchmark))),
        })
    })
}

fn benchmark_name(logged: &str) -> String {
    let letters: String = logged.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    BENCHMARKS.iter().find(|known| **known == letters).map_or_else(|| logged.to_string(), |known| known.to_string())
}

/// `rl`, `rl0` (if step 0 was logged) and `gain` of every metric with a benchmark, `all` where every benchmark has it.
fn end_values(cells: &BTreeMap<Cell, (f64, usize)>) -> BTreeMap<String, f64> {
    let mut series: BTreeMap<(&str, &str), Vec<(u64, f64)>> = BTreeMap::new();
    for ((metric, benchmark, step), (value, _)) in cells {
        series.entry((metric, benchmark)).or_default().push((*step, *value));
    }
    let mut metrics = BTreeMap::new();
    for ((metric, benchmark), points) in &series {
        let place = if benchmark.is_empty() { String::new() } else { format!("/{benchmark}") };
        let Some((last_step, last)) = points.last().copied() else { continue };
        metrics.insert(format!("rl.{metric}{place}"), last);
        if let Some((0, first)) = points.first().copied()
            && last_step > 0
        {
            metrics.insert(format!("rl0.{metric}{place}"), first);
            metrics.insert(format!("gain.{metric}{place}"), last - first);
        }
    }
    let benchmarks: Vec<&str> =
        series.keys().filter(|(m, b)| *m == "accuracy" && !b.is_empty() && *b != "all").map(|(_, b)| *b).collect();
    for stage in ["rl", "rl0", "gain"] {
        let name = format!("{stage}.accuracy/all");
        let values: Vec<f64> =
            benchmarks.iter().filter_map(|b| metrics.get(&format!("{stage}.accuracy/{b}")).copied()).collect();
        if !metrics.contains_key(&name) && !values.is_empty() && values.len() == benchmarks.len() {
            metrics.insert(name, values.iter().sum::<f64>() / values.len() as f64);
        }
    }
    metrics
}

fn csv_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ImportError> {
    let mut files = vec![];
    for path in paths {
        if path.is_dir() {
            for entry in WalkDir::new(path).sort_by_file_name() {
                let entry = entry.map_err(|error| ImportError::Io { path: path.clone(), source: error.into() })?;
                if entry.file_type().is_file()
                    && entry.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"))
                {
                    files.push(entry.into_path());
                }
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// The folder, below the one imported, where a run was first met: the authors have one for each figure.
fn level(paths: &[PathBuf], file: &Path) -> Option<(String, String)> {
    let inside = paths.iter().find_map(|path| file.strip_prefix(path).ok())?.parent()?;
    let name = inside.to_string_lossy().replace('\\', "/");
    (!name.is_empty()).then(|| ("folder".to_string(), name))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
