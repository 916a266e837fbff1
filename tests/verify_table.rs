//! A growing table of answers as people and models write them, and of look-alikes that must not pass.

use ablate::task::verify::{Options, Rule, equal, equal_with};

#[test]
fn every_row_of_the_table_is_judged_as_it_says_in_both_directions() {
    let mut failures = Vec::new();
    let mut rows = 0;
    for line in include_str!("vectors/verify_table.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let [verdict, gold, answer] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("not a row: {line}") };
        rows += 1;
        for (gold, answer) in [(gold, answer), (answer, gold)] {
            let (found, rule) = equal(gold, answer);
            if found.name() != verdict {
                failures.push(format!("{gold} | {answer}: {} by {rule}, not {verdict}", found.name()));
            }
        }
    }
    assert!(rows > 250, "{rows}");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_rule_that_decided_is_named() {
    for (gold, answer, rule) in [
        ("1/2", "1/2", Rule::Same),
        ("1/2", "\\dfrac 12", Rule::Number),
        ("\\sqrt{8}", "2\\sqrt2", Rule::Constant),
        ("(x+1)^2", "x^2+2x+1", Rule::Identity),
        ("\\sin 2x", "2\\sin x\\cos x", Rule::Expression),
        ("50\\%", "50", Rule::Percent),
        ("5 cm", "5", Rule::Unit),
        ("5 cm", "5 km", Rule::Unit),
        ("52_8", "052_{8}", Rule::Base),
        ("3:45", "03:45", Rule::Ratio),
        ("1,2", "2,1", Rule::List),
        ("\\{1,2\\}", "\\{2,1\\}", Rule::Set),
        ("(1,2)", "(1,2.0)", Rule::Tuple),
        ("(0,1)\\cup(2,3)", "(2,3)\\cup(0,1)", Rule::Union),
        ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2.0\\end{pmatrix}", Rule::Matrix),
        ("x=2y", "2x=4y", Rule::Equation),
        ("x>2", "2x>4", Rule::Inequality),
        ("x=5", "5", Rule::Prefix),
        ("B", "(b)", Rule::Choice),
        ("Evelyn", "evelyn", Rule::Text),
        ("(1,2)", "3", Rule::Shape),
        ("5", "5 + ", Rule::Unparsable),
        ("1", "1/0", Rule::Undefined),
        ("1", "", Rule::Empty),
        ("1", "5^(5^(5^(5^5)))", Rule::Budget),
    ] {
        assert_eq!(equal(gold, answer).1, rule.name(), "{gold} | {answer}");
    }
}

#[test]
fn options_widen_and_narrow() {
    let correct = |gold: &str, answer: &str, options: &Options| equal_with(gold, answer, options).0.name() == "correct";
    let strict = Options::STRICT;
    let loose = Options { relative_tolerance: Some(1e-3), ..Options::default() };
    for (gold, answer) in [("50\\%", "50"), ("5 cm", "5"), ("\\$5", "5")] {
        assert!(correct(gold, answer, &Options::default()) && !correct(gold, answer, &strict), "{gold} | {answer}");
    }
    assert!(correct("50\\%", "0.5", &strict));
    for (gold, answer) in [("1/3", "0.3333"), ("\\pi", "3.1416"), ("1e33", "1.0005e33"), ("(1/3, 2)", "(0.3333, 2)")] {
        assert!(!correct(gold, answer, &Options::default()) && correct(gold, answer, &loose), "{gold} | {answer}");
    }
    assert!(!correct("1/3", "0.333", &Options { relative_tolerance: Some(1e-4), ..Options::default() }));
    assert!(!correct("1e-30", "0", &loose));
}
