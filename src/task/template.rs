//! From a question to the prompt's text, and from generated text to the response that counts.

use crate::recipe::Template;

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
        };
        assert_eq!(render(&template, "1+1?"), "Q: 1+1?\nA:");
        assert_eq!(stop_at(&template, "2 Q: 3 User: 4"), Some(2));
        assert_eq!(stop_at(&template, "2 Q : 3"), None);
    }
}
