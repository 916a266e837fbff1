//! Text to token ids and back.
//!
//! A closed set of tokenizers. The maths world has its own, one id a word: with numbers as single tokens a tiny model
//! spends its capacity on arithmetic and not on spelling. Published models bring theirs as a file.

#[cfg(feature = "engine")]
use super::hf_tokenizer::HfTokenizer;
use crate::recipe::Template;
use crate::recipe::template::Begin;
use std::collections::HashMap;

/// How text becomes ids.
#[derive(Debug, Clone)]
pub enum Tokenizer {
    /// One id for each word between white space.
    Words(WordTokenizer),
    /// A Hugging Face `tokenizer.json`.
    #[cfg(feature = "engine")]
    Hf(HfTokenizer),
}

/// A text that the tokenizer has no ids for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    #[error("failed to encode a text: word {position} is `{word}`, which is not in the vocabulary of {size} words")]
    UnknownWord { word: String, position: usize, size: usize },
    #[error("failed to encode a text of {bytes} bytes: {reason}")]
    Refused { bytes: usize, reason: String },
    #[error("failed to make a prompt: template and question together have no token")]
    NoPrompt,
}

impl Tokenizer {
    /// Number of ids; every id is below it.
    pub fn vocab_size(&self) -> usize {
        match self {
            Tokenizer::Words(words) => words.words.len(),
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.vocab_size(),
        }
    }

    /// The ids of a text, without any special token before or after it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        match self {
            Tokenizer::Words(words) => words.encode(text),
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.encode(text),
        }
    }

    /// The text of some ids, special tokens included. An id beyond the vocabulary prints as `<id N>`.
    pub fn decode(&self, ids: &[u32]) -> String {
        match self {
            Tokenizer::Words(words) => words.decode(ids),
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.decode(ids),
        }
    }

    /// The id that ends a document and a response.
    pub fn eos(&self) -> u32 {
        match self {
            Tokenizer::Words(_) => WordTokenizer::EOS,
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.eos(),
        }
    }

    /// Whether an id ends a response: [`Tokenizer::eos`], or another that a published model's files list.
    pub fn is_end(&self, id: u32) -> bool {
        match self {
            Tokenizer::Words(_) => id == WordTokenizer::EOS,
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.is_end(id),
        }
    }

    /// The id that a published model expects before a text of its own, if there is one. The world's models were trained on
    /// documents that follow an end token.
    pub fn begin(&self) -> Option<u32> {
        match self {
            Tokenizer::Words(_) => Some(WordTokenizer::EOS),
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.bos(),
        }
    }

    /// The id that begins a document and a prompt. The same as [`Tokenizer::eos`] unless the tokenizer has one of its own.
    pub fn bos(&self) -> u32 {
        match self {
            Tokenizer::Words(_) => WordTokenizer::EOS,
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.bos().unwrap_or(hf.eos()),
        }
    }

    /// The ids of a document as corpora hold it, to stand between separators: the separator before it is [`Tokenizer::eos`],
    /// so only a [`Tokenizer::bos`] of its own is put in front.
    pub fn document(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = self.encode(text)?;
        if self.bos() != self.eos() {
            ids.insert(0, self.bos());
        }
        Ok(ids)
    }

    /// The ids of a question in a template, as the template says: what stands before it, and which special tokens are in it.
    pub fn prompt(&self, template: &Template, question: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids: Vec<u32> = match template.begin {
            Begin::Document => vec![self.bos()],
            Begin::Tokenizer => self.begin().into_iter().collect(),
            Begin::Nothing => vec![],
        };
        // Special tokens cut the text before it is encoded; the question lies whole within one piece.
        let (mut pieces, mut text) = self.cut(template, &template.before);
        text.push_str(question);
        let (after, rest) = self.cut(template, &template.after);
        for (piece, special) in after {
            pieces.push((std::mem::take(&mut text) + &piece, special));
        }
        text.push_str(&rest);
        for (piece, special) in pieces {
            ids.extend(self.encode(&piece)?);
            ids.push(special);
        }
        ids.extend(self.encode(&text)?);
        if ids.is_empty() { Err(TokenizerError::NoPrompt) } else { Ok(ids) }
    }

    /// The pieces of a template's text that end at a special token, and what follows the last.
    fn cut(&self, template: &Template, text: &str) -> (Vec<(String, u32)>, String) {
        match (self, template.special_tokens) {
            #[cfg(feature = "engine")]
            (Tokenizer::Hf(hf), true) => hf.cut(text),
            _ => (vec![], text.to_string()),
        }
    }

    /// The id that must never be sampled, if there is one.
    pub fn pad(&self) -> Option<u32> {
        match self {
            Tokenizer::Words(_) => Some(WordTokenizer::PAD),
            #[cfg(feature = "engine")]
            Tokenizer::Hf(hf) => hf.pad(),
        }
    }
}

/// Words in a fixed order; the place in the list is the id. The first two are `<eos>` and `<pad>`.
#[derive(Debug, Clone)]
pub struct WordTokenizer {
    words: Vec<String>,
    ids: HashMap<String, u32>,
}

impl WordTokenizer {
    pub const EOS: u32 = 0;
    pub const PAD: u32 = 1;

    /// `<eos>`, `<pad>`, then the given words; a word that occurs again keeps its first place.
    pub fn new(words: impl IntoIterator<Item = String>) -> WordTokenizer {
        let mut tokenizer = WordTokenizer { words: Vec::new(), ids: HashMap::new() };
        for word in ["<eos>", "<pad>"].map(str::to_string).into_iter().chain(words) {
            if !tokenizer.ids.contains_key(&word) {
                tokenizer.ids.insert(word.clone(), tokenizer.words.len() as u32);
                tokenizer.words.push(word);
            }
        }
        tokenizer
    }

    /// All words, in the order of their ids.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let unknown = |position: usize, word: &str| TokenizerError::UnknownWord {
            word: word.to_string(),
            position,
            size: self.words.len(),
        };
        text.split_whitespace()
            .enumerate()
            .map(|(position, word)| self.ids.get(word).copied().ok_or_else(|| unknown(position, word)))
            .collect()
    }

    fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        for id in ids {
            if !text.is_empty() {
                text.push(' ');
            }
            match self.words.get(*id as usize) {
                Some(word) => text.push_str(word),
                None => text.push_str(&format!("<id {id}>")),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::Words(WordTokenizer::new(["tom", "has", "tom", "3"].map(str::to_string)))
    }

    #[test]
    fn known_words_survive_a_round_trip() {
        let ids = tokenizer().encode(" tom has\n3  ").unwrap();
        assert_eq!(ids, [2, 3, 4]);
        assert_eq!(tokenizer().decode(&ids), "tom has 3");
        assert_eq!(tokenizer().decode(&[0, 99]), "<eos> <id 99>");
        assert_eq!((tokenizer().vocab_size(), tokenizer().eos(), tokenizer().pad()), (5, 0, Some(1)));
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = tokenizer().encode("tom had 3").unwrap_err().to_string();
        assert!(error.contains("word 1 is `had`"), "{error}");
    }
}
