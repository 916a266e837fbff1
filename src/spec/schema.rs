//! JSON Schemas of experiment and lab files, for editors: completion, explanations, and the first mistakes while typing.
//!
//! They are files beside the experiments, so that an editor finds them without the program (the first line of each
//! experiment names its schema). They are looser than the reader: sums, names and whatever needs two places of a file are
//! beyond them. Tests hold that they accept every shipped file and know the same keys as the reader.

use serde_json::Value;

/// The schema of experiment files.
pub fn experiment() -> Value {
    serde_json::from_str(include_str!("../../experiments/schema/experiment.schema.json")).expect("a test parses it")
}

/// The schema of lab files.
pub fn lab() -> Value {
    serde_json::from_str(include_str!("../../experiments/schema/lab.schema.json")).expect("a test parses it")
}
