//! The tokenizer inside a GGUF file, as the `tokenizer.json` that it was made from.
//!
//! A GGUF file keeps tokens, their kinds, and merges (or scores), and *names* how text is split before merging. The names
//! that we know are those of the families we load; an unknown one is refused, because a tokenizer that splits numbers
//! otherwise than the model was trained with gives worse numbers and no error.

use super::hf_tokenizer::{HfTokenizer, HfTokenizerError};
use super::special_tokens::{KNOWN_ENDS, SpecialTokens};
use candle_core::quantized::gguf_file::{Content, Value as Metadata};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Splits before merging, by the name that GGUF files give them.
const SPLITS: [(&[&str], &str); 2] = [
    (
        &["llama-bpe", "llama3", "llama-v3"],
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    (
        &["qwen2"],
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];

/// Kinds of token, as GGUF numbers them.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

impl HfTokenizer {
    /// From the metadata of a GGUF file.
    pub fn from_gguf(path: &Path) -> Result<HfTokenizer, HfTokenizerError> {
        let place = path.display().to_string();
        let invalid = |reason: String| HfTokenizerError::Invalid { place: place.clone(), reason };
        let file = File::open(path).map_err(|source| HfTokenizerError::Io { path: path.to_path_buf(), source })?;
        let content = Content::read(&mut BufReader::new(file));
        // The first line: candle appends a backtrace where `RUST_BACKTRACE` is set.
        let content =
            content.map_err(|error| invalid(error.to_string().lines().next().unwrap_or_default().to_string()))?;
        let fields = content.metadata.into_iter().collect();
        let (json, specials) = convert(&fields).map_err(invalid)?;
        let mut tokenizer = HfTokenizer::new(&place, &serde_json::to_vec(&json).expect("plain data"), &specials)?;
        tokenizer.chat_template = fields.get("tokenizer.chat_template").and_then(|text| text.to_string().ok().cloned());
        Ok(tokenizer)
    }
}

type Fields = BTreeMap<String, Metadata>;

fn number(value: &Metadata) -> Option<u64> {
    match value {
        Metadata::I32(number) => u64::try_from(*number).ok(),
        Metadata::I64(number) => u64::try_from(*number).ok(),
        value => value.to_u64().ok(),
    }
}

/// A list of the metadata; empty if there is none.
fn list<'a, T>(fields: &'a Fields, name: &str, read: impl Fn(&'a Metadata) -> Option<T>) -> Result<Vec<T>, String> {
    let Some(value) = fields.get(&format!("tokenizer.ggml.{name}")) else { return Ok(Vec::new()) };
    let values = value.to_vec().ok().and_then(|values| values.iter().map(read).collect());
    values.ok_or_else(|| format!("`tokenizer.ggml.{name}` is not a list as it should be"))
}

fn convert(fields: &Fields) -> Result<(Value, SpecialTokens), String> {
    let text = |value: &Metadata| value.to_string().ok().cloned();
    let field = |name: &str| fields.get(&format!("tokenizer.ggml.{name}"));
    let flag = |name: &str| field(name).and_then(|value| value.to_bool().ok());
    let tokens = list(fields, "tokens", text)?;
    if tokens.is_empty() {
        return Err("it holds no tokens".into());
    }
    let kinds = list(fields, "token_type", number)?;
    let token = |name: &str| Some(tokens.get(number(field(&format!("{name}_token_id"))?)? as usize)?.clone());
    let model =
        field("model").and_then(text).ok_or("it does not say how its tokenizer works (`tokenizer.ggml.model`)")?;
    let split = field("pre").and_then(text).unwrap_or_default();
    let mut parts = match model.as_str() {
        "gpt2" => byte_level(&tokens, list(fields, "merges", text)?, &split)?,
        "llama" => {
            let scores = list(fields, "scores", |value| value.to_f32().ok())?;
            sentence_piece(&tokens, &scores, &kinds, flag("add_space_prefix").unwrap_or(true))?
        }
        other => return Err(format!("tokenizers of kind `{other}` can't be read; gpt2 and llama can")),
    };
    let added = tokens.iter().zip(&kinds).enumerate().filter(|(_, (_, kind))| [CONTROL, USER_DEFINED].contains(kind));
    let added: Vec<Value> = added
        .map(|(id, (content, kind))| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == CONTROL})
        })
        .collect();
    parts.insert("added_tokens".into(), Value::Array(added));
    for (name, value) in [("version", json!("1.0")), ("truncation", Value::Null), ("padding", Value::Null)] {
        parts.insert(name.into(), value);
    }
    // llama.cpp's defaults where the file is silent.
    let adds_begin = model == "llama" || SPLITS[0].0.contains(&split.as_str());
    let specials = SpecialTokens {
        bos: token("bos"),
        add_bos: Some(flag("add_bos_token").unwrap_or(adds_begin)),
        eos: token("eos"),
        eos_id: None,
        // An instruct model's end is that of a turn; a text that ends otherwise ends too.
        ends: ends(&tokens, &kinds, field),
        pad: token("padding"),
        endless: false,
    };
    Ok((Value::Object(parts), specials))
}

/// Ids that end a turn or a text, by the metadata or by a control token's well-known name.
fn ends<'a>(tokens: &[String], kinds: &[u64], field: impl Fn(&str) -> Option<&'a Metadata>) -> Vec<u32> {
    let named = ["eot_token_id", "eom_token_id"].into_iter().filter_map(|name| number(field(name)?));
    let known = tokens.iter().zip(kinds).enumerate().filter(|(_, (token, kind))| {
        **kind == CONTROL && (KNOWN_ENDS.contains(&token.as_str()) || token.as_str() == "<|im_end|>")
    });
    named.chain(known.map(|(id, _)| id as u64)).map(|id| id as u32).collect()
}

fn vocabulary(tokens: &[String]) -> Value {
    // Ids of tokens that occur twice: the first, as the maps of other readers keep one.
    let mut vocabulary = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        vocabulary.entry(token.clone()).or_insert(json!(id));
    }
    Value::Object(vocabulary)
}

/// Byte-level BPE: GPT-2, Llama 3, Qwen, SmolLM.
fn byte_level(tokens: &[String], merges: Vec<String>, split: &str) -> Result<Map<String, Value>, String> {
    let bytes =
        |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let steps = |first: Value, regex: bool| json!({"type": "Sequence", "pretokenizers": [first, bytes(regex)]});
    let known = SPLITS.iter().find(|(names, _)| names.contains(&split));
    let before = match (split, known) {
        (_, Some((_, regex))) => {
            let regex = json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
            steps(regex, false)
        }
        ("smollm", _) => steps(json!({"type": "Digits", "individual_digits": true}), true),
        ("gpt-2" | "gpt2", _) => bytes(true),
        _ => {
            return Err(format!(
                "it splits text as `{split}` does, which is unknown here (known: llama-bpe, qwen2, smollm, gpt-2); load a `tokenizer.json` instead"
            ));
        }
    };
    let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary(tokens), "merges": merges,
        "ignore_merges": SPLITS[0].0.contains(&split)});
    let normalizer = if split == "qwen2" { json!({"type": "NFC"}) } else { Value::Null };
    Ok(object(
        json!({"normalizer": normalizer, "pre_tokenizer": before, "post_processor": null, "decoder": bytes(true), "model": model}),
    ))
}

/// SentencePiece BPE with byte fallback: Llama 1 and 2. Pieces merge in the order of their scores.
fn sentence_piece(
    tokens: &[String],
    scores: &[f32],
    kinds: &[u64],
    prefix: bool,
) -> Result<Map<String, Value>, String> {
    const NORMAL: u64 = 1;
    if scores.len() != tokens.len() || kinds.len() != tokens.len() {
        return Err(format!("{} tokens have {} scores and {} kinds", tokens.len(), scores.len(), kinds.len()));
    }
    let ids: BTreeMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (id, token) in tokens.iter().enumerate().filter(|(id, _)| kinds[*id] == NORMAL) {
        let mut halves: Vec<(&str, &str)> = token.char_indices().skip(1).map(|(at, _)| token.split_at(at)).collect();
        halves.retain(|(left, right)| ids.contains_key(left) && ids.contains_key(right));
        halves.sort_by_key(|(left, right)| (ids[left], ids[right]));
        merges.extend(halves.into_iter().map(|(left, right)| (scores[id], left, right)));
    }
    let length = |text: &str| text.chars().count();
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(length(b.1).cmp(&length(a.1))).then(length(b.2).cmp(&length(a.2))));
    let merges: Vec<Value> = merges.into_iter().map(|(_, left, right)| json!([left, right])).collect();
    let model = json!({"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary(tokens), "merges": merges,
        "ignore_merges": false});
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let mut normalizers = vec![replace(" ", "▁")];
    let mut decoders = vec![replace("▁", " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(object(json!({
        "normalizer": {"type": "Sequence", "normalizers": normalizers}, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders}, "model": model
    })))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => unreachable!("an object literal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Metadata {
        Metadata::Array(texts.iter().map(|text| Metadata::String(text.to_string())).collect())
    }

    /// A GGUF file of nothing but these fields.
    fn open(fields: &[(&str, Metadata)]) -> Result<HfTokenizer, HfTokenizerError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = |name: &str| match name {
            "chat_template" => "tokenizer.chat_template".to_string(),
            name => format!("tokenizer.ggml.{name}"),
        };
        let names: Vec<String> = fields.iter().map(|(name, _)| whole(name)).collect();
        let fields: Vec<(&str, &Metadata)> =
            names.iter().map(String::as_str).zip(fields.iter().map(|field| &field.1)).collect();
        candle_core::quantized::gguf_file::write(&mut file.reopen().unwrap(), &fields, &[]).unwrap();
        HfTokenizer::from_gguf(file.path())
    }

    fn kinds(kinds: &[i32]) -> Metadata {
        Metadata::Array(kinds.iter().map(|kind| Metadata::I32(*kind)).collect())
    }

    fn gpt2(split: &str) -> Result<HfTokenizer, HfTokenizerError> {
        open(&[
            ("model", Metadata::String("gpt2".into())),
            ("pre", Metadata::String(split.into())),
            ("tokens", strings(&["<b>", "<e>", "1", "2", "a", "b", "Ġ", "12", "ab", "Ġab"])),
            ("token_type", kinds(&[3, 3, 1, 1, 1, 1, 1, 1, 1, 1])),
            ("merges", strings(&["1 2", "a b", "Ġ ab"])),
            ("bos_token_id", Metadata::U32(0)),
            ("eos_token_id", Metadata::U32(1)),
            ("chat_template", Metadata::String("{{ messages }}".into())),
        ])
    }

    #[test]
    fn what_goes_with_the_tokens_is_written_beside_them() {
        let expected = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false, "bos_token": "<b>",
            "eos_token": "<e>", "pad_token": null, "add_bos_token": true, "chat_template": "{{ messages }}",
        });
        assert_eq!(gpt2("llama-bpe").unwrap().config(), expected);
        let plain = open(&[
            ("model", Metadata::String("gpt2".into())),
            ("pre", Metadata::String("qwen2".into())),
            ("tokens", strings(&["</s>"])),
        ]);
        assert_eq!(plain.unwrap().config().get("chat_template"), None);
    }

    #[test]
    fn text_is_split_as_the_file_names_it() {
        let ids = |split: &str| gpt2(split).unwrap().encode("ab ab12<e>").ok();
        assert_eq!(ids("llama-bpe").unwrap()[..3], [8, 9, 7]);
        for split in ["qwen2", "smollm"] {
            assert_eq!(ids(split).unwrap()[..4], [8, 9, 2, 3], "{split}");
        }
        assert_eq!(gpt2("llama-bpe").unwrap().bos(), Some(0));
        assert_eq!((gpt2("qwen2").unwrap().bos(), gpt2("qwen2").unwrap().eos()), (None, 1));
        let error = gpt2("mystery").unwrap_err().to_string();
        assert!(error.contains("`mystery`") && error.contains("tokenizer.json"), "{error}");
    }

    #[test]
    fn pieces_merge_by_their_scores() {
        let tokens = ["<unk>", "<s>", "</s>", "<0x21>", "▁", "a", "b", "ab", "▁a", "▁ab"];
        let scores = [0.0, 0.0, 0.0, 0.0, -5.0, -6.0, -7.0, -1.0, -0.5, -2.0];
        let tokenizer = open(&[
            ("model", Metadata::String("llama".into())),
            ("tokens", strings(&tokens)),
            ("scores", Metadata::Array(scores.iter().map(|score| Metadata::F32(*score)).collect())),
            ("token_type", kinds(&[2, 3, 3, 6, 1, 1, 1, 1, 1, 1])),
            ("bos_token_id", Metadata::U32(1)),
            ("eos_token_id", Metadata::U32(2)),
        ])
        .unwrap();
        // `▁a` comes before `ab`, and `▁ab` is made of `▁a` and `b`.
        assert_eq!(tokenizer.encode("ab ab!").unwrap(), [9, 9, 3]);
        assert_eq!(tokenizer.decode(&[9, 9, 3]), "ab ab!");
        assert_eq!(tokenizer.encode("aab").unwrap(), [8, 7]);
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), 2));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = open(&[("tokens", strings(&["a"]))]).unwrap_err().to_string();
        assert!(error.contains("tokenizer.ggml.model"), "{error}");
        assert!(open(&[]).unwrap_err().to_string().contains("no tokens"));
        let error =
            open(&[("model", Metadata::String("bert".into())), ("tokens", strings(&["a"]))]).unwrap_err().to_string();
        assert!(error.contains("`bert`"), "{error}");
    }
}
