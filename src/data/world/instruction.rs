//! Instruction following, a quarter of it each: say a word, answer about a colour, solve a problem, find a number.

use super::problem::Story;
use super::prompt::{CHAT, INST, PLAIN};
use super::solution::short;
use super::vocabulary::{ANIMALS, COLOURS, NAMES, OBJECTS};
use crate::recipe::world::Split;
use crate::recipe::{Rng, World};

/// One instruction and its fulfilment.
pub fn instruction(world: &World, rng: &mut Rng) -> String {
    let (task, reply, (before, after)) = match rng.below(4) {
        0 => {
            let words = [&OBJECTS[..], &ANIMALS[..], &COLOURS[..]].concat();
            let word = rng.pick(&words);
            (format!("please say the word {word} only ."), format!("{word} ."), CHAT)
        }
        1 => {
            let (animal, colour, name) = (rng.pick(&ANIMALS), rng.pick(&COLOURS), rng.pick(&NAMES));
            let task = format!("please answer . the {animal} of {name} is {colour} . what color is it ?");
            (task, format!("answer is {colour} ."), CHAT)
        }
        2 => {
            let difficulty = rng.weighted(&world.corpus_difficulty) + 1;
            let story = Story::draw(world, Split::Training, difficulty, rng);
            (story.question(), short(&story), INST)
        }
        _ => {
            let (name, number) = (rng.pick(&NAMES), rng.range(0, world.max_number as i64));
            let task = format!("what is the number after the word {name} ? {name} {number} .");
            (task, format!("answer is {number} ."), PLAIN)
        }
    };
    format!("{before}{task}{after} {reply}")
}
