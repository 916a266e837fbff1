//! Tokenizers of published models: a Hugging Face `tokenizer.json`, with the special ids that the files beside it name.
//!
//! Text never becomes a special id, whatever it spells: a document that quotes `<|end_of_text|>` must not end there. The
//! ids that do begin and end documents are put around it by those who pack and prompt, and are decided here, once.
//!
//! The `tokenizers` crate panics at parts that are not what their kind says, while it reads them or when it comes to use them.
//! What is known to bring it there is looked at first: what its decoder and normalizer hold as JSON, and the character maps of
//! SentencePiece (`charsmap`). The rest is caught, and told as what it is: a file that can't be used.

use super::charsmap;
use super::guard::guarded;
use super::special_tokens::{KNOWN_ENDS, SpecialTokens};
use super::tokenizer::TokenizerError;
use crate::recipe::Key;
use crate::recipe::canonical_json;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokenizers::Tokenizer;

/// The end of a tokenizer that has none: no id.
const NO_END: u32 = u32::MAX;

/// A tokenizer that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HfTokenizerError {
    #[error("failed to read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("failed to read the tokenizer {place}: {reason}")]
    Invalid { place: String, reason: String },
    #[error(
        "failed to tell which token of {place} ends a text; put a `tokenizer_config.json` with `eos_token` beside it"
    )]
    NoEnd { place: String },
    #[error("failed to use {place}: its {role} token `{token}` is not in its vocabulary")]
    UnknownToken { place: String, role: &'static str, token: String },
}

/// A tokenizer of a published model. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct HfTokenizer {
    inner: Arc<Tokenizer>,
    /// The file, as it is exported beside weights.
    json: Arc<[u8]>,
    vocab_size: usize,
    bos: Option<u32>,
    eos: u32,
    /// Other ids that end a response.
    ends: Vec<u32>,
    pad: Option<u32>,
    /// How a conversation is written down, of a GGUF file; a folder's is copied with its `tokenizer_config.json`.
    pub(super) chat_template: Option<String>,
}

/// The parts of a `tokenizer.json` that must be JSON down to the last string.
#[derive(serde::Deserialize)]
struct Unwrapped {
    #[serde(default, rename = "decoder")]
    _decoder: Value,
    #[serde(default)]
    normalizer: Value,
}

impl HfTokenizer {
    /// From a model's folder, from a `tokenizer.json` with whatever stands beside it, or from a GGUF file.
    pub fn load(place: &Path) -> Result<HfTokenizer, HfTokenizerError> {
        HfTokenizer::load_as(place, false)
    }

    /// As [`HfTokenizer::load`], but where nothing says which token ends a text, none does. Such a tokenizer can answer
    /// questions, up to a length limit; it can't separate documents.
    pub fn load_endless(place: &Path) -> Result<HfTokenizer, HfTokenizerError> {
        HfTokenizer::load_as(place, true)
    }

    fn load_as(place: &Path, endless: bool) -> Result<HfTokenizer, HfTokenizerError> {
        if place.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf")) {
            return HfTokenizer::from_gguf(place);
        }
        let path = if place.is_dir() { place.join("tokenizer.json") } else { place.to_path_buf() };
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| HfTokenizerError::Io { path: path.to_path_buf(), source })
        };
        let beside = |name: &str| {
            let path = path.with_file_name(name);
            if !path.exists() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&read(&path)?).map_err(|error| HfTokenizerError::Invalid {
                place: path.display().to_string(),
                reason: error.to_string(),
            })
        };
        let specials = SpecialTokens::from_configs(
            &beside("tokenizer_config.json")?,
            &beside("generation_config.json")?,
            &beside("config.json")?,
        );
        let specials = SpecialTokens { endless, ..specials };
        HfTokenizer::new(&path.display().to_string(), &read(&path)?, &specials)
    }

    /// From the bytes of a `tokenizer.json`; `place` names it in errors.
    pub fn new(place: &str, json: &[u8], specials: &SpecialTokens) -> Result<HfTokenizer, HfTokenizerError> {
        let invalid = |reason: String| HfTokenizerError::Invalid { place: place.to_string(), reason };
        // Large parts are only looked through.
        let unwrapped: Unwrapped = serde_json::from_slice(json).map_err(|error| invalid(error.to_string()))?;
        charsmap::check(&unwrapped.normalizer).map_err(&invalid)?;
        let mut inner = unharmed(|| Tokenizer::from_bytes(json)).map_err(&invalid)?;
        // Rows are packed and cut elsewhere; what the file says about it is for other uses.
        inner.with_truncation(None).map_err(|error| invalid(error.to_string()))?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        let id = |role: &'static str, token: &String| {
            let unknown = || HfTokenizerError::UnknownToken { place: place.to_string(), role, token: token.clone() };
            inner.token_to_id(token).ok_or_else(unknown)
        };
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        let mut known = KNOWN_ENDS.iter().filter_map(|token| inner.token_to_id(token));
        let eos = match (&specials.eos, specials.eos_id) {
            (Some(token), _) => id("end", token)?,
            (None, Some(id)) if (id as usize) < vocab_size => id,
            (None, Some(id)) => {
                return Err(invalid(format!("the id {id} that ends a text is beyond its vocabulary of {vocab_size}")));
            }
            (None, None) => match (known.next(), known.next()) {
                (Some(only), None) => only,
                _ if specials.endless => NO_END,
                _ => return Err(HfTokenizerError::NoEnd { place: place.to_string() }),
            },
        };
        let pad = specials.pad.as_ref().map(|token| id("padding", token)).transpose()?.filter(|pad| *pad != eos);
        let own = own_begin(&inner).map_err(invalid)?;
        let bos = match (specials.add_bos, &specials.bos) {
            (Some(false), _) => None,
            (Some(true), Some(token)) => Some(id("begin", token)?),
            _ => own,
        };
        let ends = specials.ends.iter().copied().filter(|end| *end != eos).collect();
        Ok(HfTokenizer {
            inner: Arc::new(inner),
            json: json.into(),
            vocab_size,
            bos,
            eos,
            ends,
            pad,
            chat_template: None,
        })
    }

    /// Bytes of the `tokenizer.json`.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Special ids, as `config.json` names them.
    pub fn ids(&self) -> Map<String, Value> {
        let ids = [("bos_token_id", self.bos), ("eos_token_id", Some(self.eos)), ("pad_token_id", self.pad)];
        ids.into_iter().filter_map(|(name, id)| Some((name.to_string(), json!(id?)))).collect()
    }

    /// A `tokenizer_config.json` that says what is known here, for a tokenizer that came without one.
    pub fn config(&self) -> Value {
        let token = |id: Option<u32>| id.and_then(|id| self.inner.id_to_token(id));
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
            "bos_token": token(self.bos), "eos_token": token(Some(self.eos)), "pad_token": token(self.pad),
            "add_bos_token": self.bos.is_some(),
        });
        if let Some(template) = &self.chat_template {
            config["chat_template"] = json!(template);
        }
        config
    }

    /// A `generation_config.json` that lists every end of a response.
    pub fn generation_config(&self) -> Value {
        let ends: Vec<u32> = [self.eos].into_iter().chain(self.ends.iter().copied()).collect();
        let mut config = self.ids();
        config.insert("eos_token_id".into(), json!(ends));
        Value::Object(config)
    }

    /// What decides how text becomes ids: the file's digest and the special ids.
    pub fn content(&self) -> Key {
        let (bos, eos, ends, pad) = (self.bos, self.eos, &self.ends, self.pad);
        let identity = json!({"json": Key::of(&self.json), "bos": bos, "eos": eos, "ends": ends, "pad": pad});
        Key::of(canonical_json(&identity).as_bytes())
    }

    /// One more than the highest id. Weights may have more rows, which no text ever uses.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Whether an id ends a response.
    pub fn is_end(&self, id: u32) -> bool {
        id == self.eos && id != NO_END || self.ends.contains(&id)
    }

    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// The pieces of a text that end at the name of a special token, each with that token, and what follows the last.
    pub fn cut(&self, text: &str) -> (Vec<(String, u32)>, String) {
        let added = self.inner.get_added_tokens_decoder();
        let special: Vec<(&str, u32)> =
            added.iter().filter(|(_, token)| token.special).map(|(id, token)| (token.content.as_str(), *id)).collect();
        let (mut pieces, mut rest) = (Vec::new(), text);
        loop {
            // The first; of those that begin together, the longest.
            let found = special.iter().filter_map(|(name, id)| Some((rest.find(name)?, name.len(), *id)));
            let Some((at, length, id)) = found.min_by_key(|(at, length, _)| (*at, std::cmp::Reverse(*length))) else {
                return (pieces, rest.to_string());
            };
            pieces.push((rest[..at].to_string(), id));
            rest = &rest[at + length..];
        }
    }

    /// The ids of a text, without special ids.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        encode(&self.inner, text, false).map_err(|reason| TokenizerError::Refused { bytes: text.len(), reason })
    }

    /// The text of some ids, special ones included; an id without a token prints as `<id N>`.
    pub fn decode(&self, ids: &[u32]) -> String {
        let known = |id: &u32| self.inner.id_to_token(*id).is_some();
        let mut text = String::new();
        for run in ids.chunk_by(|a, b| known(a) == known(b)) {
            match unharmed(|| self.inner.decode(run, false)) {
                Ok(decoded) if known(&run[0]) => text.push_str(&decoded),
                _ => run.iter().for_each(|id| text.push_str(&format!("<id {id}>"))),
            }
        }
        text
    }
}

fn encode(inner: &Tokenizer, text: &str, special: bool) -> Result<Vec<u32>, String> {
    unharmed(|| inner.encode_fast(text, special)).map(|encoding| encoding.get_ids().to_vec())
}

/// What the `tokenizers` crate says, even if it panics.
fn unharmed<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    guarded("a part of it is not what its kind says", || call().map_err(|error| error.to_string()))
}

/// The id that the tokenizer's own post-processing puts before a text.
fn own_begin(inner: &Tokenizer) -> Result<Option<u32>, String> {
    let (with, without) = (encode(inner, "a", true)?, encode(inner, "a", false)?);
    Ok(with.first().copied().filter(|first| with.len() > without.len() && without.first() != Some(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as tokens, `ab` merged, and three special tokens; `begin` says whether one is put before a text.
    fn file(begin: bool) -> Vec<u8> {
        let mut vocab = serde_json::Map::new();
        let mut alphabet: Vec<char> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
        alphabet.sort();
        for (id, character) in alphabet.into_iter().enumerate() {
            vocab.insert(character.to_string(), json!(id));
        }
        vocab.insert("ab".into(), json!(256));
        let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
        let processor = json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<b>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<b>": {"id": "<b>", "ids": [257], "tokens": ["<b>"]}}
        });
        let tokenizer = json!({
            "version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": null, "added_tokens": [special(257, "<b>"), special(258, "</s>"), special(259, "<p>")],
            "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": if begin { processor } else { Value::Null },
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": ["a b"]}
        });
        serde_json::to_vec(&tokenizer).unwrap()
    }

    fn open(begin: bool, specials: SpecialTokens) -> Result<HfTokenizer, HfTokenizerError> {
        HfTokenizer::new("test", &file(begin), &specials)
    }

    #[test]
    fn a_template_with_a_token_that_it_does_not_know_is_refused() {
        let broken = String::from_utf8(file(true)).unwrap().replacen(
            r#""SpecialToken":{"id":"<b>"#,
            r#""SpecialToken":{"id":"<B>"#,
            1,
        );
        let specials = SpecialTokens { endless: true, ..SpecialTokens::default() };
        let error = HfTokenizer::new("test", broken.as_bytes(), &specials).unwrap_err().to_string();
        assert!(error.contains("is not what its kind says"), "{error}");
    }

    #[test]
    fn a_decoder_that_is_no_text_is_refused_with_its_place() {
        let text = String::from_utf8(file(false)).unwrap();
        let start = text.find("\"decoder\"").unwrap();
        for (from, to) in [("ByteLevel", "\\ud800"), ("false", "1e999")] {
            let at = start + text[start..].find(from).unwrap();
            let broken = [&text[..at], to, &text[at + from.len()..]].concat();
            let error = HfTokenizer::new("test", broken.as_bytes(), &SpecialTokens::default()).unwrap_err().to_string();
            assert!(error.contains("line 1 column"), "{error}");
        }
    }

    #[test]
    fn a_character_map_that_is_none_is_refused() {
        let text = String::from_utf8(file(false)).unwrap();
        let map = r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"////"}"#;
        let broken = text.replacen("\"normalizer\":null", map, 1);
        let error = HfTokenizer::new("here", broken.as_bytes(), &SpecialTokens::default()).unwrap_err().to_string();
        let words = "failed to read the tokenizer here: its normalizer has a `precompiled_charsmap` that is broken";
        assert!(error.starts_with(words), "{error}");
    }

    #[test]
    fn any_text_survives_a_round_trip() {
        let tokenizer = open(true, SpecialTokens::default()).unwrap();
        for text in ["", "abab", " leading and trailing ", "línea\n\n\tπ ≠ 3 🦀", "x</s>y", "<b><p>"] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids), text);
            assert!(ids.iter().all(|id| *id < 257), "{text} has special ids: {ids:?}");
        }
        assert_eq!(tokenizer.encode("abab").unwrap(), [256, 256]);
        assert_eq!(tokenizer.decode(&[257, 256, 999, 258]), "<b>ab<id 999></s>");
        assert_eq!(tokenizer.vocab_size(), 260);
    }

    #[test]
    fn special_ids_come_from_the_files_beside() {
        let ids = |begin, specials: SpecialTokens| {
            let tokenizer = open(begin, specials).unwrap();
            (tokenizer.bos(), tokenizer.eos(), tokenizer.pad())
        };
        let named = |name: &str| Some(name.to_string());
        assert_eq!(ids(true, SpecialTokens::default()), (Some(257), 258, None));
        assert_eq!(ids(false, SpecialTokens::default()), (None, 258, None));
        let off = SpecialTokens { bos: named("<b>"), add_bos: Some(false), pad: named("</s>"), ..Default::default() };
        assert_eq!(ids(true, off), (None, 258, None));
        let on = SpecialTokens { bos: named("<p>"), add_bos: Some(true), eos_id: Some(257), ..Default::default() };
        assert_eq!(ids(false, on), (Some(259), 257, None));
        let by_name = SpecialTokens { eos: named("<p>"), eos_id: Some(257), pad: named("<b>"), ..Default::default() };
        assert_eq!(ids(false, by_name), (None, 259, Some(257)));
        let error = open(true, SpecialTokens { eos: named("<x>"), ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains("end token `<x>`"), "{error}");
        let error = open(true, SpecialTokens { eos_id: Some(300), ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains("300"), "{error}");
    }

    #[test]
    fn every_listed_end_ends_a_response() {
        let several = SpecialTokens::from_configs(&Value::Null, &json!({"eos_token_id": [258, 259]}), &Value::Null);
        let tokenizer = open(false, several).unwrap();
        assert_eq!(tokenizer.eos(), 258);
        assert!(tokenizer.is_end(258) && tokenizer.is_end(259) && !tokenizer.is_end(257));
        let unknown = String::from_utf8(file(false)).unwrap().replace("</s>", "<stop>");
        assert!(HfTokenizer::new("test", unknown.as_bytes(), &SpecialTokens::default()).is_err());
        let endless = SpecialTokens { endless: true, ..Default::default() };
        let endless = HfTokenizer::new("test", unknown.as_bytes(), &endless).unwrap();
        assert!((0..300).chain([endless.eos()]).all(|id| !endless.is_end(id)));
    }

    #[test]
    fn content_follows_the_file_and_the_special_ids() {
        let content = |begin, specials| open(begin, specials).unwrap().content();
        let plain = content(true, SpecialTokens::default());
        assert_eq!(plain, content(true, SpecialTokens { eos: Some("</s>".into()), ..Default::default() }));
        assert_ne!(plain, content(false, SpecialTokens::default()));
        assert_ne!(plain, content(true, SpecialTokens { eos: Some("<p>".into()), ..Default::default() }));
    }

    #[test]
    fn special_tokens_of_a_template_are_tokens_and_those_of_a_question_are_text() {
        use crate::data::Tokenizer;
        use crate::recipe::Template;
        use crate::recipe::template::Begin;
        let tokenizer = Tokenizer::Hf(open(true, SpecialTokens::default()).unwrap());
        let template = Template { before: "<p>a".into(), after: "b<p>".into(), ..Template::default() };
        let ids = |begin, special_tokens, question: &str| {
            tokenizer.prompt(&Template { begin, special_tokens, ..template.clone() }, question).unwrap()
        };
        // `ab` is one token across the border of template and question.
        assert_eq!(ids(Begin::Nothing, true, ""), [259, 256, 259]);
        assert_eq!(ids(Begin::Tokenizer, true, "")[..2], [257, 259]);
        let quoted = ids(Begin::Document, true, "<p></s>");
        assert_eq!(quoted.iter().filter(|id| **id >= 257).count(), 3, "{quoted:?}");
        assert!(ids(Begin::Nothing, false, "").iter().all(|id| *id < 257));
        let empty = Template { begin: Begin::Nothing, ..Template::default() };
        assert!(tokenizer.prompt(&empty, "").is_err());
    }

    #[test]
    fn a_document_begins_as_the_model_expects() {
        use crate::data::Tokenizer;
        let llama = Tokenizer::Hf(open(true, SpecialTokens::default()).unwrap());
        assert_eq!((llama.bos(), llama.document("ab").unwrap()), (257, vec![257, 256]));
        let qwen = Tokenizer::Hf(open(false, SpecialTokens::default()).unwrap());
        assert_eq!((qwen.bos(), qwen.document("ab").unwrap()), (258, vec![256]));
    }

    #[test]
    fn a_folder_is_loaded_with_its_configs() {
        let dir = tempfile::tempdir().unwrap();
        assert!(HfTokenizer::load(dir.path()).unwrap_err().to_string().contains("tokenizer.json"));
        std::fs::write(dir.path().join("tokenizer.json"), file(true)).unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"eos_token": "<p>"}"#).unwrap();
        assert_eq!(HfTokenizer::load(dir.path()).unwrap().eos(), 259);
        assert_eq!(HfTokenizer::load(&dir.path().join("tokenizer.json")).unwrap().eos(), 259);
        std::fs::write(dir.path().join("tokenizer_config.json"), "{").unwrap();
        assert!(HfTokenizer::load(dir.path()).unwrap_err().to_string().contains("tokenizer_config.json"));
    }
}
