//! `index.html` of a report: one file that opens offline. Drawings are inline SVG, numbers are embedded JSON, and a short
//! script (`page.js`) shows values, hides arms, smooths curves, puts tokens on the x axis and hands out tables. Without scripts
//! it reads as it stands; everything that the pointer does, the keyboard does too.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;

use crate::report::metric;
use crate::report::palette;
use crate::report::{ExperimentInput, Report, Sheet, claims, data, font, overview, panels, text};
use crate::verdict::{Judged, overlap};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of one experiment in one lab.
pub fn page(input: &ExperimentInput, report: &Report) -> String {
    let looks = palette::looks(&input.arms);
    let title = format!("{} · {}", input.name, input.lab);
    let curves = report.figures.iter().any(|f| !f.scene.panels.is_empty());
    let body = html! {
        header {
            p.kicker { a href="../../index.html" { "Reports" } " / " (input.name) " / " (input.lab) }
            h1 { @if input.question.is_empty() { (title) } @else { (input.question) } }
            (origin(input))
            @for note in text::notes(input) { p.note { (note) } }
        }
        @if !report.judged.is_empty() {
            section {
                h2 { "Findings" }
                p { (text::tally(&report.judged)) }
                @if !input.paper.is_empty() { p { b { "The paper. " } (input.paper) } }
                (findings(report))
            }
        }
        @if curves {
            div.controls role="toolbar" aria-label="What the curves show" {
                div.chips {
                    @for (index, arm) in input.arms.iter().enumerate() {
                        button.chip type="button" data-arm=(index) aria-pressed="true" title="Show or hide; Shift or double click: this one alone" {
                            (swatch(looks[index])) (arm.label)
                        }
                    }
                }
                div.options {
                    label { "Smoothing " input #smooth type="range" min="0" max="0.95" step="0.05" value="0"; output { "off" } }
                    label { input #bands type="checkbox" checked; " bands" }
                    label { "x axis " select #axis { option value="step" { "RL step" } option value="tokens" { "tokens sampled" } } }
                }
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
        @for sheet in &report.sheets { section id=(sheet.id) { h2 { (sheet.title) } (table(sheet)) p.caption { (sheet.caption) } } }
        (prose("methods", "Methods", &input.methods))
        (prose("limits", "What this cannot say", &input.limits))
        section.prose {
            h2 { "How the verdicts are made" }
            @for paragraph in text::statistics(&report.judged) { p { (paragraph) } }
        }
        script #data type="application/json" { (PreEscaped(numbers(input, report))) }
        script { (PreEscaped(SCRIPT)) }
    };
    document(&title, body)
}

/// Where the experiment, its results and the paper's own question are.
fn origin(input: &ExperimentInput) -> Markup {
    let at = |path: &str| format!("../../{}", overview::link(path));
    html! {
        p.kicker {
            @if let Some(file) = &input.place.file { a href=(at(file)) { "experiment file" } " · " }
            @if let Some(results) = &input.place.results {
                a href=(at(&format!("{results}/trials.jsonl"))) { "trials" } " · "
                a href=(at(&format!("{results}/curves.csv"))) { "curves" } " · "
            }
            a href="verdicts.json" { "verdicts" }
            @if let Some(where_) = text::place(&input.place) { " · in the paper: " (where_) }
        }
    }
}

fn prose(id: &str, title: &str, words: &str) -> Markup {
    html! {
        @if !words.is_empty() {
            section.prose id=(id) {
                h2 { (title) }
                @for block in text::blocks(words) {
                    @match block {
                        text::Block::Paragraph(words) => p { (words) },
                        text::Block::List(items) => ul { @for item in items { li { (item) } } },
                    }
                }
            }
        }
    }
}

fn table(sheet: &Sheet) -> Markup {
    html! {
        div.wide {
            table.sheet {
                thead { tr { @for column in &sheet.columns { th { (column) } } } }
                tbody { @for row in &sheet.rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
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

fn findings(report: &Report) -> Markup {
    html! {
        div.wide { table.findings {
            thead { tr { th { "Claim" } th { "Here" } th { "The paper" } th { "Direction" } th { "Verdict" } } }
            tbody {
                @for ((j, other), overlaps) in report.judged.iter().zip(&report.otherwise).zip(&report.overlaps) {
                    tr {
                        td {
                            (j.claim.statement)
                            @if let Some(words) = overlap::in_words(overlaps) { br; span.muted.small { (words) } }
                            details { summary { "why" } p { (reason(j)) } }
                        }
                        td.number {
                            (text::effect(j)) br;
                            span.muted { (text::sides(j)) }
                            @if let Some(other) = other { br; span.muted { (text::otherwise(other)) } }
                        }
                        td.muted {
                            (text::paper(&j.claim.paper))
                            @if let Some(paper) = claims::paper_effect(j) {
                                br; (text::effect_text(metric::Unit::of(&j.claim.metric), paper, None))
                            }
                        }
                        td.muted { (text::direction(j)) }
                        td { (pill(j.verdict.name(), text::verdict(&j.verdict))) br; span.muted.small { (j.comparison.n_seeds()) " seeds" } }
                    }
                }
            }
        } }
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
fn numbers(input: &ExperimentInput, report: &Report) -> String {
    let looks = palette::looks(&input.arms);
    let mut arms = serde_json::Map::new();
    for (index, (arm, look)) in input.arms.iter().zip(looks).enumerate() {
        let tokens: Vec<[f64; 2]> = data::tokens(&input.results.curves, &arm.id)
            .iter()
            .map(|(step, total)| [*step as f64, total.round()])
            .collect();
        let value = json!({"id": arm.id, "label": arm.label, "ink": look.color.ink().hex(), "tokens": tokens});
        arms.insert(index.to_string(), value);
    }
    let authors = ExperimentInput::of_results("", "", input.authors.clone());
    for (index, (arm, look)) in authors.arms.iter().zip(palette::looks(&authors.arms)).enumerate() {
        let value = json!({"id": arm.id, "label": arm.label, "ink": look.color.ink().hex()});
        arms.insert((panels::IMPORTED + index).to_string(), value);
    }
    let tables = report.figures.iter().map(|f| {
        // A cell that repeats the one above it is 0, which keeps pages of many curves small.
        let rows: Vec<Vec<serde_json::Value>> = (0..f.table.rows.len())
            .map(|row| {
                let cells = f.table.rows[row].iter().enumerate();
                let above = |column: usize| row.checked_sub(1).map(|above| &f.table.rows[above][column]);
                cells.map(|(i, cell)| if above(i) == Some(cell) { json!(0) } else { json!(rounded(cell)) }).collect()
            })
            .collect();
        (f.id.to_string(), json!({"columns": f.table.columns, "rows": rows, "csv": format!("{}.csv", f.id)}))
    });
    let value = json!({
        "experiment": input.name,
        "lab": input.lab,
        "arms": arms,
        "tables": tables.collect::<serde_json::Map<_, _>>(),
    });
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A number to six digits: the page shows them, the CSV files beside it hold them in full.
fn rounded(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(value) if cell.len() > 8 && value.is_finite() && value != 0.0 => {
            let decimals = (5 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
            let text = format!("{value:.decimals$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
        }
        _ => cell.to_string(),
    }
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
    fn shown_numbers_have_six_digits() {
        let cases = ["0.059375000000000004", "1234567.891", "-0.00001234567", "12", "family=llama", "0.1", "1e300"];
        assert_eq!(cases.map(rounded), ["0.059375", "1234568", "-0.0000123457", "12", "family=llama", "0.1", "1e300"]);
    }

    #[test]
    fn base64_is_base64() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        assert!(cases.iter().all(|(plain, coded)| base64(plain.as_bytes()) == *coded));
    }
}
