//! Documents without arithmetic: everyday sentences, echoes, and small questions.

use super::prompt::{CHAT, PLAIN};
use super::vocabulary::{ADJECTIVES, ANIMALS, COLOURS, NAMES, OBJECTS, PLACES, TIMES, VERBS, echo_words};
use crate::recipe::{Rng, World};

/// Share of general documents that are one question about a colour, so that the words of prompts are not untrained.
const QUESTIONS: f64 = 0.12;

/// An everyday sentence; numbers occur, arithmetic never does.
pub fn sentence(world: &World, rng: &mut Rng) -> String {
    let kind = rng.below(12);
    let name = *rng.pick(&NAMES);
    let number = rng.range(1, world.max_number as i64);
    let mut one = |words: &[&'static str]| *rng.pick(words);
    match kind {
        0 => format!("{name} went to the {} on {} .", one(&PLACES), one(&TIMES)),
        1 => format!("the {} was {} and {} .", one(&ANIMALS), one(&COLOURS), one(&ADJECTIVES)),
        2 => format!("{name} {} a {} {} near the {} .", one(&VERBS), one(&ADJECTIVES), one(&ANIMALS), one(&PLACES)),
        3 => format!("{name} and {} walked to the {} .", one(&NAMES), one(&PLACES)),
        4 => format!("it was a {} day in the {} .", one(&ADJECTIVES), one(&PLACES)),
        5 => format!("{name} is {number} years old ."),
        6 => format!("the room number is {number} ."),
        7 => format!("{name} has {number} {} .", one(&OBJECTS)),
        8 => format!("there was a {} {} with {} .", one(&COLOURS), one(&ANIMALS), one(&NAMES)),
        9 => format!("then {name} ran by the {} and sat .", one(&PLACES)),
        10 => format!("{name} {} the {} {} again .", one(&VERBS), one(&COLOURS), one(&ANIMALS)),
        _ => format!("the {} of {name} was {} .", one(&OBJECTS), one(&ADJECTIVES)),
    }
}

/// Six to eighteen sentences, or one question about a colour.
pub fn general(world: &World, rng: &mut Rng) -> String {
    if rng.chance(QUESTIONS) {
        let (animal, colour, name) = (rng.pick(&ANIMALS), rng.pick(&COLOURS), rng.pick(&NAMES));
        let (before, after) = *rng.pick(&[PLAIN, CHAT]);
        return format!(
            "{before}the {animal} was {colour} . {name} saw it . what color was the {animal} ?{after} {colour} ."
        );
    }
    let sentences: Vec<String> = (0..rng.range(6, 18)).map(|_| sentence(world, rng)).collect();
    sentences.join(" ")
}

/// One to three lists of random words, each said twice.
pub fn echo(world: &World, rng: &mut Rng) -> String {
    let vocabulary = echo_words(world.max_number);
    let mut parts = Vec::new();
    for _ in 0..rng.range(1, 3) {
        let words: Vec<&str> = (0..rng.range(3, 10)).map(|_| rng.pick(&vocabulary).as_str()).collect();
        let words = words.join(" ");
        parts.push(format!("{words} . again {words} ."));
    }
    parts.join(" ")
}
