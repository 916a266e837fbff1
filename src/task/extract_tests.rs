use super::*;

fn check(rule: Extract, cases: &[(&str, Option<&str>)]) {
    for (response, expected) in cases {
        assert_eq!(extract(response, rule), *expected, "{rule:?} on {response:?}");
    }
}

#[test]
fn the_last_balanced_box_holds_the_answer() {
    check(
        Extract::LastBoxed,
        &[
            (r"so \boxed{5}.", Some("5")),
            (r"\boxed{1} or \boxed{ 2 }", Some("2")),
            (r"\boxed{\frac{1}{\sqrt{2}}}", Some(r"\frac{1}{\sqrt{2}}")),
            (r"\boxed{{{{deep}}}}", Some("{{{deep}}}")),
            (r"\fbox{7}", Some("7")),
            (r"\boxed {8}", Some("8")),
            ("\\boxed\n{8}", Some("8")),
            (r"$\boxed 9$ and", Some("9")),
            (r"\boxed{\left\{1,2\right.}", Some(r"\left\{1,2\right.")),
            (r"\boxed{3} then \boxed{4", Some("3")),
            (r"\boxed{4", None),
            (r"\boxed{}", None),
            (r"\boxed{1} \boxed{}", Some("1")),
            (r"\boxed", None),
            (r"\boxedness 5", None),
            (r"\boxed{x=\boxed{6}}", Some("6")),
            (r"\boxed{ü}", Some("ü")),
            ("5", None),
        ],
    );
}

#[test]
fn the_world_takes_the_last_stated_number() {
    check(
        Extract::LastAnswerIs,
        &[
            ("3 + 4 = 7 . answer is 7 .", Some("7")),
            ("answer is 7 . answer is 8", Some("8")),
            ("answer is 7 . answer is red .", Some("7")),
            ("answer is 12.", Some("12")),
            ("answer is 7 . answer is", Some("7")),
            ("answer is 7 . answer is ", Some("7")),
            ("the answer is -3 .", Some("-3")),
            ("nonanswer is 3", None),
            ("answer is 3x", None),
            ("answer is . 3", None),
            ("7", None),
            ("", None),
        ],
    );
}

#[test]
fn hashes_take_the_rest_of_the_line() {
    check(
        Extract::Hashes,
        &[("2+2=4\n#### 4", Some("4")), ("#### 4\n#### $1,200$.\nmore", Some("1,200")), ("####", None), ("4", None)],
    );
}

#[test]
fn minerva_tries_its_rules_in_order() {
    check(
        Extract::Minerva,
        &[
            (r"Final Answer: The final answer is $\frac12$. I hope it is correct.", Some(r"\frac12")),
            (r"The final answer is $3$. I hope it is correct. The final answer is $4$. I hope", Some("3")),
            (r"\boxed{1}. The final answer is $2$. I hope", Some("2")),
            (r"The answer is 3. \boxed{4}", Some("4")),
            ("The answer is $x = 1.5$. Done 9", Some("x = 1.5")),
            ("The answer is: 1.5.", Some("1.5")),
            ("The answer is 1.5. So 3 is wrong", Some("1.5")),
            ("the answer is 1. No, the answer is 2 apples.", Some("2 apples")),
            ("it costs 3 or 1,234.50 dollars", Some("1,234.50")),
            ("We get 4. The answer is", Some("4")),
            ("I hope so", None),
        ],
    );
}

#[test]
fn numbers_keep_their_sign_point_and_commas() {
    check(
        Extract::LastNumber,
        &[
            ("5 - 3", Some("3")),
            ("5-3", Some("3")),
            ("x = -3.", Some("-3")),
            ("The answer is -3.", Some("-3")),
            ("5 -3", Some("3")),
            ("= -0.5 m", Some("-0.5")),
            ("of 1,234,567 people", Some("1,234,567")),
            ("1, 2,3", Some("3")),
            ("12,345", Some("12,345")),
            ("1.2.3", Some("2.3")),
            (".5", Some(".5")),
            ("$-4$", Some("-4")),
            ("(2)-4", Some("4")),
            ("none", None),
        ],
    );
}

#[test]
fn choices_are_found_however_they_are_written() {
    check(
        Extract::Letter,
        &[
            (r"\boxed{B}", Some("B")),
            (r"\boxed{\text{(c)}}", Some("c")),
            ("The answer is (d).", Some("d")),
            ("The answer is E because A is wrong", Some("E")),
            ("(A) is wrong, so (B)", Some("B")),
            ("B", Some("B")),
            ("It must be C.", Some("C")),
            ("a", None),
            ("(x)", None),
            ("The answer is 5", None),
        ],
    );
}

#[test]
fn answers_are_found_where_people_mark_them() {
    check(
        Extract::FinalAnswer,
        &[
            (r"first \boxed{1}, then $\boxed{\frac{1}{2}}$.", Some(r"\frac{1}{2}")),
            (r"\boxed{\{1, 2\}}", Some(r"\{1, 2\}")),
            (r"\boxed{1", Some("1")),
            (r"\boxed 5 apples", Some("5")),
            ("Final Answer: The final answer is $3$. I hope it is correct.", Some("3")),
            ("The answer is 1. No, the answer is 0.5.", Some("0.5")),
            ("The answer is 5. This is because 7 < 9.", Some("5")),
            ("The answer is: $x = 2$\nDone.", Some("x = 2")),
            ("The answer is $x=1$ and $y=2$.", Some("$x=1$ and $y=2$")),
            ("The answer is $5$ because 2+3.", Some("5")),
            ("The answer is $\\$5$.", Some("$\\$5$")),
            ("**Answer:** 12", Some("12")),
            ("Answer:\n\n7", Some("7")),
            ("so\n#### 1,234", Some("1,234")),
            (" 1/2 ", Some("1/2")),
            ("x^2 + 1", Some("x^2 + 1")),
            ("line one\nso it is 3 or -4.5 then", Some("-4.5")),
            ("line one\nso it is -3/4 then", Some("-3/4")),
            ("line one\n3/x/4", Some("4")),
            ("no\nanswer", None),
            ("The answer is", None),
            ("  ", None),
        ],
    );
}

#[test]
fn time_grows_with_the_length_of_a_text_and_no_faster() {
    // Ten times as long as any response here; a rule that looked at each place from each other would take minutes.
    let begun = std::time::Instant::now();
    for piece in
        ["\\boxed{", "\\boxed{}", "\\boxed ", "(", "()", "(a", "answer is ", "####", "I hope", "-", "1,", "1/", "."]
    {
        let text = piece.repeat(1_000_000 / piece.len());
        for rule in [Extract::LastBoxed, Extract::Minerva, Extract::Letter, Extract::LastNumber, Extract::FinalAnswer] {
            extract(&text, rule);
        }
        extract(&text, Extract::LastAnswerIs);
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn a_box_that_never_closes_hides_those_around_it_and_none_before() {
    check(
        Extract::LastBoxed,
        &[
            (r"\boxed{1} \boxed{2 \boxed{3} \boxed{4", Some("3")),
            (r"\boxed{1 \boxed{2 \boxed{", None),
            (r"\boxed{7} \boxed{1 \\\boxed{2 }", Some("2")),
            (r"\boxed{7} \boxed{1 } } \\boxed{2 \} {", Some("1")),
        ],
    );
}

#[test]
fn no_text_makes_a_rule_panic() {
    let pieces = [
        "\\boxed",
        "{",
        "}",
        "é",
        "####",
        "answer is ",
        "-",
        ",",
        ".",
        "1",
        "$",
        "(",
        ")",
        "I hope",
        "final answer is",
        "\\",
        "/",
        "\n",
    ];
    let mut rng = crate::recipe::Seed(0).stream("test").at(&[]);
    for _ in 0..20_000 {
        let text: String = (0..rng.below(9)).map(|_| *rng.pick(&pieces)).collect();
        for rule in [
            Extract::LastBoxed,
            Extract::LastAnswerIs,
            Extract::Hashes,
            Extract::Minerva,
            Extract::LastNumber,
            Extract::Letter,
            Extract::FinalAnswer,
        ] {
            assert_ne!(extract(&text, rule), Some(""), "{text}");
        }
    }
}
