//! Prompt templates, as identity: the text around a question, and how the answer is found in the response.
//!
//! A template and its extractor are one object. Templates are data: the text itself is hashed, so renaming one keeps
//! every key, and editing one moves exactly the keys that use it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `before` + question + `after` is the prompt; `extract` finds the answer in what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    pub before: String,
    pub after: String,
    pub extract: Extract,
    /// The response ends where one of these begins (it is not kept), besides at the end-of-text token.
    pub stop: Vec<String>,
}

/// A named rule that finds the answer in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extract {
    /// The last balanced `\boxed{…}`, as the paper's reward does.
    LastBoxed,
    /// The last `answer is N` (the maths world's box).
    LastAnswerIs,
    /// What follows the last `####` (GSM8K).
    Hashes,
    /// `final answer is $…$. I hope` (Minerva), then box, then `answer is`, then the last number.
    Minerva,
    /// The last number.
    LastNumber,
    /// A multiple-choice letter.
    Letter,
}
