//! Finds the answer in a response as the suite asks for it, then compares.

use super::equality::{self, number};
use super::{Equality, Style, Suite};
use crate::recipe::template::Extract;
use crate::task::{Judgement, Problem, Verdict, extract};
use std::borrow::Cow;

impl Suite {
    /// Whether a response answers an item. `authors` grades as the paper's harness does, defects included.
    ///
    /// The response may run on into a next question, as base models do; what follows it doesn't count.
    pub fn judge(self, response: &str, problem: &Problem, authors: bool) -> Judgement {
        let Some(answer) = self.find(until_next_question(self.style(), response), &problem.gold, authors) else {
            return Judgement { verdict: Verdict::NoAnswer, rule: "no-answer", answer: None };
        };
        let (verdict, rule) = self.compare(&problem.question, &problem.gold, &answer, authors);
        Judgement { verdict, rule, answer: Some(answer.into_owned()) }
    }

    /// Whether an extracted answer to a question equals the gold answer.
    pub(crate) fn compare(self, question: &str, gold: &str, answer: &str, authors: bool) -> (Verdict, &'static str) {
        match self.equality() {
            Equality::Choice => equality::letter(gold, answer, authors),
            Equality::Number => equality::number_or_expression(gold, answer, authors),
            Equality::Option => equality::option(question, gold, answer, authors),
            Equality::List => equality::list(question, gold, answer, authors),
            Equality::Expression => equality::expression(gold, answer),
            Equality::Ocw => equality::ocw(gold, answer, authors),
        }
    }

    fn find<'a>(self, response: &'a str, gold: &str, authors: bool) -> Option<Cow<'a, str>> {
        match self.style() {
            // Where the gold answer is no number, looking for a number finds nothing that could be right.
            Style::Gsm if number(gold).is_some() || authors && self.equality() == Equality::Number => {
                extract(response, Extract::LastNumber).map(Cow::from)
            }
            Style::Gsm => extract(response, Extract::LastBoxed).or_else(|| stated(response)).map(Cow::from),
            Style::Minerva => extract(after_final_answer(self, response), Extract::Minerva).map(Cow::from),
            Style::Ocw => extract(response, Extract::Minerva).map(Cow::from),
            Style::Choice => extract(response, Extract::Letter).map(Cow::from),
        }
    }
}

/// Up to where the model begins a question of its own.
fn until_next_question(style: Style, response: &str) -> &str {
    let (ask, _) = style.markers();
    let next = format!("\n{}", ask.trim_end());
    response.split(next.as_str()).next().unwrap_or(response)
}

/// OlympiadBench reads the text after the last `Final Answer:`, if there is one.
fn after_final_answer(suite: Suite, response: &str) -> &str {
    if suite != Suite::Olympiadbench {
        return response;
    }
    response.rfind("Final Answer:").map_or(response, |at| &response[at..])
}

/// The rest of the line after the last `answer is`, without dollars and the full stop that ends it; else the last line.
fn stated(response: &str) -> Option<&str> {
    let rest = match response.rfind("answer is") {
        Some(at) => response[at + "answer is".len()..].trim_start_matches(':').trim_start().lines().next(),
        None => response.trim_end().lines().next_back(),
    };
    let text = rest?.trim();
    let text = text.strip_suffix('.').unwrap_or(text).trim_matches('$');
    (!text.is_empty()).then_some(text)
}
