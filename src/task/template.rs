//! From a question to the prompt's text, and from generated text to the response that counts.

use crate::recipe::Template;
use serde::{Deserialize, Serialize};

/// The text that the policy is given: `before` + question + `after`.
pub fn render(template: &Template, question: &str) -> String {
    format!("{}{question}{}", template.before, template.after)
}

/// Where the response ends: the byte at which the first of the template's stop strings begins, if one occurs.
///
/// An empty stop string is no stop string.
pub fn stop_at(template: &Template, text: &str) -> Option<usize> {
    template.stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min()
}

/// How a response came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The end-of-text token.
    Eos,
    /// One of the template's stop strings.
    StopString,
    /// The limit on tokens: the response is truncated.
    Length,
}

/// The part of a completion that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Without end-of-text token and stop string.
    pub text: String,
    /// Its tokens, counting the end-of-text token or those of the stop string: ending is something that a policy does.
    pub tokens: usize,
    pub ending: Ending,
}

/// Reads a completion up to its end-of-text token (which comes last if there is one) or up to the first stop string.
pub fn respond(template: &Template, completion: &[u32], eos: u32, decode: impl Fn(&[u32]) -> String) -> Response {
    let ended = completion.last() == Some(&eos);
    let words = &completion[..completion.len() - usize::from(ended)];
    let text = decode(words);
    if stop_at(template, &text).is_none() {
        let ending = if ended { Ending::Eos } else { Ending::Length };
        return Response { text, tokens: completion.len(), ending };
    }
    // The shortest prefix with a stop string in it.
    let stops = |count: usize| stop_at(template, &decode(&words[..count]));
    let (mut without, mut with) = (0, words.len());
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        if stops(middle).is_some() { with = middle } else { without = middle }
    }
    let mut text = decode(&words[..with]);
    text.truncate(stops(with).unwrap_or(text.len()));
    Response { text, tokens: with, ending: Ending::StopString }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::template::Extract;

    #[test]
    fn a_response_ends_at_the_first_stop_string() {
        let template = Template {
            before: "Q: ".into(),
            after: "\nA:".into(),
            extract: Extract::LastNumber,
            stop: vec!["User:".into(), "Q:".into(), String::new()],
            ..Template::default()
        };
        assert_eq!(render(&template, "1+1?"), "Q: 1+1?\nA:");
        assert_eq!(stop_at(&template, "2 Q: 3 User: 4"), Some(2));
        assert_eq!(stop_at(&template, "2 Q : 3"), None);
    }

    #[test]
    fn what_follows_the_end_is_no_part_of_the_response() {
        let template = Template { extract: Extract::LastNumber, stop: vec!["c d".into()], ..Template::default() };
        // Ids are letters; 0 ends the text.
        let decode = |ids: &[u32]| {
            ids.iter().map(|id| char::from(b'a' + *id as u8 - 1).to_string()).collect::<Vec<_>>().join(" ")
        };
        let read = |ids: &[u32]| {
            let response = respond(&template, ids, 0, decode);
            (response.text, response.tokens, response.ending)
        };
        assert_eq!(read(&[1, 2, 0]), ("a b".into(), 3, Ending::Eos));
        assert_eq!(read(&[1, 2]), ("a b".into(), 2, Ending::Length));
        assert_eq!(read(&[1, 3, 4, 5, 0]), ("a ".into(), 3, Ending::StopString));
        assert_eq!(read(&[3, 4]), (String::new(), 2, Ending::StopString));
        assert_eq!(read(&[0]), (String::new(), 1, Ending::Eos));
    }
}
