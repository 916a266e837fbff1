//! Curves over RL steps, drawn as the paper draws them: a column per benchmark, accuracy above, length below.
//!
//! Lines are means over seeds and bands go from the lowest to the highest seed; no smoothing, unlike the paper's figures (the
//! page has a slider). Names stand at the ends of the lines in the last column instead of a legend. Where a value exists for
//! only some seeds (nothing was correct, a run diverged) the line is thin: a mean over survivors is not a mean over seeds.

use crate::report::figure::{Figure, body, small};
use crate::report::palette::{self, Look};
use crate::report::scale::{self, Scale, fixed, nice, snug, spread};
use crate::report::scene::{Anchor, PanelMap, Role, Scene, Shape, style};
use crate::report::table::{Table, cell};
use crate::report::{ArmInput, ExperimentInput, data, font, metric};

const TABLE: [&str; 9] = ["arm", "label", "benchmark", "metric", "step", "mean", "min", "max", "seeds"];

/// A panel before it is drawn.
struct Panel<'a> {
    /// Row and column.
    cell: (usize, usize),
    benchmark: String,
    metric: &'a str,
    /// Of its column; only in the first row.
    heading: String,
    /// Named after its metric, instead of sharing the title of its row.
    own_title: bool,
    last_row: bool,
    /// Per arm.
    curves: Vec<data::Curve>,
    bases: Vec<Option<f64>>,
    /// Smallest range worth showing, so that noise does not fill the panel.
    include: Vec<f64>,
}

/// Accuracy and response length against the RL step, with a dashed line for the model that RL started from.
pub fn curves(input: &ExperimentInput, id: &'static str, accuracy: &str) -> Option<Figure> {
    let mut benchmarks = data::benchmarks(input);
    let has_all = input.results.curves.iter().any(|p| p.benchmark == "all" && p.stage == "rl" && p.metric == accuracy);
    if has_all && (2..=3).contains(&benchmarks.len()) {
        benchmarks.insert(0, "all".to_string());
    }
    let rows = [accuracy, "response_length"];
    let mut panels = vec![];
    let columns = benchmarks.len().min(4);
    for (index, benchmark) in benchmarks.iter().enumerate() {
        for (row, name) in rows.iter().enumerate() {
            panels.push(Panel {
                cell: (2 * (index / 4) + row, index % 4),
                benchmark: benchmark.clone(),
                metric: name,
                own_title: false,
                last_row: false,
                heading: if row == 0 { input.heading(benchmark) } else { String::new() },
                curves: collect(input, benchmark, name),
                bases: match row {
                    0 => input.arms.iter().map(|arm| data::before_rl(input, &arm.id, name, benchmark)).collect(),
                    _ => vec![None; input.arms.len()],
                },
                include: vec![0.0],
            });
        }
    }
    let what = if accuracy == "accuracy" { "accuracy (greedy)" } else { "accuracy (sampled at temperature 1)" };
    let caption = format!(
        "Above: {what}; below: mean length of correct responses, in tokens; against the RL step. Lines are means over seeds{}. \
         Dashed horizontals: the model that RL started from. Thin stretches: some seeds have no value there.{}",
        band_note(input),
        cross_note(input),
    );
    draw(input, id, "Reinforcement learning, by arm", caption, panels, columns)
}

/// What tells a stable run from a collapsing one.
pub fn stability(input: &ExperimentInput) -> Option<Figure> {
    let mut panels = vec![];
    for (name, include) in
        [("truncated", vec![0.0, 0.1]), ("entropy", vec![0.0]), ("response_length_all", vec![0.0]), ("reward", vec![])]
    {
        // Training metrics have no benchmark; what only evaluations record is taken over all of them.
        let sources = [String::new(), "all".to_string()].into_iter().chain(data::benchmarks(input));
        let found = sources
            .map(|benchmark| (collect(input, &benchmark, name), benchmark))
            .find(|(curves, _)| curves.iter().any(|c| !c.points.is_empty()));
        if let Some((curves, benchmark)) = found {
            let index = panels.len();
            panels.push(Panel {
                cell: (index / 2, index % 2),
                benchmark,
                metric: name,
                own_title: true,
                last_row: false,
                heading: String::new(),
                bases: vec![None; curves.len()],
                curves,
                include,
            });
        }
    }
    let caption = format!(
        "A run that loses its way shows it here first: answers cut off at the length limit, entropy near zero or rising, \
         lengths (of all responses, right or wrong) running away, reward falling. Lines are means over seeds{}.{}",
        band_note(input),
        cross_note(input),
    );
    draw(input, "stability", "Stability of training", caption, panels, 2)
}

fn band_note(input: &ExperimentInput) -> String {
    let several = input.arms.iter().any(|arm| input.results.trials.iter().filter(|t| t.arm == arm.id).count() > 1);
    if several { ", bands reach from the lowest to the highest seed".into() } else { " (one seed: no band)".into() }
}

fn cross_note(input: &ExperimentInput) -> &'static str {
    let any = input.arms.iter().any(|arm| !data::diverged(&input.results.trials, arm).is_empty());
    if any { " A cross marks where a seed diverged; from there on the line is of the others." } else { "" }
}

fn collect(input: &ExperimentInput, benchmark: &str, metric: &str) -> Vec<data::Curve> {
    input.arms.iter().map(|arm| data::curve(&input.results.curves, &arm.id, "rl", benchmark, metric)).collect()
}

fn draw(
    input: &ExperimentInput,
    id: &'static str,
    title: &str,
    caption: String,
    mut panels: Vec<Panel>,
    columns: usize,
) -> Option<Figure> {
    let drawn: Vec<usize> =
        (0..input.arms.len()).filter(|&i| panels.iter().any(|p| !p.curves[i].points.is_empty())).collect();
    if drawn.is_empty() {
        return None;
    }
    for index in 0..panels.len() {
        let (row, column) = panels[index].cell;
        panels[index].last_row = !panels.iter().any(|p| p.cell.1 == column && p.cell.0 > row);
    }
    let looks = palette::looks(&input.arms);
    let label_size = if drawn.len() > 10 { 10.5 } else { 11.5 };
    let gap = label_size + 2.5;
    let labels: Vec<String> =
        input.arms.iter().map(|arm| font::fit(&arm.label, label_size, font::Weight::Regular, 240.0)).collect();
    let label_width =
        drawn.iter().map(|&i| font::width(&labels[i], label_size, font::Weight::Regular)).fold(0.0, f64::max);
    let rows = panels.iter().map(|p| p.cell.0).max().unwrap_or(0) + 1;
    let (panel_width, panel_height) = match columns {
        1 => (380.0, 200.0),
        2 => (300.0, 180.0),
        3 => (220.0, 165.0),
        _ => (180.0, 150.0),
    };
    let panel_height = f64::max(panel_height, drawn.len() as f64 * gap + 4.0);
    let own_titles = panels.iter().any(|p| p.own_title);
    let (left, top, between, row_gap) = (34.0, if own_titles { 24.0 } else { 42.0 }, 40.0, 50.0);
    let right = label_width + 42.0;
    let width = left + columns as f64 * panel_width + (columns - 1) as f64 * between + right;
    let height = top + rows as f64 * panel_height + (rows - 1) as f64 * row_gap + 42.0;
    let mut scene = Scene::new(width, height);
    let mut table = Table::new(&TABLE);

    let steps = panels.iter().flat_map(|p| &p.curves).flat_map(|c| &c.points).map(|p| p.step as f64);
    let last_step = steps.fold(1.0, f64::max);
    let (_, x_ticks) = nice([0.0, last_step], if columns > 2 { 4 } else { 5 });
    for panel in &panels {
        let (row, column) = panel.cell;
        let x0 = left + column as f64 * (panel_width + between);
        let y0 = top + row as f64 * (panel_height + row_gap);
        let frame = [x0, y0, x0 + panel_width, y0 + panel_height];
        let last_of_row = !panels.iter().any(|p| p.cell.0 == row && p.cell.1 > column);
        let unit = metric::Unit::of(panel.metric);
        let x = Scale { from: [0.0, last_step], to: [frame[0], frame[2]] };
        let shown = panel.curves.iter().flat_map(|c| &c.points).flat_map(|p| [p.min, p.max]);
        let shown = shown.chain(panel.bases.iter().flatten().copied()).chain(panel.include.iter().copied());
        let (range, ticks) = snug(shown.map(|v| unit.scale(v)), 5);
        let y = Scale { from: range, to: [frame[3], frame[1]] };
        axes(&mut scene, panel, frame, unit, &x, &x_ticks, &y, &ticks, column == 0 || panel.own_title);
        for &arm in &drawn {
            let place = |step: u64, value: f64| (x.at(step as f64), y.at(unit.scale(value)));
            band(&mut scene, &panel.curves[arm], arm, looks[arm], place, drawn.len());
        }
        for &arm in &drawn {
            if let Some(base) = panel.bases[arm] {
                let at = y.at(unit.scale(base));
                let tip = format!("{}: {} before RL", input.arms[arm].label, value_text(unit, base));
                let points = vec![(frame[0], at), (frame[2], at)];
                let (color, dash) = (looks[arm].color, &[2.5, 2.5][..]);
                scene.mark(arm, Shape::Line { points, color, width: 1.1, dash, opacity: 0.75 }).tip(tip);
                table.push(row_of(&input.arms[arm], panel, "before RL".into(), [Some(base), None, None], 0));
            }
        }
        let index = scene.panels.len();
        for &arm in &drawn {
            let place = |step: u64, value: f64| (x.at(step as f64), y.at(unit.scale(value)));
            line(&mut scene, &panel.curves[arm], arm, looks[arm], index, place);
            for p in &panel.curves[arm].points {
                let numbers = [Some(p.mean), Some(p.min), Some(p.max)];
                table.push(row_of(&input.arms[arm], panel, p.step.to_string(), numbers, p.n));
            }
            for seed in data::diverged(&input.results.trials, &input.arms[arm]) {
                let ends = input.results.curves.iter().filter(|p| {
                    p.seed == seed && p.arm == input.arms[arm].id && p.stage == "rl" && p.benchmark == panel.benchmark
                });
                if let Some(p) = ends.filter(|p| p.metric == panel.metric).max_by_key(|p| p.step) {
                    let tip = format!("{}: seed {seed} diverged", input.arms[arm].label);
                    cross(&mut scene, arm, looks[arm], place(p.step, p.value), &tip);
                }
            }
        }
        if last_of_row {
            end_labels(&mut scene, panel, &drawn, &labels, &looks, frame, gap, label_size, |step, value| {
                (x.at(step as f64), y.at(unit.scale(value)))
            });
        }
        let heading = if panel.own_title { metric::title(panel.metric) } else { input.heading(&panel.benchmark) };
        scene.panels.push(PanelMap {
            frame,
            x: x.from,
            y: y.from,
            title: heading,
            step: "step".into(),
            unit: unit.value,
            decimals: unit.decimals,
        });
    }
    Some(Figure { id, title: title.to_string(), caption, scene, table })
}

fn row_of(
    arm: &ArmInput,
    panel: &Panel,
    step: String,
    [mean, min, max]: [Option<f64>; 3],
    seeds: usize,
) -> Vec<String> {
    vec![
        arm.id.clone(),
        arm.label.clone(),
        panel.benchmark.to_string(),
        panel.metric.to_string(),
        step,
        cell(mean),
        cell(min),
        cell(max),
        if seeds == 0 { String::new() } else { seeds.to_string() },
    ]
}

pub fn value_text(unit: metric::Unit, value: f64) -> String {
    let number = fixed(unit.scale(value), unit.decimals);
    match unit.value {
        "" => number,
        "%" => format!("{number}%"),
        word => format!("{number} {word}"),
    }
}

#[allow(clippy::too_many_arguments)] // A panel's geometry is what it is; a struct for one call would only rename it.
fn axes(
    scene: &mut Scene,
    panel: &Panel,
    frame: [f64; 4],
    unit: metric::Unit,
    x: &Scale,
    x_ticks: &[f64],
    y: &Scale,
    y_ticks: &[f64],
    titled: bool,
) {
    let [left, top, right, bottom] = frame;
    if !panel.heading.is_empty() {
        scene.text(left, top - 9.0, panel.heading.clone(), body().bold());
    }
    if titled {
        let name = metric::title(panel.metric);
        let text = match unit.value {
            "" => name,
            "%" => format!("{name} (%)"),
            word => format!("{name} ({word})"),
        };
        if panel.own_title {
            scene.text(left, top - 9.0, text, body().bold());
        } else {
            let y = if panel.heading.is_empty() { top - 12.0 } else { top - 28.0 };
            scene.text(left - 30.0, y, text, small().color(palette::INK));
        }
    }
    let decimals = scale::tick_decimals(y_ticks);
    for &tick in y_ticks {
        let at = y.at(tick);
        scene.line((left, at), (right, at), palette::GRID, 0.8);
        let text = if tick.abs() >= 10_000.0 { scale::amount(tick) } else { fixed(tick, decimals) };
        scene.text(left - 5.0, at + 3.6, text, small().anchor(Anchor::End));
    }
    scene.line((left, bottom), (right, bottom), palette::FAINT, 1.0);
    let decimals = scale::tick_decimals(x_ticks);
    for &tick in x_ticks.iter().filter(|t| **t <= x.from[1] * 1.001) {
        let at = x.at(tick);
        scene.line((at, bottom), (at, bottom + 3.5), palette::FAINT, 1.0);
        scene.text(at, bottom + 15.5, fixed(tick, decimals), small().anchor(Anchor::Middle));
    }
    if panel.last_row {
        scene.text((left + right) / 2.0, bottom + 30.0, "RL step", small().anchor(Anchor::Middle));
    }
}

fn band(
    scene: &mut Scene,
    curve: &data::Curve,
    arm: usize,
    look: Look,
    place: impl Fn(u64, f64) -> (f64, f64),
    arms: usize,
) {
    if curve.seeds < 2 {
        return;
    }
    let opacity = match arms {
        11.. => 0.06,
        6.. => 0.10,
        _ => 0.15,
    };
    for run in curve.points.chunk_by(|a, b| a.alive == b.alive).filter(|run| run.len() > 1 && run[0].alive > 1) {
        let upper = run.iter().map(|p| place(p.step, p.max));
        let lower = run.iter().rev().map(|p| place(p.step, p.min));
        let item = scene.mark(arm, Shape::Area { points: upper.chain(lower).collect(), fill: look.color, opacity });
        item.role = Role::Band;
    }
}

/// The mean: thick where every seed has a value, thin elsewhere.
fn line(
    scene: &mut Scene,
    curve: &data::Curve,
    arm: usize,
    look: Look,
    panel: usize,
    place: impl Fn(u64, f64) -> (f64, f64),
) {
    let points = &curve.points;
    if let [only] = points.as_slice() {
        let (x, y) = place(only.step, only.mean);
        scene.mark(arm, Shape::Circle { x, y, r: 3.0, fill: look.color, stroke: None, opacity: 1.0 });
        return;
    }
    // A line is never drawn across the end of a seed: the mean would jump to that of the others.
    for run in points.chunk_by(|a, b| a.alive == b.alive) {
        let full = |i: usize| run[i].n == curve.seeds && run[i + 1].n == curve.seeds;
        let mut start = 0;
        while start + 1 < run.len() {
            let thick = full(start);
            let mut end = start + 1;
            while end + 1 < run.len() && full(end) == thick {
                end += 1;
            }
            let points = run[start..=end].iter().map(|p| place(p.step, p.mean)).collect();
            let (width, opacity) = if thick { (2.0, 1.0) } else { (1.0, 0.7) };
            let item = scene.mark(arm, Shape::Line { points, color: look.color, width, dash: look.dash, opacity });
            (item.role, item.panel) = (Role::Curve, Some(panel));
            start = end;
        }
    }
}

fn cross(scene: &mut Scene, arm: usize, look: Look, (x, y): (f64, f64), tip: &str) {
    for (dx, dy) in [(3.5, 3.5), (3.5, -3.5)] {
        let points = vec![(x - dx, y - dy), (x + dx, y + dy)];
        scene.mark(arm, Shape::Line { points, color: look.color.ink(), width: 1.8, dash: &[], opacity: 1.0 }).tip(tip);
    }
}

#[allow(clippy::too_many_arguments)]
fn end_labels(
    scene: &mut Scene,
    panel: &Panel,
    drawn: &[usize],
    labels: &[String],
    looks: &[Look],
    frame: [f64; 4],
    gap: f64,
    size: f64,
    place: impl Fn(u64, f64) -> (f64, f64),
) {
    let ends: Vec<(usize, (f64, f64))> = drawn
        .iter()
        .filter_map(|&arm| Some((arm, panel.curves[arm].points.last().map(|p| place(p.step, p.mean))?)))
        .collect();
    let wanted: Vec<f64> = ends.iter().map(|(_, (_, y))| *y).collect();
    let placed = spread(&wanted, gap, frame[1] + 2.0, frame[3] - 2.0);
    for ((arm, (x, y)), at) in ends.iter().zip(placed) {
        let color = looks[*arm].color;
        let leader = vec![(*x + 2.0, *y), (frame[2] + 4.0, *y), (frame[2] + 13.0, at)];
        scene.mark(*arm, Shape::Line { points: leader, color, width: 0.8, dash: &[], opacity: 0.7 });
        // A sample of the line, so that a label names it even where two arms share a colour.
        let sample = vec![(frame[2] + 13.0, at), (frame[2] + 31.0, at)];
        scene.mark(*arm, Shape::Line { points: sample, color, width: 2.0, dash: looks[*arm].dash, opacity: 1.0 });
        let text = style(size, color.ink()).at(frame[2] + 36.0, at + size * 0.36, labels[*arm].clone());
        scene.mark(*arm, text);
    }
}
