//! Draws a grid of panels: curves with bands over seeds, base lines, names at the ends of the lines instead of a legend.
//!
//! Panels of one benchmark and metric share their y axis wherever they stand, so that blocks of arms can be compared.

use crate::report::facet::Facet;
use crate::report::figure::{Figure, body, small};
use crate::report::palette::{self, Look};
use crate::report::scale::{self, Scale, fixed, nice, snug, spread};
use crate::report::scene::{Anchor, PanelMap, Role, Scene, Shape, style};
use crate::report::table::{Table, cell};
use crate::report::{ArmInput, ExperimentInput, data, font, metric};

const TABLE: [&str; 9] = ["arm", "label", "benchmark", "metric", "step", "mean", "min", "max", "seeds"];

/// With more arms in a panel, bands are left out.
pub const MOST_BANDS: usize = 6;

/// A panel before it is drawn.
pub struct Panel<'a> {
    /// Row and column.
    pub cell: (usize, usize),
    pub facet: &'a Facet,
    /// Written above the block that this panel begins.
    pub block: String,
    pub benchmark: String,
    pub metric: &'a str,
    /// Of its column; only in the first row of a block.
    pub heading: String,
    /// Named after its metric, instead of sharing the title of its row.
    pub own_title: bool,
    /// Of the facet's arms, in their order.
    pub curves: Vec<data::Curve>,
    pub bases: Vec<Option<f64>>,
    /// Smallest range worth showing, so that noise does not fill the panel.
    pub include: Vec<f64>,
}

/// The figure of `panels` in `columns` columns; `None` if no panel has a curve.
pub fn draw(
    input: &ExperimentInput,
    id: &'static str,
    title: &str,
    caption: String,
    panels: Vec<Panel>,
    columns: usize,
) -> Option<Figure> {
    let panels: Vec<Panel> = panels.into_iter().filter(|p| p.curves.iter().any(|c| !c.points.is_empty())).collect();
    if panels.is_empty() {
        return None;
    }
    let looks = palette::looks(&input.arms);
    let most = panels.iter().map(|p| p.facet.arms.len()).max().unwrap_or(0);
    let label_size = if most > 10 { 10.5 } else { 11.5 };
    let gap = label_size + 2.5;
    let fit = |label: &String| font::fit(label, label_size, font::Weight::Regular, 220.0);
    let label_width = panels.iter().flat_map(|p| &p.facet.labels);
    let label_width =
        label_width.map(|label| font::width(&fit(label), label_size, font::Weight::Regular)).fold(0.0, f64::max);
    let rows = panels.iter().map(|p| p.cell.0).max().unwrap_or(0) + 1;
    let (panel_width, panel_height) = match columns {
        1 => (380.0, 200.0),
        2 => (300.0, 180.0),
        3 => (220.0, 165.0),
        _ => (180.0, 140.0),
    };
    let panel_height = f64::max(panel_height, most as f64 * gap + 4.0);
    let own_titles = panels.iter().any(|p| p.own_title);
    let (left, between, right) = (34.0, 40.0, label_width + 42.0);
    let width = left + columns as f64 * panel_width + (columns - 1) as f64 * between + right;
    let mut tops = vec![];
    let mut y = 0.0;
    for row in 0..rows {
        let of_row = || panels.iter().filter(|p| p.cell.0 == row);
        y += match (row, own_titles) {
            (0, true) => 24.0,
            (0, false) => 42.0,
            _ => 50.0,
        };
        // A block's title needs room above the headings, and more where another block ends above it.
        if of_row().any(|p| !p.block.is_empty()) {
            y += if row > 0 { 44.0 } else { 24.0 };
        }
        tops.push(y);
        y += panel_height;
    }
    let mut scene = Scene::new(width, y + 42.0);
    let mut table = Table::new(&TABLE);

    let steps = panels.iter().flat_map(|p| &p.curves).flat_map(|c| &c.points).map(|p| p.step as f64);
    let last_step = steps.fold(1.0, f64::max);
    let (_, x_ticks) = nice([0.0, last_step], if columns > 2 { 4 } else { 5 });
    for panel in &panels {
        let (row, column) = panel.cell;
        let x0 = left + column as f64 * (panel_width + between);
        let frame = [x0, tops[row], x0 + panel_width, tops[row] + panel_height];
        let last_of_row = !panels.iter().any(|p| p.cell.0 == row && p.cell.1 > column);
        let last_row = !panels.iter().any(|p| p.cell.1 == column && p.cell.0 > row);
        let unit = metric::Unit::of(panel.metric);
        let x = Scale { from: [0.0, last_step], to: [frame[0], frame[2]] };
        let alike = panels.iter().filter(|p| p.metric == panel.metric && p.benchmark == panel.benchmark);
        let shown = alike.flat_map(|p| {
            let ends = p.curves.iter().flat_map(|c| &c.points).flat_map(|p| [p.min, p.max]);
            ends.chain(p.bases.iter().flatten().copied()).chain(p.include.iter().copied())
        });
        let (range, ticks) = snug(shown.map(|v| unit.scale(v)), 5);
        let y = Scale { from: range, to: [frame[3], frame[1]] };
        let place = |step: u64, value: f64| (x.at(step as f64), y.at(unit.scale(value)));
        let index = scene.panels.len();
        let titled = column == 0 || panel.own_title;
        axes(&mut scene, panel, index, frame, unit, (&x, &x_ticks), (&y, &ticks), titled, last_row);
        let arms: Vec<(usize, &data::Curve, Option<f64>)> = (panel.facet.arms.iter().zip(&panel.curves))
            .zip(&panel.bases)
            .map(|((arm, curve), base)| (*arm, curve, *base))
            .collect();
        for (arm, curve, _) in &arms {
            band(&mut scene, curve, *arm, looks[*arm], index, place, arms.len());
        }
        for (arm, _, base) in &arms {
            if let Some(base) = base {
                let at = y.at(unit.scale(*base));
                let tip = format!("{}: {} before RL", input.arms[*arm].label, value_text(unit, *base));
                let points = vec![(frame[0], at), (frame[2], at)];
                let (color, dash) = (looks[*arm].color, &[2.5, 2.5][..]);
                scene.mark(*arm, Shape::Line { points, color, width: 1.1, dash, opacity: 0.75 }).tip(tip);
                table.push(row_of(&input.arms[*arm], panel, "before RL".into(), [Some(*base), None, None], 0));
            }
        }
        for (arm, curve, _) in &arms {
            line(&mut scene, curve, *arm, looks[*arm], index, place);
            for p in &curve.points {
                let numbers = [Some(p.mean), Some(p.min), Some(p.max)];
                table.push(row_of(&input.arms[*arm], panel, p.step.to_string(), numbers, p.n));
            }
            for seed in data::diverged(&input.results.trials, &input.arms[*arm]) {
                let ends = input.results.curves.iter().filter(|p| {
                    p.seed == seed && p.arm == input.arms[*arm].id && p.stage == "rl" && p.benchmark == panel.benchmark
                });
                if let Some(p) = ends.filter(|p| p.metric == panel.metric).max_by_key(|p| p.step) {
                    let tip = format!("{}: seed {seed} diverged", input.arms[*arm].label);
                    cross(&mut scene, *arm, looks[*arm], place(p.step, p.value), &tip);
                }
            }
        }
        if last_of_row {
            let ends: Vec<(usize, String, (f64, f64))> = (arms.iter().zip(&panel.facet.labels))
                .filter_map(|((arm, curve, _), label)| {
                    let end = curve.points.last()?;
                    Some((*arm, fit(label), place(end.step, end.mean)))
                })
                .collect();
            end_labels(&mut scene, &ends, &looks, frame, gap, label_size);
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
    index: usize,
    frame: [f64; 4],
    unit: metric::Unit,
    (x, x_ticks): (&Scale, &[f64]),
    (y, y_ticks): (&Scale, &[f64]),
    titled: bool,
    last_row: bool,
) {
    let [left, top, right, bottom] = frame;
    if !panel.block.is_empty() {
        let above = if panel.own_title { 30.0 } else { 50.0 };
        scene.text(left - 30.0, top - above, panel.block.clone(), style(13.5, palette::INK).bold());
    }
    if !panel.heading.is_empty() {
        let heading = font::fit(&panel.heading, body().size, font::Weight::Bold, right - left + 34.0);
        scene.text(left, top - 9.0, heading, body().bold()).tip(&panel.heading);
    }
    if titled {
        let name = metric::title(panel.metric);
        let text = match unit.value {
            "" => name,
            "%" => format!("{name} (%)"),
            word => format!("{name} ({word})"),
        };
        if panel.own_title {
            let text = font::fit(&text, body().size, font::Weight::Bold, right - left + 34.0);
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
        let item = scene.text(at, bottom + 15.5, fixed(tick, decimals), small().anchor(Anchor::Middle));
        (item.role, item.panel) = (Role::Tick, Some(index));
    }
    if last_row {
        let item = scene.text((left + right) / 2.0, bottom + 30.0, "RL step", small().anchor(Anchor::Middle));
        item.role = Role::AxisName;
    }
}

fn band(
    scene: &mut Scene,
    curve: &data::Curve,
    arm: usize,
    look: Look,
    panel: usize,
    place: impl Fn(u64, f64) -> (f64, f64),
    arms: usize,
) {
    // Bands of many arms are one grey cloud.
    if curve.seeds < 2 || arms > MOST_BANDS {
        return;
    }
    let opacity = if arms > 3 { 0.09 } else { 0.14 };
    for run in curve.points.chunk_by(|a, b| a.alive == b.alive).filter(|run| run.len() > 1 && run[0].alive > 1) {
        let upper = run.iter().map(|p| place(p.step, p.max));
        let lower = run.iter().rev().map(|p| place(p.step, p.min));
        let item = scene.mark(arm, Shape::Area { points: upper.chain(lower).collect(), fill: look.color, opacity });
        (item.role, item.panel) = (Role::Band, Some(panel));
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

fn end_labels(
    scene: &mut Scene,
    ends: &[(usize, String, (f64, f64))],
    looks: &[Look],
    frame: [f64; 4],
    gap: f64,
    size: f64,
) {
    let wanted: Vec<f64> = ends.iter().map(|(_, _, (_, y))| *y).collect();
    let placed = spread(&wanted, gap, frame[1] + 2.0, frame[3] - 2.0);
    for ((arm, label, (x, y)), at) in ends.iter().zip(placed) {
        let color = looks[*arm].color;
        let leader = vec![(*x + 2.0, *y), (frame[2] + 4.0, *y), (frame[2] + 13.0, at)];
        scene.mark(*arm, Shape::Line { points: leader, color, width: 0.8, dash: &[], opacity: 0.7 });
        // A sample of the line, so that a label names it even where two arms share a colour.
        let sample = vec![(frame[2] + 13.0, at), (frame[2] + 31.0, at)];
        scene.mark(*arm, Shape::Line { points: sample, color, width: 2.0, dash: looks[*arm].dash, opacity: 1.0 });
        let text = style(size, color.ink()).at(frame[2] + 36.0, at + size * 0.36, label.clone());
        scene.mark(*arm, text);
    }
}
