//! Written-out solutions.
//!
//! Short: one hop of arithmetic an event. Long: restates, computes, checks, errs, notices, and sometimes goes through an
//! event once more, as long chain-of-thought data does. Both end with `answer is N .`, the world's box.

use super::problem::{Change, Event, Op, Story};
use super::vocabulary::LABELS;
use crate::recipe::corpus::{Qa, Solution};
use crate::recipe::{Rng, World};

/// An event, or the whole, is gone through at most this often again, so that a probability of 1 still ends.
const MAX_RAMBLES: usize = 8;

/// The solution of a pair.
pub fn solution(world: &World, story: &Story, qa: &Qa, rng: &mut Rng) -> String {
    match qa.format {
        Solution::Short => careless(world, story, qa, rng),
        Solution::Long { error, ramble, recheck } => {
            let mut text = long(world, story, error, ramble, rng);
            for _ in 0..MAX_RAMBLES {
                if !rng.chance(recheck) {
                    break;
                }
                text.push_str(&format!(" wait check again . {}", long(world, story, error, ramble, rng)));
            }
            text
        }
    }
}

/// A short solution that nobody checked: steps are missing, results misprinted. As on a web page, the step after a wrong
/// one starts from the true value; the answer is what the last step says.
fn careless(world: &World, story: &Story, qa: &Qa, rng: &mut Rng) -> String {
    let mut parts = Vec::new();
    let mut answer = story.answer();
    for (index, event) in story.events.iter().enumerate() {
        let wrong = rng.chance(qa.wrong);
        answer = if wrong { rng.range(0, world.max_number as i64) as u8 } else { event.after() };
        if !rng.chance(qa.omitted) {
            parts.push(step(story, index, answer));
        }
    }
    parts.push(format!("answer is {answer} ."));
    parts.join(" ")
}

/// `first 5 + 4 - 2 = 7 . second … answer is 7 .`; events without labels have no first word.
pub fn short(story: &Story) -> String {
    let steps = (0..story.events.len()).map(|index| step(story, index, story.events[index].after()));
    let mut parts: Vec<String> = steps.collect();
    parts.push(format!("answer is {} .", story.answer()));
    parts.join(" ")
}

/// One event of a short solution, with the result that is printed.
fn step(story: &Story, index: usize, result: u8) -> String {
    let hop = hop(&story.events[index], result);
    if story.labelled { format!("{} {hop}", LABELS[index]) } else { hop }
}

/// One hop over a whole event, with the result that is printed (which web pages get wrong at times): `5 + 4 - 2 = 7 .`
pub fn hop(event: &Event, result: u8) -> String {
    format!("{} = {result} .", event.left_side())
}

/// `5 + 4 = 9`
pub fn fact(change: Change, result: u8) -> String {
    format!("{} {} {} = {result}", change.before, change.op.sign(), change.by)
}

fn long(world: &World, story: &Story, error: f64, ramble: f64, rng: &mut Rng) -> String {
    let opening = if story.labelled { "let us think ." } else { "let us think step by step ." };
    let mut parts = vec![opening.to_string()];
    for (index, event) in story.events.iter().enumerate() {
        let once = |rng: &mut Rng| {
            if story.labelled {
                micro_steps(world, LABELS[index], event, error, rng)
            } else {
                checked_step(world, event, error, rng)
            }
        };
        parts.push(once(rng));
        for _ in 0..MAX_RAMBLES {
            if !rng.chance(ramble) {
                break;
            }
            parts.push(format!("wait check again . {}", once(rng)));
        }
    }
    parts.push(format!("so answer is {} .", story.answer()));
    parts.join(" ")
}

/// The sentence, the arithmetic and its inverse: `tom buys 3 more . 4 + 3 = 7 . check 7 - 3 = 4 ok .`
fn checked_step(world: &World, event: &Event, error: f64, rng: &mut Rng) -> String {
    let change = event.changes[0];
    let mut text = format!("{} ", event.sentence);
    if rng.chance(error)
        && let Some(wrong) = slip(world, change, true, rng)
    {
        text.push_str(&format!("{} . {} wait wrong . ", fact(change, wrong), check(change, wrong)));
    }
    text.push_str(&format!("{} . {} ok .", fact(change, change.after), check(change, change.after)));
    text
}

/// The inverse operation on a result; doubling is checked by doubling again.
fn check(change: Change, result: u8) -> String {
    let by = change.by;
    match change.op {
        Op::Plus => format!("check {result} - {by} = {}", result - by),
        Op::Minus => format!("check {result} + {by} = {}", result + by),
        Op::Times => format!("check {} * {by} = {}", change.before, change.after),
    }
}

/// The event's header, then change by change: `first 5 + 4 - 2 : 5 + 4 = 9 , 9 - 2 = 7 , = 7 .`
fn micro_steps(world: &World, label: &str, event: &Event, error: f64, rng: &mut Rng) -> String {
    let mut text = format!("{label} {} :", event.left_side());
    for change in &event.changes {
        if rng.chance(error)
            && let Some(wrong) = slip(world, *change, false, rng)
        {
            text.push_str(&format!(" {} wait", fact(*change, wrong)));
        }
        text.push_str(&format!(" {} ,", fact(*change, change.after)));
    }
    text.push_str(&format!(" = {} .", event.after()));
    text
}

/// A result that is wrong by one or two and still a number; with `checkable` its check is a number too.
fn slip(world: &World, change: Change, checkable: bool, rng: &mut Rng) -> Option<u8> {
    let (after, by, max) = (change.after as i64, change.by as i64, world.max_number as i64);
    let fits = |wrong: &i64| {
        let checked = match change.op {
            Op::Plus => wrong - by,
            Op::Minus => wrong + by,
            Op::Times => *wrong,
        };
        (0..=max).contains(wrong) && (!checkable || (0..=max).contains(&checked))
    };
    let candidates: Vec<i64> = [after - 2, after - 1, after + 1, after + 2].into_iter().filter(fits).collect();
    (!candidates.is_empty()).then(|| *rng.pick(&candidates) as u8)
}
