//! The words of the maths world. One vocabulary serves both grammars, so that worlds differ in rules and not in ids.

use crate::data::tokenizer::WordTokenizer;

pub const NAMES: [&str; 8] = ["tom", "amy", "ben", "sue", "max", "eva", "leo", "zoe"];
pub const OBJECTS: [&str; 8] = ["apples", "books", "coins", "cards", "eggs", "pens", "cups", "nuts"];
pub const PLACES: [&str; 8] = ["park", "shop", "school", "farm", "house", "river", "garden", "market"];
pub const ANIMALS: [&str; 8] = ["dog", "cat", "bird", "horse", "fish", "cow", "fox", "mouse"];
pub const COLOURS: [&str; 6] = ["red", "blue", "green", "black", "white", "brown"];
pub const ADJECTIVES: [&str; 10] = ["big", "small", "old", "new", "happy", "sad", "fast", "slow", "warm", "cold"];
pub const TIMES: [&str; 6] = ["monday", "sunday", "morning", "evening", "winter", "summer"];
pub const VERBS: [&str; 8] = ["saw", "liked", "found", "met", "fed", "called", "drew", "chased"];

/// Labels of the events in worlds with several changes an event: pointers that a tiny model can copy from.
pub const LABELS: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];

/// Everything else that a document may contain.
const REST: &str = "the a an in on at to and of with then was is has have went walked ran sat near by very day it there \
    his her who what where color how many does years number room about \
    buys finds gets more loses eats sells gives away double they friend \
    so now next note since answer question : ? . , + - * = | \
    check ok wait wrong let us think step again \
    user assistant please say word only stop reply after solve \
    click here login home contact copyright page menu share comment ads subscribe";

/// `<eos>`, `<pad>`, the numbers `0..=max_number`, then the words.
pub fn tokenizer(max_number: u8) -> WordTokenizer {
    let numbers = (0..=max_number).map(|number| number.to_string());
    let lists: [&[&str]; 9] = [&NAMES, &OBJECTS, &PLACES, &ANIMALS, &COLOURS, &ADJECTIVES, &TIMES, &VERBS, &LABELS];
    let words = lists.into_iter().flatten().copied().chain(REST.split_whitespace()).map(str::to_string);
    WordTokenizer::new(numbers.chain(words))
}

/// The words that an echo repeats: everything that means something, and numbers more often than chance.
pub fn echo_words(max_number: u8) -> Vec<String> {
    let lists: [&[&str]; 8] = [&NAMES, &OBJECTS, &PLACES, &ANIMALS, &COLOURS, &ADJECTIVES, &TIMES, &VERBS];
    let words = lists.into_iter().flatten().map(|word| word.to_string());
    let numbers = (0..3).flat_map(|_| (0..=max_number).map(|number| number.to_string()));
    words.chain(numbers).collect()
}
