//! `index.html`: the report as one file that opens offline. Drawings are inline SVG, numbers are embedded JSON, and a short
//! script (`page.js`) shows values, hides arms, smooths curves and hands out tables. Without scripts it reads as it stands.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;

use crate::report::metric;
use crate::report::palette;
use crate::report::{ExperimentInput, Report, claims, font, text};
use crate::verdict::Judged;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of one experiment in one lab.
pub fn page(input: &ExperimentInput, report: &Report) -> String {
    let looks = palette::looks(&input.arms);
    let title = format!("{} · {}", input.name, input.lab);
    let body = html! {
        header {
            p.kicker { a href="../../index.html" { "Reports" } " / " (input.name) " / " (input.lab) }
            h1 { @if input.question.is_empty() { (title) } @else { (input.question) } }
            @for note in text::notes(input) { p.note { (note) } }
        }
        @if !report.judged.is_empty() {
            section {
                h2 { "Findings" }
                p { (text::tally(&report.judged)) @if !input.paper.is_empty() { " The paper: " (input.paper) } }
                (findings(&report.judged))
            }
        }
        @if report.figures.iter().any(|f| !f.scene.panels.is_empty()) {
            div.controls {
                div.chips {
                    @for (index, arm) in input.arms.iter().enumerate() {
                        button.chip data-arm=(index) aria-pressed="true" title="show or hide" {
                            (swatch(looks[index])) (arm.label)
                        }
                    }
                }
                label.smooth { "Smoothing " input #smooth type="range" min="0" max="0.95" step="0.05" value="0"; output { "off" } }
            }
        }
        @for figure in &report.figures {
            section.figure id=(figure.id) {
                h2 { (figure.title) }
                figure {
                    (PreEscaped(figure.svg()))
                    figcaption { (figure.caption) }
                }
                details data-table=(figure.id) { summary { "Numbers" } }
            }
        }
        @if !input.methods.is_empty() {
            section.prose {
                h2 { "Methods" }
                @for block in text::blocks(&input.methods) {
                    @match block {
                        text::Block::Paragraph(words) => p { (words) },
                        text::Block::List(items) => ul { @for item in items { li { (item) } } },
                    }
                }
            }
        }
        section.prose {
            h2 { "How the verdicts are made" }
            @for paragraph in text::statistics(&report.judged) { p { (paragraph) } }
        }
        script #data type="application/json" { (PreEscaped(data(input, report))) }
        script { (PreEscaped(SCRIPT)) }
    };
    document(&title, body)
}

/// The frame of every page, self-contained.
pub fn document(title: &str, body: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="ablate";
                title { (title) }
                style { (PreEscaped(fonts())) (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    }
    .into_string()
}

pub fn pill(verdict: &str, word: &str) -> Markup {
    html! { span class={ "pill " (verdict) } { (word) } }
}

fn findings(judged: &[Judged]) -> Markup {
    html! {
        table.findings {
            thead { tr { th { "Claim" } th { "Verdict" } th { "Effect" } th { "Seeds" } th { "The paper" } } }
            tbody {
                @for j in judged {
                    tr {
                        td {
                            (j.claim.statement)
                            details { summary { "why" } p { (reason(j)) } }
                        }
                        td { (pill(j.verdict.name(), text::verdict(&j.verdict))) }
                        td.number { (text::effect(j)) @if let Some(paper) = claims::paper_effect(j) {
                            br; span.muted { "paper " (text::effect_text(metric::Unit::of(&j.claim.metric), paper, None)) }
                        } }
                        td.number { (j.comparison.n_seeds()) }
                        td.muted { (text::paper(&j.claim.paper)) }
                    }
                }
            }
        }
    }
}

fn reason(j: &Judged) -> String {
    let mut out = format!("Metric: {}. Reason: {}. {}", metric::phrase(&j.claim.metric), j.reason, text::holm(j));
    if !j.comparison.missing.is_empty() {
        out += &format!(" Missing: {}.", j.comparison.missing.join("; "));
    }
    if !j.comparison.unmatched.is_empty() {
        out += &format!(" Left out, having no counterpart: {}.", j.comparison.unmatched.join(", "));
    }
    out
}

fn swatch(look: palette::Look) -> Markup {
    let dash = look.dash.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    html! {
        svg width="22" height="8" aria-hidden="true" {
            line x1="1" y1="4" x2="21" y2="4" stroke=(look.color.hex()) stroke-width="2.5" stroke-dasharray=(dash) {}
        }
    }
}

/// The numbers behind the page. `<` is written as an escape, so that no name can end the script element.
fn data(input: &ExperimentInput, report: &Report) -> String {
    let looks = palette::looks(&input.arms);
    let arms = input.arms.iter().zip(looks).map(|(arm, look)| {
        json!({"id": arm.id, "label": arm.label, "color": look.color.hex(), "ink": look.color.ink().hex()})
    });
    let tables = report.figures.iter().map(|f| {
        (f.id.to_string(), json!({"columns": f.table.columns, "rows": f.table.rows, "csv": format!("{}.csv", f.id)}))
    });
    let value = json!({
        "experiment": input.name,
        "lab": input.lab,
        "arms": arms.collect::<Vec<_>>(),
        "verdicts": report.verdicts,
        "tables": tables.collect::<serde_json::Map<_, _>>(),
    });
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn fonts() -> String {
    [(400, font::REGULAR_WOFF2), (600, font::BOLD_WOFF2)]
        .map(|(weight, bytes)| {
            format!(
                "@font-face{{font-family:Inter;font-weight:{weight};src:url(data:font/woff2;base64,{}) format('woff2')}}\n",
                base64(bytes)
            )
        })
        .concat()
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, b| word << 8 | *b as u32) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sign = SIGNS[(word >> (18 - 6 * i)) as usize & 63] as char;
            out.push(if i <= chunk.len() { sign } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_base64() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        assert!(cases.iter().all(|(plain, coded)| base64(plain.as_bytes()) == *coded));
    }
}
