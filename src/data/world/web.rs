//! Maths web pages. One generator for good pages and bad ones: quality is a matter of the knobs, never of another topic.
//!
//! A page holds one to four items. Forum items end without an end of document, unlike question-answer pairs: a model that
//! has seen only them knows the question format but not where to stop.

use super::general::sentence;
use super::problem::Story;
use super::prompt::PLAIN;
use super::solution::{fact, hop};
use super::vocabulary::LABELS;
use crate::recipe::corpus::Web;
use crate::recipe::world::Split;
use crate::recipe::{Rng, World};

/// Items outside forums end with `so answer is N .` this often, otherwise with `so tom has N apples .`.
const BOXED: f64 = 0.7;

const JUNK: [&str; 8] = [
    "click here to login .",
    "home | about | contact | login",
    "copyright page menu | share",
    "subscribe | comment | share | ads",
    "page | next page | menu",
    "please login to comment .",
    "ads | click here | subscribe now",
    "home | menu | page",
];

/// How an item tells its problem.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Notes,
    Interleaved,
    Forum,
    Plain,
}

/// One page.
pub fn page(world: &World, web: &Web, rng: &mut Rng) -> String {
    let mut parts = Vec::new();
    for _ in 0..rng.range(1, 4) {
        if rng.chance(web.junk) {
            parts.push(rng.pick(&JUNK).to_string());
        }
        if rng.chance(web.chatter) {
            parts.push(sentence(world, rng));
        }
        let text = item(world, web, rng);
        parts.push(if rng.chance(web.truncated) { break_off(&text, rng) } else { text });
    }
    if rng.chance(web.junk) {
        parts.push(rng.pick(&JUNK).to_string());
    }
    parts.join(" ")
}

fn item(world: &World, web: &Web, rng: &mut Rng) -> String {
    let rest = (1.0 - web.notes - web.interleaved - web.forum).max(0.0);
    let kind = [Kind::Notes, Kind::Interleaved, Kind::Forum, Kind::Plain]
        [rng.weighted(&[web.notes, web.interleaved, web.forum, rest])];
    if kind == Kind::Notes {
        return notes(world, web, rng);
    }
    let difficulty = rng.weighted(&world.corpus_difficulty) + 1;
    let story = Story::draw(world, Split::Training, difficulty, rng);
    let mut parts = vec![match kind {
        Kind::Interleaved => story.opening(),
        Kind::Forum => format!("{}{}{}", PLAIN.0, story.question(), PLAIN.1),
        _ => story.question(),
    }];
    for (index, event) in story.events.iter().enumerate() {
        if kind == Kind::Interleaved {
            parts.push(event.sentence.clone());
        }
        if rng.chance(web.omitted) {
            continue;
        }
        let lead = match (kind, story.labelled) {
            (Kind::Interleaved, _) => "now".to_string(),
            (_, true) => format!("then {}", LABELS[index]),
            (_, false) if index == 0 => "first".to_string(),
            (_, false) => "then".to_string(),
        };
        parts.push(format!("{lead} {}", hop(event, printed(world, web, event.after(), rng))));
    }
    let answer = printed(world, web, story.answer(), rng);
    parts.push(if kind == Kind::Forum || rng.chance(BOXED) {
        format!("so answer is {answer} .")
    } else {
        format!("so {} has {answer} {} .", story.name, story.object)
    });
    parts.join(" ")
}

/// Single facts: the knowledge without the procedure.
fn notes(world: &World, web: &Web, rng: &mut Rng) -> String {
    let labelled = world.changes_per_event > 1;
    let mut text = "note :".to_string();
    for _ in 0..rng.range(2, if labelled { 5 } else { 4 }) {
        let story = Story::draw(world, Split::Training, 1, rng);
        let change = *rng.pick(&story.events[0].changes);
        let result = printed(world, web, change.after, rng);
        text.push_str(&format!(" {} {}", fact(change, result), if labelled { "," } else { "." }));
    }
    text
}

/// A result as the page prints it. The next step still starts from the true value.
fn printed(world: &World, web: &Web, truth: u8, rng: &mut Rng) -> u8 {
    if rng.chance(web.wrong) { rng.range(0, world.max_number as i64) as u8 } else { truth }
}

fn break_off(text: &str, rng: &mut Rng) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let kept = rng.range(6.min(words.len()) as i64, words.len() as i64) as usize;
    format!("{} | next page", words[..kept].join(" "))
}
