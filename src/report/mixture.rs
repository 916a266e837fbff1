//! What each arm read: the mixture of every training stage, drawn to its budget.
//!
//! Bars are as long as the stage's tokens, so that arms that differ in budget look different; colours are corpora. Arms whose
//! stages are identical share a bar. Shares are printed where they fit and are in the table in any case.

use crate::report::figure::{Figure, body, small};
use crate::report::font::{self, Weight};
use crate::report::scale::{amount, fixed};
use crate::report::scene::{Anchor, Scene, Shape, style};
use crate::report::table::{Table, cell};
use crate::report::{ExperimentInput, MixtureRow, palette};

/// A stage of one or more arms.
struct Bar<'a> {
    arms: Vec<&'a str>,
    stage: &'a str,
    tokens: u64,
    parts: Vec<(&'a str, f64)>,
}

const BAR: f64 = 17.0;
const ROW: f64 = 29.0;
const PLOT: f64 = 380.0;

pub fn mixtures(input: &ExperimentInput) -> Option<Figure> {
    let bars = bars(input);
    let longest = bars.iter().map(|bar| bar.tokens).max()? as f64;
    let mut corpora: Vec<&str> = vec![];
    for (corpus, _) in bars.iter().flat_map(|bar| &bar.parts) {
        if !corpora.contains(corpus) {
            corpora.push(corpus);
        }
    }
    let label = |bar: &Bar| {
        let names: Vec<&str> = bar.arms.iter().map(|id| name(input, id)).collect();
        let text = match names.as_slice() {
            names if names.len() == input.arms.len() && names.len() > 1 => "all arms".to_string(),
            [first, second] => format!("{first}, {second}"),
            [first, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len()),
            names => names.join(", "),
        };
        font::fit(&text, 11.5, Weight::Regular, 230.0)
    };
    let stage_width = bars.iter().map(|bar| small().width(bar.stage)).fold(0.0, f64::max);
    let label_width = bars.iter().map(|bar| style(11.5, palette::INK).width(&label(bar))).fold(0.0, f64::max);
    let left = label_width + 12.0 + stage_width + 12.0;

    // The key: corpora as coloured squares with names, wrapped.
    let width = left + PLOT + 62.0;
    let (mut x, mut line) = (0.0, 0);
    let key: Vec<(f64, f64, &str)> = corpora
        .iter()
        .map(|corpus| {
            let need = 18.0 + small().width(corpus) + 18.0;
            if x > 0.0 && x + need > width {
                (x, line) = (0.0, line + 1);
            }
            let at = (x, 4.0 + line as f64 * 18.0, *corpus);
            x += need;
            at
        })
        .collect();
    let top = 4.0 + (line + 1) as f64 * 18.0 + 12.0;
    let mut scene = Scene::new(width, top + bars.len() as f64 * ROW + 2.0);
    for (index, (x, y, corpus)) in key.iter().enumerate() {
        square(&mut scene, *x, *y, 11.0, 11.0, index);
        scene.text(x + 16.0, y + 9.5, *corpus, small().color(palette::INK));
    }
    let mut table = Table::new(&["arms", "stage", "tokens", "corpus", "share", "corpus_tokens"]);
    let mut last_label = String::new();
    for (row, bar) in bars.iter().enumerate() {
        let y = top + row as f64 * ROW;
        let text = label(bar);
        if text != last_label {
            scene
                .text(0.0, y + 12.5, text.clone(), style(11.5, palette::INK))
                .tip(bar.arms.iter().map(|id| name(input, id)).collect::<Vec<_>>().join(", "));
            if row > 0 {
                scene.line((0.0, y - 6.0), (width, y - 6.0), palette::GRID, 0.8);
            }
            last_label = text;
        }
        scene.text(left - 12.0, y + 12.5, bar.stage, small().anchor(Anchor::End));
        let length = (bar.tokens as f64 / longest * PLOT).max(2.0);
        let mut x = left;
        for (corpus, share) in &bar.parts {
            let part = share * length;
            let index = corpora.iter().position(|c| c == corpus).unwrap_or(0);
            square(&mut scene, x, y, part, BAR, index).tip(format!("{corpus}: {} %", fixed(share * 100.0, 2)));
            let text = percent(*share);
            if small().bold().width(&text) + 4.0 < part {
                let ink =
                    if index % 8 == 4 || index % 8 == 5 || index % 8 == 3 { palette::INK } else { palette::WHITE };
                scene.text(x + part / 2.0, y + 12.3, text, small().bold().color(ink).anchor(Anchor::Middle));
            }
            x += part;
            let row = [cell(*share), cell(share * bar.tokens as f64)];
            let [share, tokens] = row;
            table.push(vec![
                bar.arms.join(" "),
                bar.stage.into(),
                bar.tokens.to_string(),
                corpus.to_string(),
                share,
                tokens,
            ]);
        }
        scene.text(left + length + 7.0, y + 12.5, amount(bar.tokens as f64), body().bold());
    }
    let caption =
        "Training stages before RL: bars are as long as the stage's tokens, parts are shares of corpora (percent). \
                   Stages that several arms share are drawn once."
            .to_string();
    Some(Figure { id: "mixtures", title: "What each arm was trained on".into(), caption, scene, table })
}

fn percent(share: f64) -> String {
    let value = share * 100.0;
    let decimals = if (value - value.round()).abs() < 0.005 {
        0
    } else if (value * 10.0 - (value * 10.0).round()).abs() < 0.05 {
        1
    } else {
        2
    };
    fixed(value, decimals)
}

fn name<'a>(input: &'a ExperimentInput, id: &'a str) -> &'a str {
    input.arms.iter().find(|arm| arm.id == id).map_or(id, |arm| arm.label.as_str())
}

/// A rectangle in a corpus's colour, with a hair of white to its right so that neighbours stay apart.
fn square(
    scene: &mut Scene,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    corpus: usize,
) -> &mut crate::report::scene::Item {
    let right = x + (width - 0.8).max(0.4);
    let points = vec![(x, y), (right, y), (right, y + height), (x, y + height)];
    let opacity = if corpus >= 8 { 0.55 } else { 0.92 };
    scene.add(Shape::Area { points, fill: palette::wheel(corpus), opacity })
}

fn bars(input: &ExperimentInput) -> Vec<Bar<'_>> {
    let mut bars: Vec<Bar> = vec![];
    let mut seen: Vec<(&str, &str)> = vec![];
    for row in &input.mixtures {
        if seen.contains(&(&row.arm, &row.stage)) {
            continue;
        }
        seen.push((&row.arm, &row.stage));
        let stage: Vec<&MixtureRow> =
            input.mixtures.iter().filter(|r| r.arm == row.arm && r.stage == row.stage).collect();
        let parts: Vec<(&str, f64)> = stage.iter().map(|r| (r.corpus.as_str(), r.share)).collect();
        match bars.iter_mut().find(|bar| bar.stage == row.stage && bar.tokens == row.tokens && bar.parts == parts) {
            Some(bar) => bar.arms.push(&row.arm),
            None => bars.push(Bar { arms: vec![&row.arm], stage: &row.stage, tokens: row.tokens, parts }),
        }
    }
    // What most arms share comes first, then arm by arm.
    bars.sort_by_key(|bar| std::cmp::Reverse(bar.arms.len() > 1));
    bars
}
