//! Laws of all suites, on the benchmark files where they are at hand.

use ablate::data::contamination::{Probe, contamination};
use ablate::task::{Problem, Suite, Verdict, render};
use std::path::PathBuf;

fn benchmark(suite: Suite) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/benchmarks/{suite}.jsonl"));
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped {suite}: {} is absent", path.display());
    }
    text
}

#[test]
fn names_parse_back_and_mistakes_get_a_hint() {
    for suite in Suite::ALL {
        assert_eq!(suite.name().parse::<Suite>().unwrap(), suite);
        assert_eq!(serde_json::to_value(suite).unwrap(), suite.name());
    }
    let error = "gms8k".parse::<Suite>().unwrap_err().to_string();
    assert!(error.contains("did you mean `gsm8k`"), "{error}");
}

#[test]
fn every_example_answers_its_own_question() {
    for suite in Suite::ALL {
        for shot in suite.examples() {
            let problem = Problem {
                id: "shot".into(),
                question: shot.question.clone(),
                gold: suite.gold(shot.answer.trim_matches('$')),
            };
            let response = suite.response(&shot.solution, &shot.answer);
            for authors in [false, true] {
                // The authors' rules know no choice beyond d.
                if !(authors && problem.gold == "E") {
                    let judged = suite.judge(&response, &problem, authors);
                    assert_eq!(judged.verdict, Verdict::Correct, "{suite}: {response} {judged:?}");
                }
            }
        }
        assert!(suite.examples().len() >= suite.default_shots());
    }
}

#[test]
fn prompts_end_where_the_answer_begins() {
    let template = Suite::Gsm8k.template(1).unwrap();
    let prompt = render(&template, "1 + 1?");
    assert_eq!(
        prompt,
        "Q: A baker fills 6 trays with 12 rolls each. She sells 45 rolls before noon. How many rolls are left at noon?\n\
         A: The baker makes 6 * 12 = 72 rolls. After she sells 45 of them, 72 - 45 = 27 rolls are left. The answer is 27.\n\n\
         Q: 1 + 1?\nA:"
    );
    assert_eq!(template.stop, ["\nQ:"]);
    let prompt = render(&Suite::Math.template(4).unwrap(), "1 + 1?");
    assert!(prompt.ends_with("I hope it is correct.\n\nProblem:\n1 + 1?\n\nSolution:"), "{prompt}");
    assert_eq!(Suite::Amc23.template(0).unwrap().before, "Q: ");
    let error = Suite::Ocw.template(9).unwrap_err().to_string();
    assert!(error.contains("there are 4"), "{error}");
}

#[test]
fn what_follows_the_answer_does_not_count() {
    let item = Problem { id: "x".into(), question: "1+1?".into(), gold: "2".into() };
    let judged = Suite::Gsm8k.judge(" The answer is 2.\n\nQ: And 2+2?\nA: The answer is 4.", &item, false);
    assert_eq!(judged.verdict, Verdict::Correct);
    let judged = Suite::Math.judge("\\boxed{2}.\nProblem:\n2+2?\n\nSolution: \\boxed{4}", &item, false);
    assert_eq!(judged.verdict, Verdict::Correct);
}

#[test]
fn identity_names_everything_that_moves_a_number() {
    let a = serde_json::to_string(&Suite::MathSat.identity(4, false)).unwrap();
    assert_eq!(a, r#"{"suite":"math_sat","shots":4,"shots_version":1,"rules_version":2,"authors":false}"#);
    assert_ne!(Suite::MathSat.identity(4, false), Suite::MathSat.identity(4, true));
}

#[test]
fn every_gold_answer_can_be_given_and_another_items_cannot() {
    let mut mistaken = Vec::new();
    for suite in Suite::ALL {
        let Some(text) = benchmark(suite) else { continue };
        let (items, problems) = suite.read(&text);
        for problem in &problems {
            println!("{suite} {problem}");
        }
        assert_eq!(problems, [], "{suite}");
        assert!(items.len() <= suite.items() && !items.is_empty());
        let answered = |gold: &str| suite.response("We think about it.", gold);
        let lost =
            items.iter().filter(|item| suite.judge(&answered(&item.gold), item, true).verdict != Verdict::Correct);
        println!("{suite}: {} items, {} can't be right under the authors' rules", items.len(), lost.count());
        println!("{suite}: only its own spelling is right for {:?}", suite.spelled(&items));
        for (item, other) in items.iter().zip(items.iter().skip(1)).filter(|(item, other)| item.gold != other.gold) {
            let judged = suite.judge(&answered(&other.gold), item, false);
            if judged.verdict == Verdict::Correct {
                mistaken.push(format!("{}: `{}` for `{}`", item.id, other.gold, item.gold));
            }
        }
    }
    // Neighbours whose answers really are the same.
    mistaken.retain(|text| !["math500-0022: `x=5` for `5`"].contains(&text.as_str()));
    assert_eq!(mistaken, [] as [String; 0]);
}

#[test]
fn an_answer_off_by_one_is_wrong() {
    for suite in Suite::ALL {
        let Some(text) = benchmark(suite) else { continue };
        let mut numeric = 0;
        for item in suite.read(&text).0 {
            if let Some(value) = item.gold.parse::<f64>().ok().filter(|value| value.abs() < 1e5) {
                let response = suite.response("We think about it.", &format!("{}", value + 1.0));
                assert_eq!(suite.judge(&response, &item, false).verdict, Verdict::Wrong, "{}: {response}", item.id);
                numeric += 1;
            }
        }
        println!("{suite}: {numeric} numbers");
    }
}

#[test]
fn verdicts_are_those_of_the_reference_checker_up_to_tolerance() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/verify.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is absent", path.display());
        return;
    };
    let mut agreed = 0;
    for line in text.lines() {
        let pair: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| pair[name].as_str().unwrap();
        let suite: Suite = field("benchmark").parse().unwrap();
        // The others look for the last number, whatever stands around it.
        let whole_answer =
            [Suite::Math500, Suite::Olympiadbench, Suite::Ocw, Suite::MathSat, Suite::MmluStem, Suite::Mathqa];
        if !whole_answer.contains(&suite) {
            continue;
        }
        let item = Problem { id: "pair".into(), question: String::new(), gold: suite.gold(field("gold")) };
        let judged = suite.judge(field("response"), &item, false);
        let same = (judged.verdict == Verdict::Correct) == pair["intended"].as_bool().unwrap();
        // `.3562` for `.35625` is within a thousandth.
        assert!(same || judged.verdict == Verdict::Correct && judged.rule == "number", "{line}: {judged:?}");
        agreed += usize::from(same);
    }
    assert!(agreed > 1500, "{agreed}");
}

#[test]
fn no_example_is_a_benchmark_item() {
    let prompts: Vec<String> = Suite::ALL.map(|suite| suite.template(suite.default_shots()).unwrap().before).to_vec();
    for suite in Suite::ALL {
        let Some(text) = benchmark(suite) else { continue };
        let probes: Vec<Probe> =
            suite.read(&text).0.into_iter().map(|item| Probe { id: item.id, text: item.question }).collect();
        let found = contamination(&probes, prompts.iter().map(String::as_str), 10);
        assert_eq!(found.found, [], "{suite}");
        println!("{suite}: {} items looked for, {} too short", found.items, found.unchecked.len());
    }
}

#[test]
fn a_files_name_says_which_suite_it_is() {
    for (name, suite) in [
        ("gsm8k.jsonl", Some(Suite::Gsm8k)),
        ("data/GSM8K-test.jsonl", Some(Suite::Gsm8k)),
        ("math500.jsonl", Some(Suite::Math500)),
        ("math-500_dev.jsonl.gz", Some(Suite::Math500)),
        ("math.jsonl", Some(Suite::Math)),
        ("math_test.jsonl", Some(Suite::Math)),
        ("math_sat.jsonl", Some(Suite::MathSat)),
        ("mathematics.jsonl", None),
        ("mine.jsonl", None),
    ] {
        assert_eq!(Suite::of_file(std::path::Path::new(name)), suite, "{name}");
    }
}
