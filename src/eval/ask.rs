//! Puts the items of one benchmark to a model and keeps what it says.
//!
//! A sampled response's generator is addressed by (seed, item, sample), where the item is named by its id: so the response
//! is the same whatever else is asked, in whatever order, batch or number of threads.

use super::responses::{Asking, Response, Responses, ResponsesError};
use crate::data::{Tokenizer, TokenizerError};
use crate::model::generate::{Prompt, Sampling};
use crate::model::{Completion, Decoder, DeviceError, Watch, generate_watched};
use crate::recipe::{Backend, Key, Seed, Template};
use crate::task::template::stop_at;
use crate::task::{Problem, render, respond};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("failed to make the prompt of item `{id}`: {source}")]
    Prompt { id: String, source: TokenizerError },
    #[error(
        "failed to make the prompt of item `{id}`: token {token} is beyond the model's vocabulary of {vocab}; the tokenizer is not this model's"
    )]
    Vocabulary { id: String, token: u32, vocab: usize },
    #[error(transparent)]
    Responses(#[from] ResponsesError),
    #[error("failed to draw responses: {0}")]
    Device(#[from] DeviceError),
}

/// An item as the model sees it.
#[derive(Debug, Clone)]
pub struct Question {
    pub problem: Problem,
    /// The whole prompt.
    pub text: String,
    pub ids: Vec<u32>,
    /// Digest of `ids`.
    pub digest: String,
}

/// How the work is done; never what comes out.
#[derive(Debug, Clone, Copy)]
pub struct Effort<'a> {
    pub threads: usize,
    /// Responses that are drawn at the same time, at most.
    pub live: usize,
    /// Set by whoever wants the work to end; responses that are not done by then are not kept.
    pub stop: &'a AtomicBool,
}

/// How responses are asked for.
#[derive(Debug, Clone)]
pub struct Manner {
    pub template: Template,
    pub max_new_tokens: usize,
    /// Sampled responses an item, besides the greedy one.
    pub samples: usize,
    pub temperature: f64,
    pub seed: Seed,
}

impl Manner {
    /// The identity of the responses of a model, drawn on a CPU.
    pub fn asking(&self, model: Key, tokenizer: Key) -> Asking {
        Asking {
            model,
            tokenizer,
            backend: Backend::Cpu,
            begin: self.template.begin,
            special_tokens: self.template.special_tokens,
            before: self.template.before.clone(),
            after: self.template.after.clone(),
            stop: self.template.stop.clone(),
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            seed: self.seed,
        }
    }

    /// The prompts of some items.
    pub fn questions(&self, problems: &[Problem], tokenizer: &Tokenizer) -> Result<Vec<Question>, AskError> {
        let question = |problem: &Problem| {
            let text = render(&self.template, &problem.question);
            let encoded = tokenizer.prompt(&self.template, &problem.question);
            let ids = encoded.map_err(|source| AskError::Prompt { id: problem.id.clone(), source })?;
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            Ok(Question { problem: problem.clone(), text, digest: Key::of(&bytes).short(), ids })
        };
        problems.iter().map(question).collect()
    }
}

/// What is still to be asked of one item.
struct Missing<'a> {
    question: &'a Question,
    samples: Vec<Option<usize>>,
}

fn missing<'a>(questions: &'a [Question], samples: &[Option<usize>], responses: &Responses) -> Vec<Missing<'a>> {
    let of = |question: &'a Question| {
        let absent = |sample: &Option<usize>| responses.get(&question.problem.id, &question.digest, *sample).is_none();
        Missing { question, samples: samples.iter().copied().filter(absent).collect() }
    };
    questions.iter().map(of).filter(|missing| !missing.samples.is_empty()).collect()
}

/// How many responses are not there yet.
pub fn count_missing(questions: &[Question], manner: &Manner, responses: &Responses) -> usize {
    let all: Vec<Option<usize>> = std::iter::once(None).chain((0..manner.samples).map(Some)).collect();
    missing(questions, &all, responses).iter().map(|missing| missing.samples.len()).sum()
}

/// Draws what is missing: all greedy responses first, then the samples. `heard` gets each response once it is kept.
///
/// Gives whether everything is there: not so if it was told to stop.
pub fn ask(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    questions: &[Question],
    manner: &Manner,
    responses: &Responses,
    effort: Effort,
    heard: &(dyn Fn(&Response) + Sync),
) -> Result<bool, AskError> {
    let vocab = decoder.shape().vocab;
    for question in questions {
        if let Some(token) = question.ids.iter().find(|id| **id as usize >= vocab) {
            return Err(AskError::Vocabulary { id: question.problem.id.clone(), token: *token, vocab });
        }
    }
    let samples: Vec<Option<usize>> = (0..manner.samples).map(Some).collect();
    for (which, temperature) in [(&[None][..], 0.0), (&samples, manner.temperature)] {
        let todo = missing(questions, which, responses);
        if todo.is_empty() {
            continue;
        }
        let asker = Asker { tokenizer, manner, todo: &todo, responses, stop: effort.stop, heard };
        asker.draw(decoder, temperature, effort)?;
        if effort.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Asker<'a> {
    tokenizer: &'a Tokenizer,
    manner: &'a Manner,
    todo: &'a [Missing<'a>],
    responses: &'a Responses,
    stop: &'a AtomicBool,
    heard: &'a (dyn Fn(&Response) + Sync),
}

impl Asker<'_> {
    fn draw(&self, decoder: &Decoder, temperature: f64, effort: Effort) -> Result<(), AskError> {
        let prompts: Vec<Prompt> = self
            .todo
            .iter()
            .map(|missing| Prompt { ids: missing.question.ids.clone(), samples: missing.samples.len() })
            .collect();
        let sampling = Sampling {
            temperature: temperature as f32,
            max_new: self.manner.max_new_tokens,
            eos: self.tokenizer.eos(),
            banned: vec![],
        };
        let draw = |prompt: usize, sample: usize| {
            let Missing { question, samples } = &self.todo[prompt];
            let stream = self.manner.seed.stream(&format!("ask {}", question.problem.id));
            stream.at(&[samples[sample].unwrap_or(0) as u64])
        };
        let failed: Mutex<Option<ResponsesError>> = Mutex::default();
        let ends = |tokens: &[u32]| self.stop.load(Ordering::Relaxed) || self.ends(tokens);
        let done = |prompt: usize, first: usize, completions: &[Completion]| {
            // What was cut short is no response.
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            for (sample, completion) in completions.iter().enumerate() {
                let response = self.read(prompt, first + sample, &completion.tokens);
                match self.responses.add(response.clone()) {
                    Ok(()) => (self.heard)(&response),
                    Err(error) => {
                        self.stop.store(true, Ordering::Relaxed);
                        *failed.lock().expect("no thread panicked") = Some(error);
                        return;
                    }
                }
            }
        };
        let watch = Watch { ends: &ends, done: &done };
        generate_watched(decoder, &prompts, &sampling, &draw, effort.threads, effort.live.max(1), &watch)?;
        failed.into_inner().expect("no thread panicked").map_or(Ok(()), |error| Err(error.into()))
    }

    fn read(&self, prompt: usize, sample: usize, tokens: &[u32]) -> Response {
        let Missing { question, samples } = &self.todo[prompt];
        // Any of several end tokens ends a response.
        let end = tokens.last().copied().filter(|last| self.tokenizer.is_end(*last)).unwrap_or(u32::MAX);
        let read = respond(&self.manner.template, tokens, end, |ids| self.tokenizer.decode(ids));
        Response {
            id: question.problem.id.clone(),
            prompt: question.digest.clone(),
            sample: samples[sample],
            length: read.tokens,
            ending: read.ending,
            text: read.text,
        }
    }

    /// Whether a response has come to an end token or a stop string. The newest tokens tell whether it is worth reading all.
    fn ends(&self, tokens: &[u32]) -> bool {
        let Some(last) = tokens.last() else { return false };
        let template = &self.manner.template;
        let longest = template.stop.iter().map(String::len).max().unwrap_or(0);
        let newest = &tokens[tokens.len().saturating_sub(longest + 4)..];
        self.tokenizer.is_end(*last)
            || longest > 0
                && stop_at(template, &self.tokenizer.decode(newest)).is_some()
                && stop_at(template, &self.tokenizer.decode(tokens)).is_some()
    }
}
