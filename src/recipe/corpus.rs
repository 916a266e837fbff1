//! Corpora, as identity. A corpus has no seed of an arm in it: all seeds of all arms share its shards.

use super::key::Key;
use super::units::Tokens;
use super::world::World;
use serde::{Deserialize, Serialize};

/// How one corpus is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorpusRecipe {
    /// Generated documents of the maths world.
    World(WorldCorpus),
    /// Text files, tokenised once.
    Text(TextCorpus),
}

/// `tokens` tokens (the last document is kept whole, so a few more) of one style of document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorldCorpus {
    pub world: World,
    pub tokens: Tokens,
    /// Part of the random address; two corpora of the same style with other streams share no draws.
    pub stream: u64,
    pub style: Style,
}

/// What the documents of a generated corpus look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Everyday sentences with numbers but no arithmetic, and a little question answering (stands for general web text).
    General,
    /// Random words repeated: teaches copying.
    Echo,
    /// Maths web pages; quality is a matter of the knobs.
    Web(Web),
    /// One question and its solution a document.
    Qa(Qa),
    /// Instruction following, some of it mathematical.
    Instruction,
}

/// Knobs of a maths web page. Every one is a probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Web {
    /// Share of items that are lists of facts.
    pub notes: f64,
    /// Share that tell the story and the arithmetic interleaved.
    pub interleaved: f64,
    /// Share in the style of a question-and-answer forum (`question : … answer : …`) without an end of document.
    pub forum: f64,
    /// An everyday sentence stands before an item.
    pub chatter: f64,
    /// A printed result is replaced by a random number.
    pub wrong: f64,
    /// A step is left out.
    pub omitted: f64,
    /// An item breaks off.
    pub truncated: f64,
    /// Navigation and advertisements stand before an item.
    pub junk: f64,
}

/// Knobs of question-answer pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Qa {
    pub format: Solution,
    /// Prompt format of the pair; see [`crate::recipe::Template`].
    pub prompt: String,
    /// A short solution's result is replaced by a random number, and so is the answer if it was the last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wrong: f64,
    /// A step of a short solution is left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: f64,
}

/// Knobs that came later are absent from recipes that do not use them, whose keys so stay what they were.
fn is_zero(knob: &f64) -> bool {
    *knob == 0.0
}

/// How a solution is written out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solution {
    /// One line of arithmetic an event, then the answer.
    Short,
    /// Restates, computes, checks, errs and corrects itself before answering.
    Long {
        /// A step is first done wrong, noticed and redone.
        error: f64,
        /// A finished event is gone through once more.
        ramble: f64,
        /// After its answer, the whole is gone through and answered once more.
        #[serde(default, skip_serializing_if = "is_zero")]
        recheck: f64,
    },
}

/// Text files, identified by their content and by the tokenizer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextCorpus {
    /// SHA-256 over the files' digests, in the order in which they are read.
    pub content: Key,
    pub tokenizer: Key,
    /// What becomes a document's text.
    pub render: Render,
    /// What happens to a line that can't be read.
    pub bad_lines: BadLines,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Render {
    /// A column holds the text.
    Text { column: String },
    /// A question and an answer column, joined by a named format.
    Qa { question: String, answer: String, format: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadLines {
    Fail,
    Skip,
}
