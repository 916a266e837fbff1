//! Laws of answer equality: symmetric, reflexive, blind to spelling, and total on every input.

use ablate::task::verdict::Verdict;
use ablate::task::verify::{Rule, check_gold, equal, equal_bytes};
use proptest::prelude::*;

/// Pieces that LaTeX is made of, put together without sense.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "1",
        "2",
        "10",
        "0",
        "x",
        "y",
        "n",
        "e",
        "i",
        "f",
        "\\pi",
        "\\frac",
        "\\sqrt",
        "[3]",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\\{",
        "\\}",
        "|",
        "^",
        "_",
        "+",
        "-",
        "*",
        "/",
        "=",
        "<",
        "\\le",
        "\\pm",
        ",",
        ";",
        ":",
        "!",
        "%",
        "°",
        "'",
        "\\text{",
        "\\left",
        "\\right",
        "\\cup",
        "\\in",
        "\\infty",
        "\\sin",
        "\\log",
        "\\lfloor",
        "\\rfloor",
        "\\binom",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "&",
        "\\\\",
        "\\",
        " ",
        "\\,",
        ".5",
        "1,234",
        "apples",
        "or",
        "½",
        "²",
        "√",
        "\\overline{3}",
        "1e5",
        "999999999",
        "\\dot",
        "\\emptyset",
        "$",
        "\u{0}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|v| v.concat())
}

/// Well-formed expressions, fully bracketed.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["1", "2", "3", "7", "x", "y", "\\pi", "\\frac{1}{2}", "0.25", "\\sqrt{2}"]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/", "^2"]), inner).prop_map(|(a, op, b)| match op {
            "/" => format!("\\frac{{{a}}}{{{b}}}"),
            "^2" => format!("({a})^{{2}}"),
            op => format!("({a} {op} {b})"),
        })
    })
}

/// Spellings of the same expression.
fn respellings(s: &str) -> Vec<String> {
    vec![
        s.replace(' ', ""),
        s.replace('+', " + ").replace('-', "  -\\, "),
        s.replace('(', "\\left( ").replace(')', "\\right)"),
        s.replace("\\frac", "\\dfrac"),
        s.replace('*', "\\cdot "),
        s.replace('*', "×").replace('-', "−").replace("\\pi", "π"),
        s.replace("\\frac{1}{2}", "\\frac12").replace("^{2}", "^2"),
        s.replace("\\sqrt{2}", "\\sqrt2").replace("^{2}", "²"),
        format!("${s}$."),
        format!("\\( {s} \\)"),
        format!("\\boxed{{{s}}}"),
        format!("({s})"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_too_strange(gold in prop::collection::vec(any::<u8>(), 0..80), answer in prop::collection::vec(any::<u8>(), 0..80)) {
        equal_bytes(&gold, &answer);
        equal_bytes(b"1", &answer);
    }

    #[test]
    fn equality_of_soup_is_symmetric_and_reflexive(a in soup(), b in soup()) {
        let (forth, back) = (equal(&a, &b), equal(&b, &a));
        let empty = |r: &str| r == Rule::Empty.name();
        prop_assert!(forth == back || empty(forth.1) || empty(back.1), "{forth:?} {back:?}");
        let (verdict, _) = equal(&a, &a);
        prop_assert!(matches!(verdict, Verdict::Correct | Verdict::NoAnswer));
        // Layout around the same text changes nothing.
        if verdict == Verdict::Correct {
            let spaced = equal(&a, &format!(" {a} \n")).0;
            prop_assert_eq!(spaced, Verdict::Correct);
        }
        let _ = check_gold(&a);
        prop_assert!(Rule::ALL.iter().any(|r| r.name() == forth.1));
    }

    #[test]
    fn respelling_an_expression_changes_nothing(s in expression()) {
        // Without a value there is nothing to compare, as in 1/(x−x).
        prop_assume!(equal(&s, &format!("0+{s}")).0 == Verdict::Correct);
        for t in respellings(&s) {
            prop_assert_eq!(equal(&s, &t).0, Verdict::Correct, "{}", t);
            prop_assert_eq!(equal(&t, &s).0, Verdict::Correct, "{}", t);
        }
    }

    #[test]
    fn adding_a_little_is_noticed(s in expression(), digits in 1usize..40) {
        prop_assume!(equal(&s, &format!("0+{s}")).0 == Verdict::Correct);
        let (verdict, rule) = equal(&s, &format!("{s}+10^{{-{digits}}}"));
        prop_assert_eq!(verdict, Verdict::Wrong, "{}", rule);
    }

    #[test]
    fn integers_of_any_size_are_exact(digits in "[1-9][0-9]{0,300}", at in 0usize..300) {
        let mut other = digits.clone().into_bytes();
        let at = at % other.len();
        other[at] = if other[at] == b'9' { b'8' } else { other[at] + 1 };
        let other = String::from_utf8(other).unwrap();
        prop_assert_eq!(equal(&digits, &other).0, Verdict::Wrong);
        prop_assert_eq!(equal(&digits, &format!("{digits}.0")).0, Verdict::Correct);
        prop_assert_eq!(equal(&digits, &format!("\\frac{{{digits}}}{{1}}")).0, Verdict::Correct);
    }
}

#[test]
fn hostile_answers_are_given_up_on_without_a_large_stack() {
    let repeat = |s: &str, n: usize| s.repeat(n);
    let mut hostile = vec![
        "5^(5^(5^(5^5)))".to_owned(),
        repeat("{", 100_000),
        repeat("1", 1_000_000),
        "1e999999999".into(),
        "1000000!".into(),
        "3!!!!!".into(),
        "(1+1/10^{300})^{10^{300}}".into(),
        "\\sin(10^{4000})".into(),
        "e^{e^{e^{e^e}}}".into(),
        format!("{}1", repeat("-", 15_000)),
        format!("{}x", repeat("\\left|", 2_000)),
        ["1"; 4_000].join(","),
        ["x"; 4_000].join("+"),
    ];
    for unit in [
        "{", "(", "(1,", "\\{1,", "[", "\\{", "|", "^", "_", "\\frac{", "\\sqrt{", "f(", "\\sin", "\\text{", "x^", "!",
        "½", "x=", "1,",
    ] {
        hostile.push(repeat(unit, 16_000 / unit.len()));
        hostile.push(repeat(unit, 100));
    }
    let check = move || {
        for answer in &hostile {
            let verdict = equal("17", answer).0;
            assert_ne!(verdict, Verdict::Correct, "{}", &answer[..answer.len().min(40)]);
            assert_eq!(equal(answer, answer).0, Verdict::Correct);
        }
        for answer in &hostile[..9] {
            assert_eq!(equal("17", answer).0, Verdict::GaveUp, "{}", &answer[..answer.len().min(40)]);
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(check).unwrap().join().unwrap();
}

#[test]
fn what_stops_a_comparison_does_not_depend_on_its_order() {
    // Found by fuzzing. Beyond the budget, beyond what is evaluated, without a value, not decided in 256 bits.
    let stops = [
        "3!!!!!!!!!!",
        "5^(5^(5^(5Z5)))",
        "5^(5^(5^(5^5)))",
        "1/0",
        "f(2)!",
        "\\sin(10^{4000})",
        "x^{1/0}",
        "17",
        "x+1",
    ];
    for a in stops {
        for b in stops {
            assert_eq!(equal(a, b), equal(b, a), "{a} {b}");
        }
    }
    // One side is given up on for one of its members; another of its members is missing on the other side.
    let sets = [
        (r"\{111180530981233550T!+he,235,T+he,21(B)", r"\{111180530981233550!T!+he,235,T+he,235cu,35cu, 5"),
        (r"\{3!!!!!!!!!!, 1, 2\}", r"\{1, 3\}"),
        (r"\{3!!!!!!!!!!, 1\}", r"\{1, 2\}"),
        ("3!!!!!!!!!!, 1, 1", "1, 2, 3"),
        ("3!!!!!!!!!!, 1", "1, 5^(5^(5^(5^5)))"),
        ("i=q", "i<6"),
    ];
    for (a, b) in sets {
        assert_eq!(equal(a, b), equal(b, a), "{a} {b}");
    }
    assert_eq!(equal(sets[1].0, sets[1].1).0, Verdict::Wrong);
    assert_eq!(equal(sets[2].0, sets[2].1).0, Verdict::GaveUp);
}

#[test]
fn an_answer_that_cannot_be_read_is_never_read_as_a_number_in_it() {
    for answer in
        ["1-", "+1+", "1 or so", "about 1", "the value 1 is it", "1 @", "\\foo{1}", "1)", "(1", "=1", "1=", "1?!"]
    {
        let (verdict, rule) = equal("1", answer);
        assert_eq!(verdict, Verdict::Wrong, "{answer} by {rule}");
    }
}
