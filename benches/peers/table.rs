//! Repetitions as a file of numbers, and the table made of them.

use crate::Result;
use crate::model::Size;
use crate::ours::Done;
use crate::peer::{Peer, Python};
use crate::rows::{Clock, PRODUCT, Row, Work};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// One repetition of one side.
#[derive(Debug, Clone)]
pub struct Measurement {
    pub row: String,
    pub side: String,
    pub repetition: usize,
    pub done: Done,
    /// Whether processor seconds count, or wall-clock seconds.
    pub processor: bool,
}

impl Measurement {
    pub fn new(row: &Row, side: &str, repetition: usize, done: Done) -> Measurement {
        let processor = row.clock == Clock::Processor;
        Measurement { row: row.name.to_string(), side: side.to_string(), repetition, done, processor }
    }

    pub fn seconds(&self) -> f64 {
        if self.processor { self.done.cpu } else { self.done.wall }
    }

    pub fn rate(&self) -> f64 {
        self.done.units / self.seconds()
    }
}

/// All repetitions, in the order in which rows were first measured.
pub struct Measurements {
    all: Vec<Measurement>,
    /// The machine and the peers, in a line.
    pub notes: String,
}

const COLUMNS: [&str; 8] = ["row", "side", "repetition", "clock", "units", "cpu_seconds", "wall_seconds", "check"];
/// The row that holds what the machine and the peers are.
const NOTES: &str = "notes";

impl Measurements {
    pub fn read(path: &Path) -> Result<Measurements> {
        let mut found = Measurements { all: vec![], notes: String::new() };
        if !path.exists() {
            return Ok(found);
        }
        for record in csv::Reader::from_path(path)?.records() {
            let record = record?;
            if &record[0] == NOTES {
                found.notes = record[1].to_string();
                continue;
            }
            let number = |at: usize| record[at].parse::<f64>();
            found.all.push(Measurement {
                row: record[0].to_string(),
                side: record[1].to_string(),
                repetition: record[2].parse()?,
                processor: &record[3] == "processor",
                done: Done { units: number(4)?, cpu: number(5)?, wall: number(6)?, check: number(7)? },
            });
        }
        Ok(found)
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let mut writer = csv::Writer::from_path(path)?;
        writer.write_record(COLUMNS)?;
        for m in &self.all {
            let clock = if m.processor { "processor" } else { "wall" };
            let [units, cpu, wall, check] =
                [m.done.units, m.done.cpu, m.done.wall, m.done.check].map(|x| x.to_string());
            writer.write_record([&m.row, &m.side, &m.repetition.to_string(), clock, &units, &cpu, &wall, &check])?;
        }
        writer.write_record([NOTES, &self.notes, "0", "", "0", "0", "0", "0"])?;
        Ok(writer.flush()?)
    }

    /// Puts new repetitions of a row in place of the old ones.
    pub fn replace(&mut self, row: &str, new: Vec<Measurement>) {
        self.all.retain(|m| m.row != row);
        self.all.extend(new);
    }

    fn of<'a>(&'a self, row: &'a str, side: &'a str) -> impl Iterator<Item = &'a Measurement> {
        self.all.iter().filter(move |m| m.row == row && m.side == side)
    }

    fn sides(&self, row: &str) -> Vec<&str> {
        let mut sides: Vec<&str> = vec![];
        for m in self.all.iter().filter(|m| m.row == row) {
            if !sides.contains(&m.side.as_str()) {
                sides.push(&m.side);
            }
        }
        sides
    }

    fn rate(&self, row: &str, side: &str) -> f64 {
        spread(self.of(row, side).map(Measurement::rate).collect())[1]
    }

    /// The best matrix product of either side: the ceiling of everything that multiplies matrices.
    fn ceiling(&self) -> f64 {
        self.rate("matrix product", "ablate").max(self.rate("matrix product", PRODUCT))
    }
}

/// Least, median and greatest.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => [f64::NAN; 3],
        n => [values[0], (values[(n - 1) / 2] + values[n / 2]) / 2.0, values[n - 1]],
    }
}

/// The machine and the peers' versions, in a line.
pub fn machine(python: &Python) -> Result<String> {
    let peer = Peer::start(python, "versions", json!({ "what": "versions" }))?;
    let versions: Vec<String> = peer.ready["versions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("?")))
        .collect();
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split(": ").nth(1).unwrap_or("?").to_string()
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let (kernels, mkl) = (peer.ready["kernels"].as_str().unwrap_or("?"), peer.ready["mkl"].as_bool() == Some(true));
    Ok(format!(
        "{} (family {}, model {}), {cores} cores; {}; torch's kernels: {kernels}{}",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        versions.join(", "),
        if mkl { ", with MKL" } else { "" }
    ))
}

fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "–".to_string(),
        10_000.0.. => format!("{:.1}k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

/// `benches/results.md`.
pub fn render(rows: &[Row], all: &Measurements) -> String {
    let notes = &all.notes;
    let mut out = String::from("# The engine beside its peers\n\n");
    let text = |out: &mut String, line: &str| out.push_str(line);
    text(
        &mut out,
        "Made by `cargo bench --bench peers`; every repetition is in `results.csv`, what it means in `README.md`.\n",
    );
    let _ = writeln!(
        out,
        "Medians; the ratio is that of repetitions made next to each other: median (least to greatest).\n\n{notes}\n"
    );
    text(&mut out, "| work | ours | peer | | ratio | goal |\n|---|--:|---|--:|--:|---|\n");
    for row in rows.iter().filter(|row| !all.sides(row.name).is_empty()) {
        let sides = all.sides(row.name);
        for side in &sides[1..] {
            let goal = row.peers.iter().find(|(peer, _)| peer == side).and_then(|(_, goal)| *goal);
            let two = row.threads.len() > 1;
            let goal = if two { Some(1.8) } else { goal };
            let peak = matches!(row.work, Work::Peak(_));
            let pairs = all.of(row.name, sides[0]).zip(all.of(row.name, side));
            // More memory is worse, and a second side of ours is what the first is compared with.
            let ratios = spread(
                pairs.map(|(a, b)| if peak || two { b.rate() / a.rate() } else { a.rate() / b.rate() }).collect(),
            );
            let goal = match goal {
                Some(goal) if ratios[1] >= goal => format!("≥ {goal}: met"),
                Some(goal) => format!("≥ {goal}: **missed**"),
                None if peak => (if ratios[1] > 1.0 { "below: met" } else { "below: **missed**" }).to_string(),
                None => String::new(),
            };
            let _ = writeln!(
                out,
                "| {} | {} {} | {side} | {} | {:.2} ({:.2} to {:.2}) | {goal} |",
                row.name,
                number(all.rate(row.name, sides[0])),
                row.unit,
                number(all.rate(row.name, side)),
                ratios[1],
                ratios[0],
                ratios[2]
            );
        }
    }
    limits(&mut out, all);
    memory(&mut out, all);
    curves(&mut out, all);
    out
}

/// How far training and generation are from what the processor could do.
fn limits(out: &mut String, all: &Measurements) {
    let ceiling = all.ceiling();
    let _ = write!(
        out,
        "\n## Limits\n\nCeiling: the best matrix product of this run, {ceiling:.0} GFLOP/s on one core. A token costs 6·N in \
         training and 2·N in a forward pass (N parameters; attention is not counted), and a new token of a completion \
         {:.2} forward passes, the prompt included.\n\n| work | GFLOP/s | share of the ceiling | goal |\n|---|--:|--:|---|\n",
        128.0 / 96.0
    );
    let sizes =
        [("XS", Size::Xs, None), ("S", Size::S, Some(0.6)), ("M", Size::M, Some(0.75)), ("L", Size::L, Some(0.75))];
    let mut line = |what: String, gflops: f64, goal: Option<f64>| {
        if gflops.is_finite() {
            let share = gflops / ceiling;
            let verdict = goal.map(|goal| if share >= goal { "met" } else { "**missed**" });
            let goal = goal.zip(verdict).map_or(String::new(), |(goal, verdict)| format!("≥ {goal}: {verdict}"));
            let _ = writeln!(out, "| {what} | {gflops:.1} | {:.0}% | {goal} |", 100.0 * share);
        }
    };
    for (name, size, goal) in sizes {
        let parameters = size.shape().parameters() as f64;
        let row = format!("train {name}");
        for side in all.sides(&row) {
            let goal = goal.filter(|_| side == "ablate");
            line(format!("{row}, {side}"), 6e-9 * parameters * all.rate(&row, side), goal);
        }
        let row = format!("generate {name}");
        for side in all.sides(&row) {
            line(format!("{row}, {side}"), 2e-9 * parameters * 128.0 / 96.0 * all.rate(&row, side), None);
        }
    }
    let muon = ["S", "M", "L"].map(|name| {
        let tokens = if name == "L" { 2048.0 } else { 4096.0 };
        let step = tokens / all.rate(&format!("train {name}"), "ablate");
        (name, 1e3 / all.rate(&format!("Muon {name}"), "ablate"), step * 1e3)
    });
    for (name, update, step) in muon.iter().filter(|(_, update, _)| update.is_finite()) {
        let _ = write!(
            out,
            "\nMuon {name}: {update:.1} ms an update beside {step:.0} ms for a whole AdamW step ({:.1}%).",
            100.0 * update / step
        );
    }
    out.push('\n');
}

fn memory(out: &mut String, all: &Measurements) {
    let above = |row: &str, side: &str| spread(all.of(row, side).map(|m| m.done.check).collect())[1];
    let rows: Vec<String> = ["S", "M", "L"].iter().map(|name| format!("peak memory {name}")).collect();
    if rows.iter().any(|row| !all.sides(row).is_empty()) {
        out.push_str("\n## Memory\n\nPeak of a process that makes three training steps, and how much of it came after the libraries were loaded.\n\n| | side | peak MiB | above libraries |\n|---|---|--:|--:|\n");
    }
    for row in &rows {
        for side in all.sides(row) {
            let _ = writeln!(out, "| {row} | {side} | {:.0} | {:.0} |", all.rate(row, side), above(row, side));
        }
    }
}

fn curves(out: &mut String, all: &Measurements) {
    let points: Vec<&Measurement> = all.all.iter().filter(|m| m.row == "scaling").collect();
    if points.is_empty() {
        return;
    }
    out.push_str("\n## How cost grows\n\nA training step against its tokens (S) and against parameters (2,048 tokens), and reading, lowering and merging a plan against its arms. Seconds a unit should stay level.\n\n| | units | seconds | µs a unit |\n|---|--:|--:|--:|\n");
    for m in points {
        let per_unit = 1e6 * m.done.cpu / m.done.units;
        let _ = writeln!(out, "| {} | {} | {:.4} | {per_unit:.3} |", m.side, m.done.units, m.done.cpu);
    }
}
