//! The claims and their verdicts, a row each.

use serde_json::Value;

use crate::report::figure::{Figure, small};
use crate::report::font::{self, Weight};
use crate::report::forest::estimate_tip;
use crate::report::metric::Unit;
use crate::report::palette::{self, Color};
use crate::report::scale::{Scale, nice, signed, tick_decimals};
use crate::report::scene::{Anchor, Item, Scene, Shape, style};
use crate::report::table::{Table, cell};
use crate::report::text;
use crate::verdict::{Direction, Judged, Verdict};

/// Each claim: the effect with its interval, the smallest effect that matters, the paper's effect, the verdict.
pub fn claims(judged: &[Judged]) -> Option<Figure> {
    if judged.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        "claim",
        "statement",
        "metric",
        "estimate",
        "low",
        "high",
        "smallest_effect",
        "paper_effect",
        "seeds",
        "verdict",
        "p_holm",
    ]);
    // One axis per unit: points of accuracy and tokens of length cannot share one.
    let mut units: Vec<(Unit, Vec<&Judged>)> = vec![];
    for j in judged {
        let unit = Unit::of(&j.claim.metric);
        match units.iter_mut().find(|(known, _)| known.difference == unit.difference) {
            Some((_, rows)) => rows.push(j),
            None => units.push((unit, vec![j])),
        }
    }
    let (left, plot, right) = (248.0, 270.0, 130.0);
    let (row_height, top, foot) = (50.0, 14.0, 46.0);
    let height = units.iter().map(|(_, rows)| top + rows.len() as f64 * row_height + foot).sum::<f64>();
    let mut scene = Scene::new(left + plot + right, height);
    let mut offset = 0.0;
    for (unit, rows) in &units {
        let (y0, y1) = (offset + top, offset + top + rows.len() as f64 * row_height);
        let values = rows.iter().flat_map(|j| {
            let e = j.comparison.estimate;
            let ends = e.into_iter().flat_map(|e| [Some(e.mean), e.low, e.high]).flatten();
            ends.chain(paper_effect(j)).chain(bounds(j)).map(|v| unit.scale(v)).collect::<Vec<_>>()
        });
        // An interval of two seeds is so wide that it would hide all others; what leaves the axis gets an arrow.
        let solid = rows.iter().flat_map(|j| {
            let e = j.comparison.estimate.map(|e| e.mean);
            e.into_iter().chain(paper_effect(j)).chain(bounds(j)).map(|v| unit.scale(v)).collect::<Vec<_>>()
        });
        let reach = solid.fold(0.0f64, |reach, v| reach.max(v.abs())) * 2.0;
        let limited = values.map(|v| if reach > 0.0 { v.clamp(-reach, reach) } else { v });
        let (range, ticks) = nice(limited.chain([0.0]), 5);
        let x = Scale { from: range, to: [left, left + plot] };
        for &tick in &ticks {
            let at = x.at(tick);
            let zero = tick.abs() < 1e-9;
            let (color, width) = if zero { (palette::FAINT, 1.2) } else { (palette::GRID, 0.8) };
            scene.line((at, y0), (at, y1), color, width);
            scene.text(at, y1 + 15.0, signed(tick, tick_decimals(&ticks)), small().anchor(Anchor::Middle));
        }
        let name = if unit.difference.is_empty() { "Effect".into() } else { format!("Effect ({})", unit.difference) };
        scene.text(left + plot / 2.0, y1 + 31.0, name, small().anchor(Anchor::Middle));
        if rows.iter().any(|j| paper_effect(j).is_some()) {
            diamond(&mut scene, left + plot + 25.0, y1 + 27.5);
            scene.text(left + plot + 35.0, y1 + 31.0, "the paper's effect", small());
        }
        for (row, j) in rows.iter().enumerate() {
            let y = y0 + (row as f64 + 0.5) * row_height;
            if row > 0 {
                let line = y - row_height / 2.0;
                scene.line((0.0, line), (left + plot + right, line), palette::GRID, 0.8);
            }
            claim_row(&mut scene, j, *unit, &x, y, left, left + plot);
            let e = j.comparison.estimate;
            table.push(vec![
                j.claim.claim.clone(),
                j.claim.statement.clone(),
                j.claim.metric.clone(),
                cell(e.map(|e| e.mean)),
                cell(e.and_then(|e| e.low)),
                cell(e.and_then(|e| e.high)),
                cell(j.claim.smallest_effect),
                cell(paper_effect(j)),
                j.comparison.n_seeds().to_string(),
                j.verdict.name().to_string(),
                cell(j.p_holm),
            ]);
        }
        offset += top + rows.len() as f64 * row_height + foot;
    }
    let confidence = judged.first().map_or(0.95, |j| j.claim.confidence);
    let caption = format!(
        "Dots are mean differences between the two sides of a claim, paired by seed; lines their {:.0}% intervals (Student's t \
         over seeds), with an arrow where they leave the axis. The tinted range is where the claim counts as large enough to \
         matter. Diamonds: the paper's effect, where it gives a number in the same unit. {} claims were fixed before the run; \
         verdicts are per claim, Holm-adjusted p-values are in the table.",
        confidence * 100.0,
        judged.len(),
    );
    Some(Figure { id: "claims", title: "The claims and their verdicts".into(), caption, scene, table })
}

fn claim_row(scene: &mut Scene, j: &Judged, unit: Unit, x: &Scale, y: f64, left: f64, right: f64) {
    let color = verdict_color(j.verdict.name());
    let lines = font::wrap(&j.claim.statement, 11.5, Weight::Regular, left - 20.0, 3);
    let first = y - (lines.len() as f64 - 1.0) * 7.0 + 4.0;
    for (index, line) in lines.iter().enumerate() {
        scene.text(2.0, first + index as f64 * 14.0, line.clone(), style(11.5, palette::INK)).tip(&j.claim.statement);
    }
    // Where the claim would count.
    let s = unit.scale(j.claim.smallest_effect);
    let tint = match j.claim.direction {
        Direction::Greater => [s, x.from[1]],
        Direction::Less => [x.from[0], -s],
        Direction::Same => [-s, s],
    };
    let [a, b] = tint.map(|v| x.at(v.clamp(x.from[0], x.from[1])));
    if b > a {
        let points = vec![(a, y - 17.0), (b, y - 17.0), (b, y + 17.0), (a, y + 17.0)];
        scene.add(Shape::Area { points, fill: Color(0x00, 0x72, 0xB2), opacity: 0.07 });
    }
    for edge in bounds(j) {
        let at = x.at(unit.scale(edge));
        scene.line((at, y - 17.0), (at, y + 17.0), palette::FAINT, 1.0);
    }
    if let Some(paper) = paper_effect(j) {
        let at = x.at(unit.scale(paper));
        diamond(scene, at, y + 9.0).tip(format!("the paper: {}", signed(unit.scale(paper), unit.decimals)));
    }
    if let Some(e) = j.comparison.estimate {
        let clamp = |v: f64| unit.scale(v).clamp(x.from[0], x.from[1]);
        if let (Some(low), Some(high)) = (e.low, e.high) {
            let (a, b) = (x.at(clamp(low)), x.at(clamp(high)));
            scene.line((a, y - 2.0), (b, y - 2.0), color, 2.2);
            for (end, cut, turn) in [(a, unit.scale(low) < x.from[0], -1.0), (b, unit.scale(high) > x.from[1], 1.0)] {
                if cut {
                    let points = vec![(end, y - 7.0), (end + turn * 7.0, y - 2.0), (end, y + 3.0)];
                    scene.add(Shape::Area { points, fill: color, opacity: 1.0 });
                }
            }
        }
        let tip = estimate_tip(unit, &e, true);
        let (fill, stroke) = match j.verdict {
            Verdict::Inconclusive { .. } => (palette::WHITE, Some((color, 2.0))),
            _ => (color, None),
        };
        scene.add(Shape::Circle { x: x.at(clamp(e.mean)), y: y - 2.0, r: 4.8, fill, stroke, opacity: 1.0 }).tip(tip);
    }
    let word = text::verdict(&j.verdict);
    scene.text(right + 20.0, y - 3.0, word, style(12.0, color.ink()).bold()).tip(&j.reason);
    let detail = match (&j.comparison.estimate, &j.verdict) {
        (None, _) => "no results".to_string(),
        (Some(e), Verdict::Inconclusive { seeds_needed: Some(n) }) => {
            format!("{}, {} of ~{n} seeds", signed(unit.scale(e.mean), unit.decimals), e.n)
        }
        (Some(e), _) => {
            format!("{}, {} seed{}", signed(unit.scale(e.mean), unit.decimals), e.n, if e.n == 1 { "" } else { "s" })
        }
    };
    scene.text(right + 20.0, y + 12.0, detail, small());
}

fn diamond(scene: &mut Scene, x: f64, y: f64) -> &mut Item {
    let r = 5.0;
    let points = vec![(x, y - r), (x + r, y), (x, y + r), (x - r, y), (x, y - r)];
    scene.add(Shape::Area { points: points.clone(), fill: palette::WHITE, opacity: 1.0 });
    scene.add(Shape::Line { points, color: palette::MUTED, width: 1.5, dash: &[], opacity: 1.0 })
}

/// The edges of the range in which a claim holds.
fn bounds(j: &Judged) -> Vec<f64> {
    let s = j.claim.smallest_effect;
    match j.claim.direction {
        Direction::Greater => vec![s],
        Direction::Less => vec![-s],
        Direction::Same => vec![-s, s],
    }
}

/// The paper's a − b in the metric's own unit, where it gives both numbers (or `effect`) in a unit that can be compared:
/// percentages with shares. Lengths are not: the paper's tokens are not those of another model.
pub fn paper_effect(j: &Judged) -> Option<f64> {
    paper_effect_of(&j.claim.metric, &j.claim.paper)
}

/// As [`paper_effect`], of a claim's metric and what it says of the paper.
pub fn paper_effect_of(metric: &str, paper: &Value) -> Option<f64> {
    if !Unit::of(metric).percent {
        return None;
    }
    let number = |key: &str| paper.get(key).and_then(Value::as_f64);
    let effect = number("effect").or_else(|| Some(number("a")? - number("b")?))?;
    let unit = paper.get("unit").and_then(Value::as_str).unwrap_or("").to_lowercase();
    let percent = unit.contains('%') || unit.contains("percent") || unit.contains("point");
    // Tokens of a response are no share, whatever the claim's own metric is.
    if unit.contains("token") && !percent || unit.contains("tokens of") {
        return None;
    }
    Some(if percent { effect / 100.0 } else { effect })
}

/// By the verdict's name, as in `verdicts.json`.
pub fn verdict_color(name: &str) -> Color {
    match name {
        "supported" => Color(0x00, 0x7F, 0x5C),
        "refuted" => Color(0xC4, 0x4E, 0x00),
        "inconclusive" => Color(0x5F, 0x66, 0x6E),
        _ => Color(0x9A, 0xA0, 0xA6),
    }
}
