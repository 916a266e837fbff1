//! Which tokens begin, end and pad a text, as the files beside a `tokenizer.json` say:
//!
//! - end: `eos_token` of `tokenizer_config.json`, else `eos_token_id` of `generation_config.json` or `config.json`, else
//!   the one well-known name that the vocabulary has;
//! - begin: what the tokenizer itself puts before a text, unless `add_bos_token` says otherwise. Llama has one, Qwen none;
//! - padding: `pad_token`, if it is not also the end.

use serde_json::Value;

/// Names of the token that ends a text, where no file says which.
pub(super) const KNOWN_ENDS: [&str; 4] = ["<|end_of_text|>", "<|endoftext|>", "</s>", "<eos>"];

/// What the files beside a `tokenizer.json` say about special tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpecialTokens {
    pub bos: Option<String>,
    pub add_bos: Option<bool>,
    pub eos: Option<String>,
    /// Where only a number is given.
    pub eos_id: Option<u32>,
    /// Every id that is listed as an end.
    pub ends: Vec<u32>,
    pub pad: Option<String>,
    /// Accept a tokenizer without an end.
    pub endless: bool,
}

impl SpecialTokens {
    /// From `tokenizer_config.json`, `generation_config.json` and `config.json`, each of which may be absent (null).
    pub fn from_configs(tokenizer: &Value, generation: &Value, model: &Value) -> SpecialTokens {
        // A token is a string, or an object that has it as `content`.
        let token = |name: &str| {
            let value = &tokenizer[name];
            value.as_str().or(value["content"].as_str()).map(str::to_string)
        };
        // Several ends may be listed; the first is the one that training uses.
        let id = |value: &Value| value.as_u64().or(value[0].as_u64()).map(|id| id as u32);
        let ids = |value: &Value| match value {
            Value::Array(ids) => ids.iter().filter_map(Value::as_u64).map(|id| id as u32).collect(),
            one => one.as_u64().map(|id| id as u32).into_iter().collect::<Vec<u32>>(),
        };
        SpecialTokens {
            bos: token("bos_token"),
            add_bos: tokenizer["add_bos_token"].as_bool(),
            eos: token("eos_token"),
            eos_id: id(&generation["eos_token_id"]).or(id(&model["eos_token_id"])),
            ends: ids(&generation["eos_token_id"]),
            pad: token("pad_token"),
            endless: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configs_are_read_in_all_their_forms() {
        let specials = SpecialTokens::from_configs(
            &json!({"bos_token": {"content": "<b>"}, "eos_token": "</s>", "pad_token": null, "add_bos_token": true}),
            &Value::Null,
            &json!({"eos_token_id": [7, 8]}),
        );
        let expected = SpecialTokens {
            bos: Some("<b>".into()),
            add_bos: Some(true),
            eos: Some("</s>".into()),
            eos_id: Some(7),
            ends: vec![],
            pad: None,
            endless: false,
        };
        assert_eq!(specials, expected);
    }
}
