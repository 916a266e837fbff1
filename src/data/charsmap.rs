//! SentencePiece's character maps, which normalizers of kind `Precompiled` hold: a trie over bytes and the texts that it
//! leads to, in base64.
//!
//! The crate that walks them trusts every offset, and reads the sizes in them before it knows that the file is as long.
//! So a map is walked here once, wherever a text can lead, before the crate sees it.

use serde_json::Value;

/// Looks at every map within a normalizer, which may be a sequence of them.
pub fn check(normalizer: &Value) -> Result<(), String> {
    match normalizer {
        Value::Object(parts) if parts.get("type").is_some_and(|kind| kind == "Precompiled") => {
            let Some(Value::String(text)) = parts.get("precompiled_charsmap") else {
                return Err("its normalizer `Precompiled` has no text `precompiled_charsmap`".into());
            };
            base64::decode(text)
                .map_err(|error| error.to_string())
                .and_then(|bytes| walk(&bytes))
                .map_err(|reason| format!("its normalizer has a `precompiled_charsmap` that is broken: {reason}"))
        }
        Value::Object(parts) => parts.values().try_for_each(check),
        Value::Array(parts) => parts.iter().try_for_each(check),
        _ => Ok(()),
    }
}

/// A node of the trie, packed as darts-clone does it.
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    /// The byte that leads here; no byte for units that are values.
    fn label(self) -> u32 {
        self.0 & (1 << 31 | 0xff)
    }

    /// Whether a text ends here; its value is then the unit at the first child's place.
    fn has_leaf(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn offset(self) -> usize {
        ((self.0 >> 10) as usize) << ((self.0 & 1 << 9) >> 6)
    }
}

/// The number of bytes of the trie, the trie, and the texts.
fn walk(bytes: &[u8]) -> Result<(), String> {
    let short = || "it ends within its trie".to_string();
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let (trie, texts) = rest.split_at_checked(u32::from_le_bytes(*size) as usize / 4 * 4).ok_or_else(short)?;
    let texts = std::str::from_utf8(texts).map_err(|error| format!("its texts are not UTF-8 ({error})"))?;
    let trie: Vec<Unit> =
        trie.chunks_exact(4).map(|unit| Unit(u32::from_le_bytes(unit.try_into().expect("four bytes")))).collect();
    let at = |place: usize| {
        trie.get(place).copied().ok_or_else(|| format!("its trie leads to unit {place} of {}", trie.len()))
    };
    let mut seen = vec![false; trie.len()];
    // Places whose children are still to be looked at.
    let mut open = vec![at(0)?.offset()];
    while let Some(place) = open.pop() {
        for byte in 1..=255 {
            let child = place ^ byte;
            let unit = at(child)?;
            if unit.label() != byte as u32 || std::mem::replace(&mut seen[child], true) {
                continue;
            }
            let next = child ^ unit.offset();
            if unit.has_leaf() {
                let value = (at(next)?.0 & !(1 << 31)) as usize;
                if !texts.is_char_boundary(value) {
                    return Err(format!(
                        "a text of it begins at byte {value} of {}, where no character does",
                        texts.len()
                    ));
                }
            }
            open.push(next);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A map that makes `A` to `a`: the root's children lie in the first block, those of `A` in the second.
    fn small() -> Vec<u8> {
        let mut trie = vec![0u32; 512];
        trie[0] = 0;
        trie['A' as usize] = 'A' as u32 | 1 << 8 | (0x100 ^ 'A' as u32) << 10;
        trie[0x100] = 1 << 31 | 2;
        let units = trie.iter().flat_map(|unit| unit.to_le_bytes());
        (4 * trie.len() as u32).to_le_bytes().into_iter().chain(units).chain(*b"\0\0a\0").collect()
    }

    fn normalizer(map: &[u8]) -> Value {
        json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Precompiled", "precompiled_charsmap": base64::encode(map)}]})
    }

    #[test]
    fn a_map_that_is_whole_maps() {
        use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};
        assert_eq!(check(&normalizer(&small())), Ok(()));
        let known: NormalizerWrapper = serde_json::from_str(&normalizer(&small()).to_string()).unwrap();
        let mut text = NormalizedString::from("BAB");
        known.normalize(&mut text).unwrap();
        assert_eq!(text.get(), "BaB");
    }

    #[test]
    fn whatever_is_changed_in_a_map_is_refused_or_does_no_harm() {
        use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};
        let whole = small();
        let mut refused = 0;
        // Every bit of what is not zero, and every length.
        let bits =
            (0..whole.len()).filter(|at| whole[*at] != 0 || *at < 12).flat_map(|at| (0..8).map(move |bit| (at, bit)));
        let flipped = bits.map(|(at, bit)| {
            let mut map = whole.clone();
            map[at] ^= 1 << bit;
            map
        });
        let cut = (0..whole.len()).step_by(7).map(|length| whole[..length].to_vec());
        for map in flipped.chain(cut) {
            let Ok(()) = check(&normalizer(&map)) else {
                refused += 1;
                continue;
            };
            let known: NormalizerWrapper = serde_json::from_str(&normalizer(&map).to_string()).unwrap();
            for character in (1..=0x7f).chain(0xc0..0x250).filter_map(char::from_u32) {
                known.normalize(&mut NormalizedString::from(format!("A{character}x").as_str())).unwrap();
            }
        }
        assert!(refused > 100, "{refused}");
    }

    #[test]
    fn what_is_no_map_is_told() {
        for (map, words) in [
            (json!(7), "has no text"),
            (json!("???"), "broken: Invalid byte"),
            (json!("AAAA"), "it ends within its trie"),
            (json!("/////w=="), "it ends within its trie"),
            (json!("AAAAAA=="), "leads to unit 0 of 0"),
        ] {
            let error = check(&json!({"type": "Precompiled", "precompiled_charsmap": map})).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(check(&json!({"type": "Precompiled"})).is_err());
        assert_eq!(check(&Value::Null), Ok(()));
    }
}
