//! `README.md`: the report as a code host shows it.

use std::fmt::Write;

use crate::report::metric::{self, Unit};
use crate::report::scale::signed;
use crate::report::{ExperimentInput, Report, overview, text};
use crate::verdict::{Judged, overlap};

/// The page of one experiment in one lab.
pub fn page(input: &ExperimentInput, report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# {} · {}\n", escape(&input.name), escape(&input.lab));
    if !input.question.is_empty() {
        let _ = writeln!(out, "**{}**\n", escape(&input.question));
    }
    let linked = |words: &str, path: &Option<String>, more: &str| {
        path.as_ref().map(|path| format!("[{words}](../../{}{more})", overview::link(path)))
    };
    let mut origin: Vec<String> = vec![];
    origin.extend(linked("experiment file", &input.place.file, ""));
    origin.extend(linked("trials", &input.place.results, "/trials.jsonl"));
    origin.extend(linked("curves", &input.place.results, "/curves.csv"));
    origin.push("[verdicts](verdicts.json)".to_string());
    origin.push("[all reports](../../README.md)".to_string());
    origin.extend(text::place(&input.place).map(|place| format!("in the paper: {}", escape(&place))));
    let _ = writeln!(out, "{}\n", origin.join(" · "));
    for note in text::notes(input) {
        let _ = writeln!(out, "> {}\n", escape(&note));
    }
    if !report.judged.is_empty() {
        out.push_str("## Findings\n\n");
        let _ = writeln!(out, "{}\n", escape(&text::tally(&report.judged)));
        if !input.paper.is_empty() {
            let _ = writeln!(out, "**The paper:** {}\n", escape(&input.paper));
        }
        out.push_str("| Claim | Verdict | Effect here | Here | The paper | Direction | Matters from | Seeds |\n");
        out.push_str("|---|---|---|---|---|---|---|---|\n");
        let below = |words: Option<String>| words.map_or(String::new(), |words| format!("<br>{}", escape(&words)));
        for ((j, other), overlaps) in report.judged.iter().zip(&report.otherwise).zip(&report.overlaps) {
            let other = below(other.as_ref().map(text::otherwise));
            let _ = writeln!(
                out,
                "| {}{} | **{}** | {}{other} | {} | {} | {} | {} | {} |",
                escape(&j.claim.statement),
                below(overlap::in_words(overlaps)),
                text::verdict(&j.verdict),
                escape(&text::effect(j)),
                escape(&text::sides(j)),
                escape(&text::paper(&j.claim.paper)),
                text::direction(j),
                escape(&smallest(j)),
                j.comparison.n_seeds(),
            );
        }
        out.push_str("\n<details><summary>Why, claim by claim</summary>\n\n");
        for j in &report.judged {
            let _ = writeln!(
                out,
                "- **{}** ({}): {}. {}",
                escape(&j.claim.claim),
                escape(&metric::phrase(&j.claim.metric)),
                escape(&j.reason),
                escape(&text::holm(j)),
            );
        }
        out.push_str("\n</details>\n\n");
    }
    for figure in &report.figures {
        let _ = writeln!(out, "## {}\n", escape(&figure.title));
        let _ = writeln!(out, "![{}](figures/{}.png)\n", escape(&figure.title), figure.id);
        let _ = writeln!(
            out,
            "{} [SVG](figures/{id}.svg) · [numbers](tables/{id}.csv)\n",
            escape(&figure.caption),
            id = figure.id
        );
    }
    for sheet in &report.sheets {
        let _ = writeln!(out, "## {}\n", escape(sheet.title));
        let _ = writeln!(out, "| {} |", sheet.columns.iter().map(|c| escape(c)).collect::<Vec<_>>().join(" | "));
        let _ = writeln!(out, "|{}", "---|".repeat(sheet.columns.len()));
        for row in &sheet.rows {
            let _ = writeln!(out, "| {} |", row.iter().map(|c| escape(c)).collect::<Vec<_>>().join(" | "));
        }
        let _ = writeln!(out, "\n{} [numbers](tables/{}.csv)\n", escape(&sheet.caption), sheet.id);
    }
    prose(&mut out, "Methods", &input.methods);
    prose(&mut out, "What this cannot say", &input.limits);
    out.push_str("## How the verdicts are made\n\n");
    for paragraph in text::statistics(&report.judged) {
        let _ = writeln!(out, "{}\n", escape(&paragraph));
    }
    out.push_str("`index.html` beside this file is the same report with curves to hover over, hide and smooth; it opens offline.\n");
    out
}

fn prose(out: &mut String, title: &str, words: &str) {
    if words.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {title}\n");
    for block in text::blocks(words) {
        match block {
            text::Block::Paragraph(words) => {
                let _ = writeln!(out, "{}\n", escape(&words));
            }
            text::Block::List(items) => {
                for item in items {
                    let _ = writeln!(out, "- {}", escape(&item));
                }
                out.push('\n');
            }
        }
    }
}

fn smallest(j: &Judged) -> String {
    let unit = Unit::of(&j.claim.metric);
    let sign = match j.claim.direction {
        crate::verdict::Direction::Greater => "",
        crate::verdict::Direction::Less => "−",
        crate::verdict::Direction::Same => "±",
    };
    let number = signed(unit.scale(j.claim.smallest_effect), unit.decimals);
    format!("{sign}{} {}", number.trim_start_matches('+'), unit.difference).trim_end().to_string()
}

/// Text that means itself in GitHub's Markdown, in a paragraph, a heading or a table cell.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.trim().chars().enumerate() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // Lists, headings and rules begin a line; our text does too, at times.
            '#' | '+' | '-' | '=' if index == 0 => {
                out.push('\\');
                out.push(c);
            }
            '@' => out.push_str("&#64;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_never_markup() {
        let hostile = "<script>alert(1)</script> | [x](javascript:1) `a` *b* $c$ @all\n# d";
        let text = escape(hostile);
        assert!(!text.contains('<') && !text.contains('\n') && !text.contains(" | "));
        assert!(
            text.contains("\\|") && text.contains("\\[x\\]") && text.contains("\\$c\\$") && text.contains("&#64;all")
        );
        assert_eq!(escape("+ 1 - 2"), "\\+ 1 - 2");
    }
}
