//! The paper's findings with the claims that test them, in one picture, and each claim's effect as a small one for a table cell.

use serde_json::Value;

use crate::report::claims::{paper_effect_of, verdict_color};
use crate::report::figure::small;
use crate::report::font::{self, Weight};
use crate::report::metric::Unit;
use crate::report::palette::{self, Color};
use crate::report::scale::{Scale, nice, signed, tick_decimals};
use crate::report::scene::{Anchor, Scene, Shape, style};
use crate::report::text;

/// A finding of the paper with the claims that speak to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance<'a> {
    pub title: String,
    pub paper: String,
    /// Name, the report it is judged in (relative path), and its verdict; `None` where it was not run.
    pub claims: Vec<(String, Option<(&'a str, &'a Value)>)>,
}

impl Glance<'_> {
    /// `2 of 3 claims supported, 1 inconclusive`.
    pub fn tally(&self) -> String {
        let name =
            |(_, found): &(String, Option<(&str, &Value)>)| found.map_or("not-run", |(_, v)| word(v)).to_string();
        let names: Vec<String> = self.claims.iter().map(name).collect();
        let count = |name: &str| names.iter().filter(|n| *n == name).count();
        let mut out = format!("{} of {} claims supported", count("supported"), names.len());
        for (name, text) in [("refuted", "refuted"), ("inconclusive", "inconclusive"), ("not-run", "not run")] {
            if count(name) > 0 {
                out += &format!(", {} {text}", count(name));
            }
        }
        out
    }
}

pub fn word(verdict: &Value) -> &str {
    verdict["verdict"].as_str().unwrap_or("not-run")
}

/// `+18.4 points [+15.9, +20.9]`, or a dash.
pub fn effect(v: &Value) -> String {
    let Some(mean) = v["estimate"].as_f64() else { return "–".into() };
    let interval = v["low"].as_f64().zip(v["high"].as_f64());
    text::effect_text(unit(v), mean, interval)
}

fn unit(v: &Value) -> Unit {
    Unit::of(v["metric"].as_str().unwrap_or(""))
}

/// The axis, in percentage points, that shows all effects which are shares; none if there are none.
pub fn axis<'a>(verdicts: impl IntoIterator<Item = &'a Value>) -> Option<([f64; 2], Vec<f64>)> {
    let shares: Vec<&Value> = verdicts.into_iter().filter(|v| unit(v).percent && v["estimate"].is_number()).collect();
    let solid = shares.iter().flat_map(|v| {
        let smallest = v["smallest_effect"].as_f64();
        [v["estimate"].as_f64(), paper_effect_of(v["metric"].as_str().unwrap_or(""), &v["paper"]), smallest]
    });
    let solid: Vec<f64> = solid.flatten().map(|e| e * 100.0).collect();
    if solid.is_empty() {
        return None;
    }
    // Wide intervals of few seeds would hide all others; what leaves the axis gets an arrow.
    let reach = solid.iter().fold(0.0f64, |reach, v| reach.max(v.abs())) * 1.25;
    let ends = shares.iter().flat_map(|v| [v["low"].as_f64(), v["high"].as_f64()]).flatten();
    let ends = ends.map(|e| (e * 100.0).clamp(-reach, reach));
    Some(nice(ends.chain(solid.iter().copied()).chain([0.0]).collect::<Vec<_>>(), 6))
}

/// The effect of one claim, for a table cell.
pub fn spark(v: &Value, range: [f64; 2]) -> Option<Scene> {
    if !unit(v).percent || !v["estimate"].is_number() {
        return None;
    }
    let mut scene = Scene::new(172.0, 28.0);
    let x = Scale { from: range, to: [6.0, 166.0] };
    scene.line((x.at(0.0), 1.0), (x.at(0.0), 27.0), palette::FAINT, 1.0);
    mark(&mut scene, v, &x, 14.0, 11.0);
    Some(scene)
}

/// Interval, estimate, the paper's effect, and the range in which the claim counts.
fn mark(scene: &mut Scene, v: &Value, x: &Scale, y: f64, half: f64) {
    let Some(mean) = v["estimate"].as_f64() else { return };
    let color = verdict_color(word(v));
    let at = |share: f64| x.at((share * 100.0).clamp(x.from[0], x.from[1]));
    let s = v["smallest_effect"].as_f64().unwrap_or(0.0);
    let (from, to) = match v["direction"].as_str() {
        Some("less") => (x.to[0], at(-s)),
        Some("same") => (at(-s), at(s)),
        _ => (at(s), x.to[1]),
    };
    if to > from {
        let points = vec![(from, y - half), (to, y - half), (to, y + half), (from, y + half)];
        scene.add(Shape::Area { points, fill: Color(0x00, 0x72, 0xB2), opacity: 0.09 });
    }
    if let (Some(low), Some(high)) = (v["low"].as_f64(), v["high"].as_f64()) {
        scene.line((at(low), y), (at(high), y), color, 2.0);
        for (end, turn) in [(low, -1.0), (high, 1.0)] {
            if !(x.from[0]..=x.from[1]).contains(&(end * 100.0)) {
                let tip = at(end);
                let points = vec![(tip, y - 4.0), (tip + turn * 5.0, y), (tip, y + 4.0)];
                scene.add(Shape::Area { points, fill: color, opacity: 1.0 });
            }
        }
    }
    if let Some(paper) = paper_effect_of(v["metric"].as_str().unwrap_or(""), &v["paper"]) {
        let (px, r) = (at(paper), 4.0);
        let points = vec![(px, y - r), (px + r, y), (px, y + r), (px - r, y), (px, y - r)];
        scene.add(Shape::Area { points: points.clone(), fill: palette::WHITE, opacity: 1.0 });
        let tip = format!("the paper: {}", signed(paper * 100.0, 1));
        let line = Shape::Line { points, color: palette::MUTED, width: 1.4, dash: &[], opacity: 1.0 };
        scene.add(line).tip(tip);
    }
    let (fill, stroke) = if word(v) == "inconclusive" { (palette::WHITE, Some((color, 1.8))) } else { (color, None) };
    scene.add(Shape::Circle { x: at(mean), y, r: 4.2, fill, stroke, opacity: 1.0 }).tip(effect(v));
}

const LEFT: f64 = 330.0;
const PLOT: f64 = 300.0;
const RIGHT: f64 = 210.0;
const ROW: f64 = 34.0;

/// All findings in one picture. `None` without any.
pub fn picture(findings: &[Glance]) -> Option<Scene> {
    if findings.is_empty() {
        return None;
    }
    let all = || findings.iter().flat_map(|f| &f.claims).filter_map(|(_, found)| found.map(|(_, v)| v));
    let (range, ticks) = axis(all()).unwrap_or_else(|| nice([-10.0, 10.0], 4));
    let rows: usize = findings.iter().map(|f| f.claims.len()).sum();
    let height = findings.len() as f64 * 40.0 + rows as f64 * ROW + 46.0;
    let mut scene = Scene::new(LEFT + PLOT + RIGHT, height);
    let x = Scale { from: range, to: [LEFT, LEFT + PLOT] };
    let mut y = 0.0;
    for (number, finding) in findings.iter().enumerate() {
        let title = format!("{}  {}", number + 1, finding.title);
        let title = font::fit(&title, 13.5, Weight::Bold, LEFT + PLOT + RIGHT - 8.0);
        scene.text(2.0, y + 26.0, title, style(13.5, palette::INK).bold()).tip(&finding.paper);
        y += 40.0;
        for &tick in &ticks {
            let color = if tick.abs() < 1e-9 { palette::FAINT } else { palette::GRID };
            let bottom = y + finding.claims.len() as f64 * ROW;
            scene.line((x.at(tick), y - 4.0), (x.at(tick), bottom - 4.0), color, 1.0);
        }
        for (name, found) in &finding.claims {
            let middle = y + ROW / 2.0 - 4.0;
            let statement = found.map_or(name.as_str(), |(_, v)| v["statement"].as_str().unwrap_or(name));
            let lines = font::wrap(statement, 11.5, Weight::Regular, LEFT - 24.0, 2);
            let first = middle - (lines.len() as f64 - 1.0) * 7.0 + 4.0;
            for (index, line) in lines.iter().enumerate() {
                scene.text(2.0, first + index as f64 * 14.0, line.clone(), style(11.5, palette::INK)).tip(statement);
            }
            let (word, detail) = match found {
                Some((_, v)) if v["estimate"].is_number() => {
                    if unit(v).percent {
                        mark(&mut scene, v, &x, middle, 12.0);
                    }
                    let seeds = v["n_seeds"].as_u64().unwrap_or(0);
                    (word(v), format!("{}, {seeds} seeds", effect(v)))
                }
                _ => ("not-run", "no results yet".to_string()),
            };
            let ink = verdict_color(word).ink();
            scene.text(LEFT + PLOT + 16.0, middle - 3.0, word.replace('-', " "), style(11.5, ink).bold());
            let detail = font::fit(&detail, 10.5, Weight::Regular, RIGHT - 18.0);
            scene.text(LEFT + PLOT + 16.0, middle + 11.0, detail, small());
            y += ROW;
        }
    }
    for &tick in &ticks {
        scene.text(x.at(tick), y + 8.0, signed(tick, tick_decimals(&ticks)), small().anchor(Anchor::Middle));
    }
    let axis = "Effect (points), with its interval; tinted: large enough to matter; diamond: the paper's";
    scene.text(LEFT + PLOT / 2.0, y + 26.0, axis, small().anchor(Anchor::Middle));
    Some(scene)
}
