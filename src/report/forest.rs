//! Figures with a row per arm: dots and intervals against one axis.

use crate::report::figure::{Figure, body, small};
use crate::report::font::{self, Weight};
use crate::report::grid::value_text;
use crate::report::metric::{self, Unit};
use crate::report::palette::{self, Color};
use crate::report::scale::{Scale, fixed, signed, snug, tick_decimals};
use crate::report::scene::{Anchor, Item, Scene, Shape};
use crate::report::table::{Table, cell};
use crate::report::{ExperimentInput, data};
use crate::verdict::Estimate;

/// A value per seed.
type Seeds = Vec<(u64, f64)>;

/// Of the intervals drawn per arm; claims have their own.
const CONFIDENCE: f64 = 0.95;

/// Where each arm was before RL and where it is after.
pub fn final_accuracy(input: &ExperimentInput, id: &'static str, metric: &str) -> Option<Figure> {
    let benchmark = data::headline(input)?;
    let unit = Unit::of(metric);
    let imported = data::imported(input);
    let mut table = Table::new(&["arm", "label", "seeds", "before", "after", "low", "high", "values"]);
    let rows: Vec<(usize, Option<f64>, Estimate, Seeds)> = (0..input.arms.len())
        .filter_map(|arm| {
            let id = &input.arms[arm].id;
            let after = data::values(&input.results.trials, id, &format!("rl.{metric}/{benchmark}"));
            let before = data::values(&input.results.trials, id, &format!("rl0.{metric}/{benchmark}"));
            let mean = |v: &[(u64, f64)]| (!v.is_empty()).then(|| v.iter().map(|p| p.1).sum::<f64>() / v.len() as f64);
            let mut estimate = Estimate::of(&after.iter().map(|p| p.1).collect::<Vec<_>>(), CONFIDENCE)?;
            if imported {
                (estimate.low, estimate.high) = (None, None);
            }
            Some((arm, mean(&before), clamp_share(estimate, unit), after))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let looks = palette::looks(&input.arms);
    let values = rows.iter().flat_map(|(_, before, e, seeds)| {
        [Some(e.mean), e.low, e.high, *before].into_iter().flatten().chain(seeds.iter().map(|p| p.1))
    });
    let (range, ticks) = snug(values.map(|v| unit.scale(v)).chain([0.0]), 6);
    let mut frame = Rows::new(input, rows.iter().map(|r| r.0), 46.0, true);
    frame.axis(range, &ticks, &format!("{} ({})", metric::title(metric), unit.value), None);
    for (row, (arm, before, e, seeds)) in rows.iter().enumerate() {
        let (y, look) = (frame.y(row), looks[*arm]);
        let x = |v: f64| frame.x.at(unit.scale(v));
        if let Some(before) = before {
            let points = vec![(x(*before), y), (x(e.mean), y)];
            let (color, dash) = (look.color, &[2.5, 2.5][..]);
            frame.scene.mark(*arm, Shape::Line { points, color, width: 1.1, dash, opacity: 0.8 });
        }
        interval(&mut frame.scene, *arm, look.color, y, e.low.map(x), e.high.map(x));
        for (_, value) in seeds {
            dot(&mut frame.scene, *arm, x(*value), y + 6.5, 1.9, look.color, None, 0.65);
        }
        if let Some(before) = before {
            let tip = format!("before RL: {}", value_text(unit, *before));
            dot(&mut frame.scene, *arm, x(*before), y, 3.6, palette::WHITE, Some((look.color, 1.6)), 1.0).tip(tip);
        }
        dot(&mut frame.scene, *arm, x(e.mean), y, 4.6, look.color, None, 1.0).tip(estimate_tip(unit, e, false));
        frame.number(row, *arm, fixed(unit.scale(e.mean), unit.decimals), look.color);
        let listed = seeds.iter().map(|(seed, v)| format!("{seed}:{v}")).collect::<Vec<_>>().join(" ");
        let (id, label) = (input.arms[*arm].id.clone(), input.arms[*arm].label.clone());
        table.push(vec![id, label, e.n.to_string(), cell(*before), cell(e.mean), cell(e.low), cell(e.high), listed]);
    }
    let caption = format!(
        "{} on {}: open circles before RL, filled circles after (mean over seeds), small dots the seeds themselves{}.",
        metric::title(metric),
        benchmark_phrase(&benchmark),
        interval_note(imported),
    );
    let title = match metric {
        "accuracy" => "Before and after RL, greedy",
        _ => "Before and after RL, sampled",
    };
    Some(Figure { id, title: title.into(), caption, scene: frame.scene, table })
}

/// What RL adds to each arm.
pub fn gains(input: &ExperimentInput, metric: &str) -> Option<Figure> {
    let benchmark = data::headline(input)?;
    let unit = Unit::of(metric);
    let imported = data::imported(input);
    let mut table = Table::new(&["arm", "label", "seeds", "gain", "low", "high", "values"]);
    let rows: Vec<(usize, Estimate, Seeds)> = (0..input.arms.len())
        .filter_map(|arm| {
            let seeds = data::values(&input.results.trials, &input.arms[arm].id, &format!("gain.{metric}/{benchmark}"));
            let mut estimate = Estimate::of(&seeds.iter().map(|p| p.1).collect::<Vec<_>>(), CONFIDENCE)?;
            if imported {
                (estimate.low, estimate.high) = (None, None);
            }
            Some((arm, estimate, seeds))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let looks = palette::looks(&input.arms);
    let values = rows
        .iter()
        .flat_map(|(_, e, seeds)| [Some(e.mean), e.low, e.high].into_iter().flatten().chain(seeds.iter().map(|p| p.1)));
    let (range, ticks) = snug(values.map(|v| unit.scale(v)).chain([0.0]), 6);
    let mut frame = Rows::new(input, rows.iter().map(|r| r.0), 46.0, true);
    frame.axis(range, &ticks, &format!("Gain by RL ({})", unit.difference), Some(0.0));
    for (row, (arm, e, seeds)) in rows.iter().enumerate() {
        let (y, look) = (frame.y(row), looks[*arm]);
        let x = |v: f64| frame.x.at(unit.scale(v));
        interval(&mut frame.scene, *arm, look.color, y, e.low.map(x), e.high.map(x));
        for (_, value) in seeds {
            dot(&mut frame.scene, *arm, x(*value), y + 6.5, 1.9, look.color, None, 0.65);
        }
        dot(&mut frame.scene, *arm, x(e.mean), y, 4.6, look.color, None, 1.0).tip(estimate_tip(unit, e, true));
        frame.number(row, *arm, signed(unit.scale(e.mean), unit.decimals), look.color);
        let listed = seeds.iter().map(|(seed, v)| format!("{seed}:{v}")).collect::<Vec<_>>().join(" ");
        let (id, label) = (input.arms[*arm].id.clone(), input.arms[*arm].label.clone());
        table.push(vec![id, label, e.n.to_string(), cell(e.mean), cell(e.low), cell(e.high), listed]);
    }
    let caption = format!(
        "{} on {} after RL minus before, paired by seed; small dots are seeds{}.",
        metric::title(metric),
        benchmark_phrase(&benchmark),
        interval_note(imported),
    );
    Some(Figure { id: "gain", title: "What RL adds".into(), caption, scene: frame.scene, table })
}

/// How far each arm ended below its own best evaluation.
pub fn falls(input: &ExperimentInput, metric: &str) -> Option<Figure> {
    let benchmark = data::headline(input)?;
    let unit = Unit::of(metric);
    let mut table = Table::new(&["arm", "label", "seed", "best", "best_step", "end", "fall", "collapsed"]);
    let rows: Vec<(usize, Vec<data::Fall>)> = (0..input.arms.len())
        .map(|arm| (arm, data::falls(&input.results.curves, &input.arms[arm].id, &benchmark, metric)))
        .filter(|(_, falls)| !falls.is_empty())
        .collect();
    if rows.is_empty() {
        return None;
    }
    let looks = palette::looks(&input.arms);
    let values = rows.iter().flat_map(|(_, falls)| falls.iter().map(|fall| unit.scale(fall.depth())));
    let (range, ticks) = snug(values.chain([0.0, 10.0]), 6);
    let mut frame = Rows::new(input, rows.iter().map(|r| r.0), 46.0, true);
    frame.axis(range, &ticks, &format!("Fall from the best evaluation to the end ({})", unit.difference), None);
    for (row, (arm, falls)) in rows.iter().enumerate() {
        let (y, look) = (frame.y(row), looks[*arm]);
        for fall in falls {
            let (fill, stroke) =
                if fall.collapsed() { (look.color, None) } else { (palette::WHITE, Some((look.color, 1.4))) };
            let tip = format!(
                "seed {}: best {} at step {}, end {}",
                fall.seed,
                value_text(unit, fall.best),
                fall.best_step,
                value_text(unit, fall.end)
            );
            let at = frame.x.at(unit.scale(fall.depth()));
            dot(&mut frame.scene, *arm, at, y, 3.8, fill, stroke, 0.9).tip(tip);
            table.push(vec![
                input.arms[*arm].id.clone(),
                input.arms[*arm].label.clone(),
                fall.seed.to_string(),
                cell(fall.best),
                fall.best_step.to_string(),
                cell(fall.end),
                cell(fall.depth()),
                fall.collapsed().to_string(),
            ]);
        }
        let collapsed = falls.iter().filter(|fall| fall.collapsed()).count();
        frame.number(row, *arm, format!("{collapsed} of {}", falls.len()), look.color);
    }
    let caption = format!(
        "A dot per seed: {} on {} at its best evaluation minus at the end. Filled, and counted on the right: collapsed, that is at \
         least 10 points and a quarter of its best lost.",
        metric::title(metric).to_lowercase(),
        benchmark_phrase(&benchmark),
    );
    Some(Figure { id: "collapse", title: "Who collapsed".into(), caption, scene: frame.scene, table })
}

/// A share's interval cannot leave 0 to 1, though t does not know.
fn clamp_share(e: Estimate, unit: Unit) -> Estimate {
    if !unit.percent {
        return e;
    }
    Estimate { low: e.low.map(|v| v.max(0.0)), high: e.high.map(|v| v.min(1.0)), ..e }
}

pub fn estimate_tip(unit: Unit, e: &Estimate, difference: bool) -> String {
    let text = |v: f64| {
        let v = unit.scale(v);
        if difference { signed(v, unit.decimals) } else { fixed(v, unit.decimals) }
    };
    let unit = if difference { unit.difference } else { unit.value };
    let seeds = format!("{} seed{}", e.n, if e.n == 1 { "" } else { "s" });
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{} {unit} [{}, {}], {seeds}", text(e.mean), text(low), text(high)),
        _ => format!("{} {unit}, {seeds}", text(e.mean)),
    }
}

fn benchmark_phrase(benchmark: &str) -> String {
    if benchmark == "all" { "all benchmarks (equal weights)".into() } else { metric::benchmark(benchmark) }
}

fn interval_note(imported: bool) -> &'static str {
    if imported { "; imported runs, so no intervals" } else { "; lines are 95% intervals (Student's t over seeds)" }
}

fn interval(scene: &mut Scene, arm: usize, color: Color, y: f64, low: Option<f64>, high: Option<f64>) {
    if let (Some(low), Some(high)) = (low, high) {
        let points = vec![(low, y), (high, y)];
        scene.mark(arm, Shape::Line { points, color, width: 2.0, dash: &[], opacity: 1.0 });
    }
}

#[allow(clippy::too_many_arguments)]
fn dot(
    scene: &mut Scene,
    arm: usize,
    x: f64,
    y: f64,
    r: f64,
    fill: Color,
    stroke: Option<(Color, f64)>,
    opacity: f64,
) -> &mut Item {
    scene.mark(arm, Shape::Circle { x, y, r, fill, stroke, opacity })
}

/// A frame with a named row per arm.
struct Rows {
    scene: Scene,
    x: Scale,
    top: f64,
    bottom: f64,
    left: f64,
    right: f64,
}

const ROW: f64 = 25.0;
const PLOT: f64 = 300.0;

impl Rows {
    fn new(input: &ExperimentInput, arms: impl Iterator<Item = usize>, number: f64, named: bool) -> Rows {
        let arms: Vec<usize> = arms.collect();
        let looks = palette::looks(&input.arms);
        let labels: Vec<String> =
            arms.iter().map(|&arm| font::fit(&input.arms[arm].label, body().size, Weight::Regular, 230.0)).collect();
        let widest = labels.iter().map(|label| body().width(label)).fold(0.0, f64::max);
        let left = if named { widest + 14.0 } else { 14.0 };
        let (top, bottom) = (6.0, 6.0 + arms.len() as f64 * ROW);
        let mut scene = Scene::new(left + PLOT + number + 6.0, bottom + 40.0);
        for (row, (arm, label)) in arms.iter().zip(&labels).enumerate() {
            let y = top + (row as f64 + 0.5) * ROW;
            let text =
                body().color(looks[*arm].color.ink()).anchor(Anchor::End).at(left - 10.0, y + 4.2, label.clone());
            scene.mark(*arm, text);
        }
        Rows { scene, x: Scale { from: [0.0, 1.0], to: [left, left + PLOT] }, top, bottom, left, right: left + PLOT }
    }

    fn axis(&mut self, range: [f64; 2], ticks: &[f64], name: &str, zero: Option<f64>) {
        self.x.from = range;
        for &tick in ticks {
            let at = self.x.at(tick);
            let strong = zero.is_some_and(|zero| (tick - zero).abs() < 1e-9);
            let (color, width) = if strong { (palette::FAINT, 1.2) } else { (palette::GRID, 0.8) };
            self.scene.items.insert(
                0,
                Item {
                    shape: Shape::Line {
                        points: vec![(at, self.top), (at, self.bottom)],
                        color,
                        width,
                        dash: &[],
                        opacity: 1.0,
                    },
                    role: Default::default(),
                    series: None,
                    panel: None,
                    tip: None,
                },
            );
            let text =
                if zero.is_some() { signed(tick, tick_decimals(ticks)) } else { fixed(tick, tick_decimals(ticks)) };
            self.scene.text(at, self.bottom + 15.0, text, small().anchor(Anchor::Middle));
        }
        self.scene.text((self.left + self.right) / 2.0, self.bottom + 31.0, name, small().anchor(Anchor::Middle));
    }

    fn y(&self, row: usize) -> f64 {
        self.top + (row as f64 + 0.5) * ROW
    }

    fn number(&mut self, row: usize, arm: usize, text: String, color: Color) {
        let y = self.y(row) + 4.2;
        let shape = body().bold().color(color.ink()).anchor(Anchor::End).at(self.right + 46.0, y, text);
        self.scene.mark(arm, shape);
    }
}
