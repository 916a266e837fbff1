//! The named prompt formats. Question-answer documents and RL prompts take their texts from here and nowhere else, so a
//! model is asked in the words that it was taught.

use super::WorldError;
use crate::recipe::Template;
use crate::recipe::template::Extract;

/// What stands before and after the question.
pub type Format = (&'static str, &'static str);

pub const PLAIN: Format = ("question : ", " answer :");
pub const CHAT: Format = ("user : ", " assistant :");
pub const INST: Format = ("user : please solve . stop after the answer . ", " assistant :");

/// Names and texts of all formats.
pub const FORMATS: [(&str, Format); 3] = [("plain", PLAIN), ("chat", CHAT), ("inst", INST)];

/// The format of that name.
pub fn format(name: &str) -> Result<Format, WorldError> {
    match FORMATS.iter().find(|(known, _)| *known == name) {
        Some((_, format)) => Ok(*format),
        None => {
            Err(WorldError::UnknownFormat { name: name.to_string(), known: FORMATS.map(|(known, _)| known).join(", ") })
        }
    }
}

/// The format of that name as a template; the answer is the last `answer is N`.
pub fn template(name: &str) -> Result<Template, WorldError> {
    let (before, after) = format(name)?;
    Ok(Template {
        before: before.to_string(),
        after: after.to_string(),
        extract: Extract::LastAnswerIs,
        ..Template::default()
    })
}
