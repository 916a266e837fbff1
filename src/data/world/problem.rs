//! One problem of the maths world: a story, its question, and what is true at every point of it.
//!
//! With one change an event (`tom buys 3 more .`) an event is one sentence and one hop of arithmetic. With more
//! (`first buys 5 eats 2 finds 4 .`) the event carries a label, and one hop over all its changes is hard: harder with
//! doubles among them (`first buys 5 double 2 finds 4 .`), since the order of sums and differences does not matter and that
//! of doubles does.

use super::vocabulary::{LABELS, NAMES, OBJECTS};
use crate::recipe::world::Split;
use crate::recipe::{Rng, World};
use sha2::{Digest, Sha256};

/// One of this many questions is held out.
const HELD_OUT_ONE_IN: u64 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Plus,
    Minus,
    Times,
}

impl Op {
    pub fn sign(self) -> &'static str {
        match self {
            Op::Plus => "+",
            Op::Minus => "-",
            Op::Times => "*",
        }
    }
}

/// `before op by = after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub before: u8,
    pub op: Op,
    pub by: u8,
    pub after: u8,
}

/// What one sentence of the story tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The sentence, with its full stop.
    pub sentence: String,
    /// In order; at least one.
    pub changes: Vec<Change>,
}

impl Event {
    pub fn before(&self) -> u8 {
        self.changes[0].before
    }

    pub fn after(&self) -> u8 {
        self.changes[self.changes.len() - 1].after
    }

    /// The whole event in one hop, taken from left to right, without its result: `5 + 4 * 2`.
    pub fn left_side(&self) -> String {
        let mut text = self.before().to_string();
        for change in &self.changes {
            text.push_str(&format!(" {} {}", change.op.sign(), change.by));
        }
        text
    }
}

/// A problem with everything that solutions need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    pub name: &'static str,
    pub object: &'static str,
    pub start: u8,
    pub events: Vec<Event>,
    /// Events carry labels.
    pub labelled: bool,
}

impl Story {
    /// A problem with `difficulty` events whose question belongs to `split`.
    pub fn draw(world: &World, split: Split, difficulty: usize, rng: &mut Rng) -> Story {
        loop {
            let story = Story::draw_any(world, difficulty, rng);
            if held_out(&story.question()) == (split == Split::HeldOut) {
                return story;
            }
        }
    }

    fn draw_any(world: &World, difficulty: usize, rng: &mut Rng) -> Story {
        let name = *rng.pick(&NAMES);
        let object = *rng.pick(&OBJECTS);
        let start = rng.range(1, world.max_number.min(9) as i64) as u8;
        let labelled = world.changes_per_event > 1;
        let mut value = start;
        let mut events = Vec::with_capacity(difficulty);
        while events.len() < difficulty {
            let event = if labelled {
                labelled_event(world, LABELS[events.len()], value, rng)
            } else {
                sentence_event(world, name, object, value, rng)
            };
            value = event.after();
            events.push(event);
        }
        Story { name, object, start, events, labelled }
    }

    pub fn answer(&self) -> u8 {
        self.events.last().map_or(self.start, Event::after)
    }

    /// `tom has 3 apples .`
    pub fn opening(&self) -> String {
        format!("{} has {} {} .", self.name, self.start, self.object)
    }

    /// The story and what is asked.
    pub fn question(&self) -> String {
        let mut text = self.opening();
        for event in &self.events {
            text.push(' ');
            text.push_str(&event.sentence);
        }
        text.push_str(&format!(" how many {} does {} have ?", self.object, self.name));
        text
    }
}

/// Whether a question is kept for evaluation: decided by its text alone, so that no list has to be kept or passed on.
pub fn held_out(question: &str) -> bool {
    let digest = Sha256::digest(question.as_bytes());
    let first = u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
    first.is_multiple_of(HELD_OUT_ONE_IN)
}

/// `tom gives 2 away .`, drawn anew until the number stays in range.
fn sentence_event(world: &World, name: &str, object: &str, value: u8, rng: &mut Rng) -> Event {
    loop {
        let doubles = rng.chance(world.doubles);
        let change = if doubles { doubled(world, value) } else { draw_change(world, value, rng) };
        let Some(change) = change else { continue };
        let by = change.by;
        let sentence = match (change.op, rng.below(if change.op == Op::Plus { 3 } else { 4 })) {
            (Op::Times, _) => format!("the {object} double ."),
            (Op::Plus, 0) => format!("{name} buys {by} more ."),
            (Op::Plus, 1) => format!("{name} finds {by} more ."),
            (Op::Plus, _) => format!("{name} gets {by} more ."),
            (Op::Minus, 0) => format!("{name} loses {by} ."),
            (Op::Minus, 1) => format!("{name} eats {by} ."),
            (Op::Minus, 2) => format!("{name} sells {by} ."),
            (Op::Minus, _) => format!("{name} gives {by} away ."),
        };
        return Event { sentence, changes: vec![change] };
    }
}

/// `second loses 4 finds 2 .`
fn labelled_event(world: &World, label: &str, start: u8, rng: &mut Rng) -> Event {
    let mut sentence = label.to_string();
    let mut value = start;
    let mut changes = Vec::with_capacity(world.changes_per_event as usize);
    while changes.len() < world.changes_per_event as usize {
        // A world without doubles draws nothing for them here, as in its first version: its documents are the same.
        let doubles = world.doubles > 0.0 && rng.chance(world.doubles);
        let change = if doubles { doubled(world, value) } else { draw_change(world, value, rng) };
        let Some(change) = change else { continue };
        let verb = match change.op {
            Op::Plus => rng.pick(&["buys", "finds", "gets"]),
            Op::Minus => rng.pick(&["loses", "eats", "sells"]),
            Op::Times => "double",
        };
        sentence.push_str(&format!(" {verb} {}", change.by));
        value = change.after;
        changes.push(change);
    }
    sentence.push_str(" .");
    Event { sentence, changes }
}

/// Twice as much; none if it would leave the range or change nothing.
fn doubled(world: &World, before: u8) -> Option<Change> {
    let fits = before > 0 && before <= world.max_number / 2;
    fits.then_some(Change { before, op: Op::Times, by: 2, after: 2 * before })
}

/// A sum or a difference, as likely; none if it would leave the range.
fn draw_change(world: &World, before: u8, rng: &mut Rng) -> Option<Change> {
    let op = if rng.chance(0.5) { Op::Plus } else { Op::Minus };
    let by = rng.range(1, world.max_change as i64) as u8;
    let after = if op == Op::Plus { before.checked_add(by) } else { before.checked_sub(by) };
    let after = after.filter(|after| *after <= world.max_number)?;
    Some(Change { before, op, by, after })
}
