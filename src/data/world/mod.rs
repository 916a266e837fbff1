//! The generated maths world: problems, and corpora whose quality is a matter of knobs.
//!
//! A problem tells how many things someone has, changes that number a few times, and asks for the result. Everything is
//! a pure function of a recipe: document `i` of a corpus and problem `i` of a set each have a random address of their own.
//!
//! Contamination is impossible by construction: a question is held out when its hash says so (one in eight), corpora and
//! training problems never contain a held-out question, and held-out sets contain nothing else.
//!
//! Deliberately absent: subtraction below zero, two people, distractors. What a tiny model finds hard is long chains, and
//! difficulty has them.

mod general;
mod instruction;
mod problem;
mod prompt;
mod solution;
#[cfg(test)]
mod tests;
mod vocabulary;
mod web;

pub use problem::held_out;
pub use prompt::{FORMATS, format, template};

use super::tokenizer::Tokenizer;
use crate::recipe::corpus::{Style, WorldCorpus};
use crate::recipe::world::Split;
use crate::recipe::{ProblemSet, Rng, Seed, World};
use problem::Story;
use std::collections::HashSet;

/// A held-out problem is drawn again at most this often to differ from those before it.
const MAX_REDRAWS: usize = 64;

/// A world, set or corpus that has no documents or problems.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WorldError {
    #[error("failed to make the world: `{field}` is {value}, expected {expected}")]
    OutOfRange { field: &'static str, value: String, expected: String },
    #[error("failed to find the prompt format `{name}`: known formats are {known}")]
    UnknownFormat { name: String, known: String },
}

/// One problem. The answer is a number in digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldProblem {
    pub question: String,
    pub answer: String,
    /// Number of events, from 1.
    pub difficulty: usize,
}

/// The tokenizer of a world: one id a word and a number.
pub fn tokenizer(world: &World) -> Tokenizer {
    Tokenizer::Words(vocabulary::tokenizer(world.max_number))
}

/// Checks a world's rules.
pub fn check(world: &World) -> Result<(), WorldError> {
    let within = |field, value: u8, low: u8, high: u8| match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(out_of_range(field, value.to_string(), format!("{low} to {high}"))),
    };
    within("max_number", world.max_number, 5, 127)?;
    within("max_change", world.max_change, 1, world.max_number)?;
    within("changes_per_event", world.changes_per_event, 1, 9)?;
    check_probability("doubles", world.doubles, 0.9)?;
    check_difficulty(world, "corpus_difficulty", &world.corpus_difficulty)
}

/// Checks the world of a set and its difficulties.
pub fn check_set(set: &ProblemSet) -> Result<(), WorldError> {
    check(&set.world)?;
    check_difficulty(&set.world, "difficulty", &set.difficulty)
}

fn check_difficulty(world: &World, field: &'static str, weights: &[f64]) -> Result<(), WorldError> {
    let most = if world.changes_per_event > 1 { vocabulary::LABELS.len() } else { 16 };
    let fine = (1..=most).contains(&weights.len())
        && weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
        && weights.iter().sum::<f64>() > 0.0;
    let expected = format!("1 to {most} weights, none negative, not all zero");
    if fine { Ok(()) } else { Err(out_of_range(field, format!("{weights:?}"), expected)) }
}

fn check_probability(field: &'static str, value: f64, most: f64) -> Result<(), WorldError> {
    match (0.0..=most).contains(&value) {
        true => Ok(()),
        false => Err(out_of_range(field, value.to_string(), format!("0 to {most}"))),
    }
}

fn out_of_range(field: &'static str, value: String, expected: String) -> WorldError {
    WorldError::OutOfRange { field, value, expected }
}

/// Problem `index` of a set: a pure function of both.
///
/// A held-out set avoids repeating a question, so its problem `index` depends on those before it and costs as much as all
/// of them; to walk through a set use [`problems`]. Panics if [`check_set`] refuses the set.
pub fn problem(set: &ProblemSet, index: u64) -> WorldProblem {
    match set.split {
        Split::Training => {
            let mut rng = address(set, index);
            let difficulty = rng.weighted(&set.difficulty) + 1;
            draw_problem(set, difficulty, &mut rng)
        }
        Split::HeldOut => problems(set, index as usize + 1).pop().expect("at least one was asked for"),
    }
}

/// The first `count` problems of a set: `problems(set, n)[i] == problem(set, i)`.
///
/// Held-out questions are distinct as far as there are enough of them; training questions may repeat.
pub fn problems(set: &ProblemSet, count: usize) -> Vec<WorldProblem> {
    let mut seen: HashSet<String> = HashSet::new();
    let mut drawn = Vec::with_capacity(count);
    for index in 0..count as u64 {
        let mut rng = address(set, index);
        let difficulty = rng.weighted(&set.difficulty) + 1;
        let mut problem = draw_problem(set, difficulty, &mut rng);
        for _ in 0..MAX_REDRAWS {
            if set.split == Split::Training || !seen.contains(&problem.question) {
                break;
            }
            problem = draw_problem(set, difficulty, &mut rng);
        }
        seen.insert(problem.question.clone());
        drawn.push(problem);
    }
    drawn
}

fn address(set: &ProblemSet, index: u64) -> Rng {
    Seed(set.stream).stream("world problem").at(&[index])
}

fn draw_problem(set: &ProblemSet, difficulty: usize, rng: &mut Rng) -> WorldProblem {
    let story = Story::draw(&set.world, set.split, difficulty, rng);
    WorldProblem { question: story.question(), answer: story.answer().to_string(), difficulty }
}

/// The documents of a corpus as ids, without separators. They end with the one that brings the corpus, each document
/// counted with one separator, to its number of tokens.
pub fn documents(corpus: &WorldCorpus) -> Result<impl Iterator<Item = Vec<u32>> + use<>, WorldError> {
    let texts = texts(corpus)?;
    let tokenizer = tokenizer(&corpus.world);
    let (mut left, mut texts) = (corpus.tokens.0, texts);
    Ok(std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let text = texts.next()?;
        let ids = tokenizer.encode(&text).expect("the generator writes words of the vocabulary");
        left = left.saturating_sub(ids.len() as u64 + 1);
        Some(ids)
    }))
}

/// The same documents as text, without end.
pub fn texts(corpus: &WorldCorpus) -> Result<impl Iterator<Item = String> + use<>, WorldError> {
    let WorldCorpus { world, style, stream, .. } = corpus.clone();
    check(&world)?;
    check_style(&style)?;
    let stream = Seed(stream).stream(purpose(&style));
    Ok((0..).map(move |index| text(&world, &style, &mut stream.at(&[index]))))
}

/// Styles draw from streams of their own. Question-answer pairs share one: short and long solutions then solve the same
/// problems, and a comparison between them is paired.
fn purpose(style: &Style) -> &'static str {
    match style {
        Style::General => "world general",
        Style::Echo => "world echo",
        Style::Web(_) => "world web",
        Style::Qa(_) => "world qa",
        Style::Instruction => "world instruction",
    }
}

fn check_style(style: &Style) -> Result<(), WorldError> {
    match style {
        Style::General | Style::Echo | Style::Instruction => Ok(()),
        Style::Qa(qa) => {
            if let crate::recipe::corpus::Solution::Long { error, ramble, recheck } = qa.format {
                check_probability("recheck", recheck, 1.0)?;
                check_probability("error", error, 1.0)?;
                check_probability("ramble", ramble, 1.0)?;
            }
            check_probability("wrong", qa.wrong, 1.0)?;
            check_probability("omitted", qa.omitted, 1.0)?;
            format(&qa.prompt).map(|_| ())
        }
        Style::Web(web) => {
            let knobs = [
                ("notes", web.notes),
                ("interleaved", web.interleaved),
                ("forum", web.forum),
                ("chatter", web.chatter),
                ("wrong", web.wrong),
                ("omitted", web.omitted),
                ("truncated", web.truncated),
                ("junk", web.junk),
            ];
            knobs.iter().try_for_each(|(field, value)| check_probability(field, *value, 1.0))?;
            check_probability("notes + interleaved + forum", web.notes + web.interleaved + web.forum, 1.0 + 1e-9)
        }
    }
}

fn text(world: &World, style: &Style, rng: &mut Rng) -> String {
    match style {
        Style::General => general::general(world, rng),
        Style::Echo => general::echo(world, rng),
        Style::Web(knobs) => web::page(world, knobs, rng),
        Style::Instruction => instruction::instruction(world, rng),
        Style::Qa(qa) => {
            let (before, after) = format(&qa.prompt).expect("checked");
            let difficulty = rng.weighted(&world.corpus_difficulty) + 1;
            let story = Story::draw(world, Split::Training, difficulty, rng);
            format!("{before}{}{after} {}", story.question(), solution::solution(world, &story, qa, rng))
        }
    }
}
