//! Laws of the maths world.

use super::problem::{Op, Story, held_out};
use super::*;
use crate::recipe::Tokens;
use crate::recipe::corpus::{Qa, Solution, Web};

fn sentences() -> World {
    World {
        max_number: 12,
        max_change: 5,
        changes_per_event: 1,
        doubles: 0.1,
        corpus_difficulty: vec![0.3, 0.3, 0.2, 0.2],
    }
}

fn labelled() -> World {
    World { max_number: 19, max_change: 9, changes_per_event: 5, doubles: 0.0, corpus_difficulty: vec![0.5, 0.5] }
}

fn ordered() -> World {
    World { doubles: 0.4, ..labelled() }
}

const GOOD: Web = Web {
    notes: 0.15,
    interleaved: 0.3,
    forum: 0.2,
    chatter: 0.15,
    wrong: 0.0,
    omitted: 0.0,
    truncated: 0.0,
    junk: 0.0,
};
const BAD: Web = Web {
    notes: 0.0,
    interleaved: 0.45,
    forum: 0.2,
    chatter: 0.25,
    wrong: 0.15,
    omitted: 0.3,
    truncated: 0.3,
    junk: 0.6,
};

fn qa(format: Solution) -> Style {
    Style::Qa(Qa { format, prompt: "plain".to_string(), wrong: 0.0, omitted: 0.0 })
}

fn styles() -> Vec<Style> {
    let long = Solution::Long { error: 0.15, ramble: 0.1, recheck: 0.0 };
    vec![
        Style::General,
        Style::Echo,
        Style::Web(GOOD),
        Style::Web(BAD),
        qa(Solution::Short),
        qa(long),
        Style::Instruction,
    ]
}

fn corpus(world: World, style: Style) -> WorldCorpus {
    WorldCorpus { world, tokens: Tokens(20_000), stream: 1, style }
}

fn set(world: World, split: Split) -> ProblemSet {
    ProblemSet { world, difficulty: vec![0.25; 4], split, stream: 5 }
}

/// Replays `left op by op by … = right` and says whether it is true; a text may hold other words around it.
fn equations(text: &str) -> Vec<(String, bool)> {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |word: &str| word.parse::<i64>().ok();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if *word != "=" || number(words[at - 1]).is_none() {
            continue;
        }
        let Some(printed) = words.get(at + 1).and_then(|word| number(word)) else { continue };
        let mut begin = at - 1;
        while begin >= 2 && ["+", "-", "*"].contains(&words[begin - 1]) {
            begin -= 2;
        }
        let mut value = number(words[begin]).unwrap();
        for pair in words[begin + 1..at].chunks(2) {
            let by = number(pair[1]).unwrap();
            value = match pair[0] {
                "+" => value + by,
                "-" => value - by,
                _ => value * by,
            };
        }
        found.push((words[begin..=at + 1].join(" "), value == printed));
    }
    found
}

#[test]
fn every_document_is_in_the_vocabulary_and_not_empty() {
    for world in [sentences(), labelled(), ordered()] {
        let tokenizer = tokenizer(&world);
        for style in styles() {
            for text in texts(&corpus(world.clone(), style)).unwrap().take(300) {
                let ids = tokenizer.encode(&text).unwrap();
                assert!(!ids.is_empty() && !ids.contains(&tokenizer.eos()));
                assert_eq!(tokenizer.decode(&ids), text, "one blank between words");
            }
        }
    }
}

#[test]
fn a_corpus_holds_its_tokens_and_one_document_more_at_most() {
    let mut lengths: Vec<usize> =
        documents(&corpus(sentences(), Style::General)).unwrap().map(|d| d.len() + 1).collect();
    let all: usize = lengths.iter().sum();
    assert!(all >= 20_000 && all - lengths.pop().unwrap() < 20_000, "{all}");
}

#[test]
fn documents_are_a_function_of_the_recipe() {
    for style in styles() {
        let take = |stream| {
            let corpus = WorldCorpus { stream, ..corpus(labelled(), style.clone()) };
            documents(&corpus).unwrap().take(20).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }
}

#[test]
fn stories_compute_what_they_tell() {
    for world in [sentences(), labelled(), ordered()] {
        let mut rng = Seed(1).stream("test").at(&[]);
        for difficulty in 1..=6 {
            for _ in 0..200 {
                let story = Story::draw(&world, Split::Training, difficulty, &mut rng);
                let mut value = story.start;
                for event in &story.events {
                    assert_eq!(event.changes.len(), world.changes_per_event as usize);
                    for change in &event.changes {
                        assert_eq!(change.before, value);
                        value = match change.op {
                            Op::Plus => value + change.by,
                            Op::Minus => value - change.by,
                            Op::Times => value * change.by,
                        };
                        assert_eq!(change.after, value);
                        assert!(value <= world.max_number && change.by <= world.max_change);
                        assert!(event.sentence.contains(&change.by.to_string()) || change.op == Op::Times);
                    }
                }
                assert_eq!((story.answer(), story.events.len()), (value, difficulty));
            }
        }
    }
}

#[test]
fn good_pages_and_solutions_hold_no_false_equation_and_bad_pages_do() {
    for world in [sentences(), labelled(), ordered()] {
        let share_false = |style: Style| {
            let texts = texts(&corpus(world.clone(), style)).unwrap().take(400);
            let all: Vec<(String, bool)> = texts.flat_map(|text| equations(&text)).collect();
            assert!(all.len() > 400);
            all.iter().filter(|(_, right)| !right).count() as f64 / all.len() as f64
        };
        assert_eq!(share_false(Style::Web(GOOD)), 0.0);
        assert_eq!(share_false(qa(Solution::Short)), 0.0);
        assert_eq!(share_false(qa(Solution::Long { error: 0.0, ramble: 0.5, recheck: 0.0 })), 0.0);
        let bad = share_false(Style::Web(BAD));
        assert!((0.08..0.2).contains(&bad), "{bad}");
        assert!(share_false(qa(Solution::Long { error: 0.3, ramble: 0.0, recheck: 0.0 })) > 0.02);
    }
}

#[test]
fn unchecked_pairs_err_and_skip_as_often_as_they_are_told_to() {
    let pairs = |wrong: f64, omitted: f64| -> Vec<String> {
        let style = Style::Qa(Qa { format: Solution::Short, prompt: "plain".to_string(), wrong, omitted });
        texts(&corpus(labelled(), style)).unwrap().take(400).collect()
    };
    let equations_of = |pairs: &[String]| pairs.iter().flat_map(|text| equations(text)).collect::<Vec<_>>();
    let whole = equations_of(&pairs(0.0, 0.0));
    let wrong = equations_of(&pairs(0.3, 0.0));
    let share = wrong.iter().filter(|(_, right)| !right).count() as f64 / wrong.len() as f64;
    assert!((0.22..0.32).contains(&share), "{share}");
    let skipped = 1.0 - equations_of(&pairs(0.0, 0.3)).len() as f64 / whole.len() as f64;
    assert!((0.24..0.36).contains(&skipped), "{skipped}");
    let end = |text: &String| text.rsplit_once("answer is").unwrap().1.to_string();
    let right: Vec<String> = pairs(0.0, 0.3).iter().map(end).collect();
    assert_eq!(right, pairs(0.0, 0.0).iter().map(end).collect::<Vec<_>>());
}

#[test]
fn a_recheck_answers_once_more() {
    let long = |recheck| qa(Solution::Long { error: 0.0, ramble: 0.0, recheck });
    let answers = |text: &String| text.matches("answer is").count();
    let texts = |recheck| texts(&corpus(labelled(), long(recheck))).unwrap().take(400).collect::<Vec<_>>();
    assert!(texts(0.0).iter().all(|text| answers(text) == 1));
    let mean = texts(0.5).iter().map(answers).sum::<usize>() as f64 / 400.0;
    assert!((1.8..2.2).contains(&mean), "{mean}");
}

#[test]
fn short_and_long_solutions_of_a_stream_end_with_the_same_answer() {
    let ends = |format: Solution| -> Vec<String> {
        let texts = texts(&corpus(labelled(), qa(format))).unwrap().take(100);
        texts.map(|text| text.rsplit_once("answer is").unwrap().1.to_string()).collect()
    };
    assert_eq!(ends(Solution::Short), ends(Solution::Long { error: 0.3, ramble: 0.3, recheck: 0.0 }));
}

#[test]
fn held_out_questions_are_in_no_corpus_and_no_training_set() {
    for world in [sentences(), labelled(), ordered()] {
        for style in styles() {
            for text in texts(&corpus(world.clone(), style)).unwrap().take(1500) {
                for question in questions(&text) {
                    assert!(!held_out(&question), "held out, yet in a corpus: {question}");
                }
            }
        }
        for index in 0..300 {
            let training = problem(&set(world.clone(), Split::Training), index);
            assert!(!held_out(&training.question) && questions(&training.question).contains(&training.question));
        }
        assert!(problems(&set(world, Split::HeldOut), 300).iter().all(|problem| held_out(&problem.question)));
    }
}

/// Every stretch of a text that could be a question: from some `… has` to some `?`, with nothing worked out in between.
fn questions(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let begins = (0..words.len() - 1).filter(|at| words[at + 1] == "has");
    let ends: Vec<usize> = (0..words.len()).filter(|at| words[*at] == "?").collect();
    begins
        .flat_map(|begin| ends.iter().filter(move |end| **end > begin).map(move |end| (begin, *end)))
        .map(|(begin, end)| &words[begin..=end])
        .filter(|words| words.iter().filter(|word| **word == "has").count() == 1 && !words.contains(&"="))
        .map(|words| words.join(" "))
        .collect()
}

#[test]
fn one_question_in_eight_is_held_out() {
    let mut rng = Seed(2).stream("test").at(&[]);
    let story = |rng: &mut Rng| Story::draw(&sentences(), Split::Training, 2, rng);
    // Names of the same story: unlike `draw`, this does not choose by the hash.
    let count = (0..4000).filter(|n| held_out(&format!("{n} {}", story(&mut rng).question()))).count();
    assert!((420..580).contains(&count), "{count}");
}

#[test]
fn held_out_sets_do_not_repeat_and_are_pure() {
    for world in [sentences(), labelled(), ordered()] {
        for difficulty in [vec![1.0], vec![0.5, 0.5]] {
            let set = ProblemSet { difficulty, ..set(world.clone(), Split::HeldOut) };
            let drawn = problems(&set, 200);
            let distinct: HashSet<&str> = drawn.iter().map(|problem| problem.question.as_str()).collect();
            assert_eq!(distinct.len(), 200);
            for index in [0, 17, 199] {
                assert_eq!(problem(&set, index as u64), drawn[index]);
            }
            assert_eq!(problems(&set, 50), drawn[..50]);
        }
    }
}

#[test]
fn difficulties_come_as_often_as_they_are_weighted() {
    let set = ProblemSet { difficulty: vec![0.0, 3.0, 1.0], ..set(labelled(), Split::Training) };
    let mut counts = [0; 4];
    for index in 0..2000 {
        counts[problem(&set, index).difficulty] += 1;
    }
    assert_eq!(counts[1], 0);
    assert!((1400..1600).contains(&counts[2]), "{counts:?}");
}

#[test]
fn training_problems_and_documents_use_the_same_texts() {
    let (before, after) = format("plain").unwrap();
    for text in texts(&corpus(sentences(), qa(Solution::Short))).unwrap().take(50) {
        let question = text.strip_prefix(before).unwrap().split(after).next().unwrap();
        assert!(question.ends_with("have ?"), "{question}");
    }
    assert_eq!(template("chat").unwrap().after, " assistant :");
    let error = template("latex").unwrap_err().to_string();
    assert!(error.contains("`latex`") && error.contains("plain, chat, inst"), "{error}");
}

#[test]
fn impossible_worlds_are_refused_by_name() {
    let refused = |world: World, field: &str| {
        let error = check(&world).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    };
    assert_eq!((check(&sentences()), check(&labelled())), (Ok(()), Ok(())));
    refused(World { max_number: 200, ..sentences() }, "max_number");
    refused(World { max_change: 13, ..sentences() }, "max_change");
    refused(World { changes_per_event: 0, ..sentences() }, "changes_per_event");
    refused(World { doubles: f64::NAN, ..sentences() }, "doubles");
    refused(World { doubles: 0.95, ..labelled() }, "doubles");
    refused(World { corpus_difficulty: vec![1.0; 7], ..labelled() }, "corpus_difficulty");
    refused(World { corpus_difficulty: vec![0.0], ..sentences() }, "corpus_difficulty");
    let style = Style::Web(Web { forum: 0.9, ..GOOD });
    assert!(texts(&corpus(sentences(), style)).is_err());
}

#[test]
fn documents_read_as_documented() {
    let mut shown = String::new();
    for (name, world) in [("one change an event", sentences()), ("five changes an event", labelled())] {
        for style in styles() {
            let text = texts(&corpus(world.clone(), style.clone())).unwrap().nth(3).unwrap();
            shown.push_str(&format!("{name}, {style:?}\n{text}\n\n"));
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn corpora_are_golden() {
    for (worlds, digest) in [(vec![sentences(), labelled()], "9e2dac18f1e3"), (vec![ordered()], "8622481e47e1")] {
        let mut bytes = Vec::new();
        for (world, style) in worlds.iter().flat_map(|world| styles().into_iter().map(move |style| (world, style))) {
            for id in documents(&corpus(world.clone(), style)).unwrap().flatten() {
                bytes.extend(id.to_le_bytes());
            }
        }
        assert_eq!(
            crate::recipe::Key::of(&bytes).short(),
            digest,
            "the documents of the world changed: bump Kind::version of Corpus in src/recipe/mod.rs, then this digest"
        );
    }
}

#[test]
fn recipes_know_the_size_of_the_vocabulary() {
    for max_number in [12, 19] {
        let world = World { max_number, ..sentences() };
        assert_eq!(world.vocab(), tokenizer(&world).vocab_size());
    }
}
