//! Prompt templates, as identity: the text around a question, and how the answer is found in the response.
//!
//! A template and its extractor are one object. Templates are data: the text itself is hashed, so renaming one keeps
//! every key, and editing one moves exactly the keys that use it.
//!
//! How a template becomes ids is part of it: what stands before the prompt, and whether names of special tokens in it are
//! those tokens. A question's text never becomes a special token, whatever it spells.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `before` + question + `after` is the prompt; `extract` finds the answer in what follows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Template {
    pub before: String,
    pub after: String,
    pub extract: Extract,
    /// The response ends where one of these begins (it is not kept), besides at the end-of-text token.
    pub stop: Vec<String>,
    /// What stands before the prompt.
    #[serde(default, skip_serializing_if = "is_default")]
    pub begin: Begin,
    /// Names of special tokens in `before` and `after` (`<|im_start|>`) stand for those tokens; otherwise they are text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub special_tokens: bool,
}

/// The id before a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// As a document begins in training: the tokenizer's begin-of-text id, or its end-of-text id if it has none.
    #[default]
    Document,
    /// The begin-of-text id if the tokenizer puts one before a text (Llama), else nothing (Qwen), as `transformers` does.
    Tokenizer,
    /// Nothing: whatever the template needs is written in it.
    Nothing,
}

/// New fields at their defaults are left out of the hashed text, so that old keys stay.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A named rule that finds the answer in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extract {
    #[default]
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
    /// As people mark it: the last box, closed or not; else the sentence after the last `answer is` or `answer:`; else the
    /// line after `####`; else the whole of a short line; else the last number or fraction.
    FinalAnswer,
    /// A multiple-choice letter.
    Letter,
}
