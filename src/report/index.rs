//! `reports/index.html`: the findings at a glance, then the way from the paper's figures to ours, every claim, the gallery.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use crate::report::glance;
use crate::report::guide::Answered;
use crate::report::overview::{Entry, Overview, link};
use crate::report::{html as page, scene, text};

pub fn page(view: &Overview) -> String {
    let axis =
        glance::axis(view.findings.iter().flat_map(|f| &f.claims).filter_map(|(_, found)| found.map(|(_, v)| v)));
    let range = axis.map_or([-10.0, 10.0], |(range, _)| range);
    let body = html! {
        header {
            p.kicker { "ablate" }
            h1 { "Findings at a glance" }
            @if !view.guide.title.is_empty() {
                p { "What the paper found (" em { (view.guide.title) } "; " (view.guide.source) "), tested here." }
            }
            @for paragraph in view.tally() { p { (paragraph) } }
            nav { a href="#paper" { "From the paper to here" } a href="#claims" { "Every claim" } a href="#reports" { "Every report" } }
        }
        @if !view.findings.is_empty() {
            p.legend {
                "Each row: effect (dot, open where inconclusive) with its interval; tinted, where it is large enough to matter; "
                "a diamond, the paper's effect; all on one axis from " (text::plain_points(range[0])) " to "
                (text::plain_points(range[1])) " points."
            }
            @for (number, finding) in view.findings.iter().enumerate() {
                section.finding {
                    h2 { span.ordinal { (number + 1) } (finding.title) }
                    p { b { "The paper. " } (finding.paper) " " b { "Here. " } (finding.tally()) "." }
                    div.wide { table.glance {
                        @for (name, found) in &finding.claims {
                            @match found {
                                Some((path, v)) => (claim(path, v, range, &view.elsewhere(path, v))),
                                None => tr { td { (name) } td {} td { span.muted { "no results yet" } } td {} td { (page::pill("not-run", "not run")) } },
                            }
                        }
                    } }
                }
            }
        }
        (from_the_paper(&view.guide.answered(&view.leading)))
        h2 id="claims" { "Every claim" }
        div.wide { table.findings {
            thead { tr { th { "Experiment" } th { "Claim" } th { "The paper" } th { "Here" } th { "Seeds" } th { "Verdict" } } }
            tbody {
                @for entry in view.entries {
                    @for (row, v) in entry.verdicts.iter().enumerate() {
                        tr {
                            td { @if row == 0 { a href={ (link(&entry.path)) "/index.html" } { (entry.title()) } } }
                            td { (string(v, "statement")) }
                            td.muted { (text::paper(&v["paper"])) }
                            td.number { (glance::effect(v)) }
                            td.number { (v["n_seeds"].as_u64().unwrap_or(0)) }
                            td { (pill(v)) }
                        }
                    }
                }
            }
        } }
        h2 id="reports" { "Every report" }
        div.gallery {
            @for entry in view.entries {
                a.card href={ (link(&entry.path)) "/index.html" } {
                    @if let Some(picture) = entry.picture() { img src=(link(&picture)) alt={ "RL curves of " (entry.title()) } loading="lazy"; }
                    h3 { (entry.title()) }
                    p { (entry.word("question")) }
                    p { (entry.size()) }
                }
            }
        }
    };
    page::document("Findings at a glance", body)
}

fn claim(path: &str, v: &Value, range: [f64; 2], elsewhere: &[(&str, String)]) -> Markup {
    html! {
        tr {
            td { (report(path, string(v, "statement"))) }
            td.spark { @if let Some(picture) = glance::spark(v, range) { (PreEscaped(scene::svg(&picture, &glance::effect(v)))) } }
            td.number {
                @if v["estimate"].is_number() { (glance::effect(v)) br; span.muted { (v["n_seeds"].as_u64().unwrap_or(0)) " seeds" } }
                @else { span.muted { "no results yet" } }
                @for (path, words) in elsewhere { br; span.muted { (report(path, words)) } }
            }
            td.muted { (text::paper(&v["paper"])) }
            td { (pill(v)) }
        }
    }
}

fn from_the_paper(answered: &[Answered]) -> Markup {
    html! {
        @if !answered.is_empty() {
            h2 id="paper" { "From the paper to here" }
            div.wide { table.findings.exhibits {
                thead { tr { th { "The paper" } th { "shows" } th { "Experiment" } th { "Report" } th { "Results" } th { "Verdicts" } } }
                tbody {
                    @for row in answered {
                        @if row.by.is_empty() {
                            tr.muted {
                                td { (row.exhibit.exhibit) } td { (row.exhibit.shows) }
                                td colspan="4" { @if row.exhibit.note.is_empty() { "not run yet" } @else { (row.exhibit.note) } }
                            }
                        }
                        @for (index, (entry, verdicts)) in row.by.iter().enumerate() {
                            tr {
                                td { @if index == 0 { (row.exhibit.exhibit) } }
                                td { @if index == 0 { (row.exhibit.shows) } }
                                td { (to(entry, "file", "", entry.word("experiment"))) }
                                td { @if !entry.path.is_empty() { (report(&entry.path, &entry.title())) } }
                                td { (to(entry, "results", "/trials.jsonl", "trials")) " " (to(entry, "results", "/curves.csv", "curves")) }
                                td.pills { @for v in verdicts { span title=(string(v, "statement")) { (pill(v)) } } }
                            }
                        }
                    }
                }
            } }
        }
    }
}

fn report(path: &str, words: &str) -> Markup {
    html! { @if path.is_empty() { (words) } @else { a.quiet href={ (link(path)) "/index.html" } { (words) } } }
}

/// A link to what the summary says lies beside the reports; plain text, or nothing for results, where it says nothing.
fn to(entry: &Entry, key: &str, more: &str, words: &str) -> Markup {
    html! {
        @match entry.summary[key].as_str() {
            Some(path) => a href={ (link(path)) (more) } { (words) },
            None => @if key == "file" { (words) },
        }
    }
}

fn pill(v: &Value) -> Markup {
    page::pill(glance::word(v), &glance::word(v).replace('-', " "))
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}
