//! When an extracted answer is right: the paper's rules 1 to 4, on top of the equality of mathematical expressions.

use crate::task::{Verdict, verify};

/// What the paper calls "within 1e-3".
const NUMBERS: f64 = 1e-3;
/// OCW's tolerance, relative.
const OCW: f64 = 1e-5;

type Outcome = (Verdict, &'static str);

fn right_if(right: bool) -> Verdict {
    if right { Verdict::Correct } else { Verdict::Wrong }
}

/// Rule 3: equal mathematical expressions, without the dollars around either.
pub(super) fn expression(gold: &str, answer: &str) -> Outcome {
    verify::equal(undollared(gold), undollared(answer))
}

/// Without one pair of dollars around the whole.
pub(super) fn undollared(text: &str) -> &str {
    let text = text.trim();
    match text.strip_prefix('$').and_then(|inner| inner.strip_suffix('$')) {
        Some(inner) if !inner.contains('$') => inner.trim(),
        _ => text,
    }
}

/// A plain decimal number: sign, digits in groups of three or not, point, exponent; a dollar sign may stand before it.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = undollared(text).trim_start_matches("\\$").trim_start_matches('$').replace("\\!", "");
    let text = text.trim();
    let digits = text.trim_start_matches(['-', '+']);
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or("");
    let mut groups = whole.split(',').map(str::trim_start);
    let first = groups.next().unwrap_or("");
    let grouped = first.len() <= 3 && groups.clone().count() > 0 && groups.all(|group| group.len() == 3);
    if whole.contains(',') && !grouped || !text.bytes().all(|b| b.is_ascii_digit() || b"+-.,eE ".contains(&b)) {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != ',' && *c != ' ').collect();
    plain.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Rule 1.
pub(super) fn number_or_expression(gold: &str, answer: &str, authors: bool) -> Outcome {
    let same = gold.trim().eq_ignore_ascii_case(answer.trim().trim_end_matches('.'));
    if same {
        return (Verdict::Correct, "same-text");
    }
    let read = |text: &str| if authors { number(&text.replace(',', "")) } else { number(text) };
    let Some(right) = read(gold) else {
        return words_or_expression(gold, answer);
    };
    match read(answer) {
        Some(given) => {
            let close = |value: f64| (value - given).abs() <= NUMBERS;
            let percent = authors && (close(right * 100.0) || close(right / 100.0));
            (right_if(close(right) || percent), "number")
        }
        None => expression(gold, answer),
    }
}

/// Names and times are compared as words, everything else as an expression.
fn words_or_expression(gold: &str, answer: &str) -> Outcome {
    let words = |text: &str| {
        let text: String = text.to_lowercase().chars().map(|c| if c == '.' { ' ' } else { c }).collect();
        let mut words: Vec<String> = text.split_whitespace().map(str::to_string).collect();
        if words.first().is_some_and(|word| word == "the") {
            words.remove(0);
        }
        words
    };
    let sentence = |text: &str| text.split(". ").next().map(words);
    let gold_words = words(gold);
    if gold_words == words(answer) || Some(&gold_words) == sentence(answer).as_ref() {
        return (Verdict::Correct, "words");
    }
    expression(gold, answer)
}

/// A letter; the authors' extractor knows none beyond d.
pub(super) fn letter(gold: &str, answer: &str, authors: bool) -> Outcome {
    let known = !authors || matches!(answer.to_ascii_uppercase().as_str(), "A" | "B" | "C" | "D");
    (right_if(known && gold.eq_ignore_ascii_case(answer)), "letter")
}

/// The choices that a question ends with, as `(A) wording` each.
pub(super) fn choices(question: &str) -> Vec<(char, &str)> {
    let mut starts = Vec::new();
    let mut from = 0;
    for letter in 'A'..='J' {
        let mark = format!("({letter})");
        let Some(at) = question[from..].find(&mark) else { break };
        starts.push((letter, from + at, from + at + mark.len()));
        from += at + mark.len();
    }
    let ends = starts.iter().skip(1).map(|start| start.1).chain([question.len()]);
    let wording = |(start, end): (&(char, usize, usize), usize)| {
        (start.0, question[start.2..end].trim().trim_end_matches(',').trim_end())
    };
    starts.iter().zip(ends).map(wording).collect()
}

/// TabMWP: where there are choices, a letter stands for its wording.
pub(super) fn option(question: &str, gold: &str, answer: &str, authors: bool) -> Outcome {
    let choices = choices(question);
    let worded = |text: &str| {
        let letter = text.trim().trim_matches(['(', ')', '.']).to_ascii_uppercase();
        let choice = choices.iter().find(|(name, _)| letter == name.to_string());
        choice.map_or(text.to_string(), |(_, wording)| wording.to_string())
    };
    number_or_expression(&worded(gold), &worded(answer), authors)
}

/// Rule 2: as wholes, or else element by element without regard to order; the last answers count.
pub(super) fn list(question: &str, gold: &str, answer: &str, authors: bool) -> Outcome {
    let whole = number_or_expression(gold, answer, authors);
    let (golds, answers) = (elements(question, gold), elements(question, answer));
    if whole.0 == Verdict::Correct || golds.len() < 2 {
        return whole;
    }
    let answers = &answers[answers.len().saturating_sub(golds.len())..];
    let equal = |a: &str, b: &str| number_or_expression(a, b, authors).0 == Verdict::Correct;
    let covered = golds.iter().all(|gold| answers.iter().any(|answer| equal(gold, answer)))
        && answers.iter().all(|answer| golds.iter().any(|gold| equal(gold, answer)));
    (right_if(covered), "list")
}

/// The parts of an answer, each once: at `and`, and at commas outside brackets if the question asks for several.
fn elements<'a>(question: &str, text: &'a str) -> Vec<&'a str> {
    let several = question.contains("separated by commas") || question.contains("separated by a comma");
    let mut parts: Vec<&str> = Vec::new();
    for part in
        text.split("\\text{ and }").flat_map(|part| part.split("\\text{and}")).flat_map(|part| part.split(" and "))
    {
        let split = if several { at_commas(part) } else { vec![part] };
        for element in split.into_iter().map(undollared).filter(|element| !element.is_empty()) {
            if !parts.contains(&element) {
                parts.push(element);
            }
        }
    }
    parts
}

fn at_commas(text: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0, 0);
    let mut parts = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Rule 4.
pub(super) fn ocw(gold: &str, answer: &str, authors: bool) -> Outcome {
    let Some(right) = number(gold) else {
        let same = bare(gold) == bare(answer);
        return if same || authors { (right_if(same), "same-text") } else { expression(gold, answer) };
    };
    let Some(given) = number(&decimal(answer)) else {
        return if authors { (Verdict::Wrong, "number") } else { expression(gold, answer) };
    };
    let close = if authors {
        // numpy's `isclose` first, and then a test that no pair of zeros or negative numbers passes.
        (right - given).abs() <= 1e-8 + OCW * given.abs() && (right - given).abs() < 0.005 * (right + given)
    } else {
        (right - given).abs() <= OCW * right.abs().max(given.abs())
    };
    (right_if(close), "number")
}

/// `4.5 \times 10^{33}` as `4.5e33`.
fn decimal(text: &str) -> String {
    let text: String = undollared(text).chars().filter(|c| !c.is_whitespace()).collect();
    let power = ["\\times10^", "\\cdot10^", "*10^", "x10^"].into_iter().find_map(|mark| text.split_once(mark));
    match power {
        Some((factor, exponent)) => format!("{factor}e{}", exponent.trim_matches(['{', '}', '(', ')'])),
        None => text,
    }
}

/// TeX without what doesn't show: white space, sized brackets, dollars, and the full stop at the end.
fn bare(text: &str) -> String {
    let mut text =
        text.replace("\\left", "").replace("\\right", "").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac");
    for space in ["\\,", "\\!", "\\;", "\\:", "\\ ", "$"] {
        text = text.replace(space, "");
    }
    text.chars().filter(|c| !c.is_whitespace()).collect::<String>().trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_read() {
        for (text, value) in [
            ("27.0", 27.0),
            ("-3", -3.0),
            ("+2", 2.0),
            ("1,234.5", 1234.5),
            ("$18", 18.0),
            ("\\$32,\\!348", 32348.0),
            ("11,\\! 111,\\! 111", 11_111_111.0),
            ("4.5e33", 4.5e33),
            (".5", 0.5),
            ("1.", 1.0),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for text in ["1,2", "3, 5, 7", "1234,567", "1/2", "x", "", "-", "nan", "inf", "e", "1 000 x", "5:45"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_compare_within_a_thousandth() {
        let verdict = |gold, answer, authors| number_or_expression(gold, answer, authors).0;
        assert_eq!(verdict("27.0", "27", false), Verdict::Correct);
        assert_eq!(verdict("0.333", "0.3333", false), Verdict::Correct);
        assert_eq!(verdict("27", "27.01", false), Verdict::Wrong);
        assert_eq!(verdict("1,200", "1200", false), Verdict::Correct);
        // A quirk of the authors' harness.
        assert_eq!((verdict("0.5", "50", false), verdict("0.5", "50", true)), (Verdict::Wrong, Verdict::Correct));
    }

    #[test]
    fn words_compare_without_case_and_articles() {
        for (gold, answer) in [
            ("The men's track team", "the men's track team"),
            ("Bryan", "bryan."),
            ("6:01:00 p.m.", "6:01:00 p.m"),
            ("Yes", "Yes. He can"),
        ] {
            assert_eq!(number_or_expression(gold, answer, false).0, Verdict::Correct, "{gold}");
        }
        assert_ne!(number_or_expression("Bryan", "Bert", false).0, Verdict::Correct);
    }

    #[test]
    fn choices_are_read_from_the_question() {
        assert_eq!(choices("which?\n(A) 1 : 1, (B) 1 (C) x"), [('A', "1 : 1"), ('B', "1"), ('C', "x")]);
        assert_eq!(choices("none"), []);
        let question = "Which shelf?\n(A) top (B) bottom";
        for (gold, answer) in [("top", "A"), ("top", "(A)"), ("A", "top"), ("A", "a")] {
            assert_eq!(option(question, gold, answer, false).0, Verdict::Correct, "{gold} {answer}");
        }
        assert_ne!(option(question, "top", "B", false).0, Verdict::Correct);
        assert_eq!(option("How many?", "1,240", "1240", false).0, Verdict::Correct);
    }

    #[test]
    fn lists_compare_without_order() {
        let question = "Enter all values, separated by commas.";
        let verdict = |gold, answer| list(question, gold, answer, false).0;
        assert_eq!(verdict("3, 5, 7", "7,3, 5"), Verdict::Correct);
        assert_ne!(verdict("3, 5, 7", "3, 5"), Verdict::Correct);
        assert_ne!(verdict("3, 5", "3, 5, 7"), Verdict::Correct);
        assert_eq!(verdict("(1,2), (3,4)", "(3,4), (1,2)"), Verdict::Correct);
        assert_ne!(verdict("(1,2)", "(2,1)"), Verdict::Correct);
        assert_eq!(list("Which?", "1 \\text{ and } 2", "2 and 1", false).0, Verdict::Correct);
    }

    #[test]
    fn ocw_numbers_are_relative_and_may_be_negative() {
        let verdict = |gold, answer, authors| ocw(gold, answer, authors).0;
        assert_eq!(verdict("4.5e33", "4.5 \\times 10^{33}", false), Verdict::Correct);
        assert_eq!(verdict("4.5e33", "4.6e33", false), Verdict::Wrong);
        assert_eq!(verdict("4.6e-24", "4.7e-24", false), Verdict::Wrong);
        for same in ["0", "-8"] {
            assert_eq!(
                (verdict(same, same, false), verdict(same, same, true)),
                (Verdict::Correct, Verdict::Wrong),
                "{same}"
            );
        }
        assert_eq!(verdict("\\frac{a}{b}", "\\dfrac{a} {b}.", true), Verdict::Correct);
        assert_eq!(verdict("x+y", "y+x", true), Verdict::Wrong);
    }
}
