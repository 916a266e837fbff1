//! What a benchmark item is, how its answer is found in a response, and whether it is right.

pub mod score;
pub mod verdict;
pub mod verify;
