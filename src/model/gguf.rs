//! GGUF files: the weights that llama.cpp users have, quantised or not, widened to f32.
//!
//! Quantised weights are only a starting point: training goes on in f32 from their values. Two things differ from a
//! Hugging Face folder. Llama's q and k rows are stored for interleaved rotary pairs and are put back in halves; and Llama
//! 3's rope scaling is a tensor of factors, from which its constants are recovered and checked against every factor.

use super::{Decoder, ModelError, Params, layout};
use crate::recipe::ModelShape;
use crate::recipe::shape::{Architecture, RopeScaling};
use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Reads a file.
pub fn load(path: &Path) -> Result<Decoder, ModelError> {
    let (shape, params) = read(path, true)?;
    Decoder::new(shape, params)
}

/// The shape of a file's model, which holds exactly the tensors it asks for; no value is read.
pub fn check(path: &Path) -> Result<ModelShape, ModelError> {
    Ok(read(path, false)?.0)
}

/// Members of a `config.json` that no shape holds, as far as the file knows them: the longest context.
pub fn facts(path: &Path) -> Result<Map<String, Json>, ModelError> {
    let content = header(path)?.0;
    let text = |name: &str| content.metadata.get(name).and_then(|value| value.to_string().ok());
    let family = text("general.architecture").cloned().unwrap_or_default();
    let context = content.metadata.get(&format!("{family}.context_length")).and_then(|value| value.to_u64().ok());
    let member = |context: u64| ("max_position_embeddings".to_string(), json!(context));
    Ok(context.map(member).into_iter().collect())
}

fn header(path: &Path) -> Result<(Content, BufReader<File>), ModelError> {
    let place = path.display().to_string();
    let file = File::open(path).map_err(|source| ModelError::Io { path: place.clone(), source })?;
    let mut reader = BufReader::new(file);
    match Content::read(&mut reader) {
        Ok(content) => Ok((content, reader)),
        Err(error) => {
            Err(ModelError::Config { path: place, what: format!("is not a GGUF file: {}", in_a_line(&error)) })
        }
    }
}

/// What went wrong, without the backtrace that candle appends where `RUST_BACKTRACE` is set.
fn in_a_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

fn read(path: &Path, values: bool) -> Result<(ModelShape, Params), ModelError> {
    let place = path.display().to_string();
    let wrong = |what: String| ModelError::Config { path: place.clone(), what };
    let (content, mut reader) = header(path)?;
    let metadata: BTreeMap<&str, &Value> =
        content.metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let dims: BTreeMap<&str, &[usize]> =
        content.tensor_infos.iter().map(|(name, info)| (name.as_str(), info.shape.dims())).collect();
    let mut fetch = |name: &str| -> Result<Vec<f32>, ModelError> {
        let tensor = content.tensor(&mut reader, name, &Device::Cpu).and_then(|tensor| tensor.dequantize(&Device::Cpu));
        let values = tensor.and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>());
        values.map_err(|error| wrong(format!("tensor `{name}` can't be read: {}", in_a_line(&error))))
    };
    let length = std::fs::metadata(path).map_err(|source| ModelError::Io { path: place.clone(), source })?.len();
    whole(&content, length).map_err(wrong)?;
    let factors = if dims.contains_key(ROPE_FACTORS) { Some(fetch(ROPE_FACTORS)?) } else { None };
    let shape = shape_of(&metadata, &dims, factors.as_deref()).map_err(wrong)?;
    // The tightest quantisation takes more than a bit a number.
    layout::check_room(&shape, length, 1)?;
    let tensors = layout::tensors(&shape);
    let mut params = Params::zeros(if values { tensors.clone() } else { vec![] });
    let mut unread: BTreeSet<&str> = dims.keys().copied().filter(|name| *name != ROPE_FACTORS).collect();
    for (name, expected) in tensors {
        let stored = stored_name(&name);
        if !unread.remove(stored.as_str()) {
            return Err(ModelError::Missing { name: stored });
        }
        if dims[stored.as_str()] != expected {
            let found = dims[stored.as_str()].to_vec();
            return Err(ModelError::WrongShape { name: stored, found, expected });
        }
        if !values {
            continue;
        }
        let mut values = fetch(&stored)?;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { name: stored, index });
        }
        if shape.architecture == Architecture::Llama && (name.contains("q_proj") || name.contains("k_proj")) {
            values = in_halves(&values, shape.head_dim, expected[1]);
        }
        params.get_mut(&name).copy_from_slice(&values);
    }
    match unread.pop_first() {
        Some(name) => Err(ModelError::Extra { name: name.to_string(), architecture: shape.architecture.name() }),
        None => Ok((shape, params)),
    }
}

/// Refuses a file that ends before its tensors do, as an interrupted download leaves it.
fn whole(content: &Content, length: u64) -> Result<(), String> {
    let ends = content.tensor_infos.iter().map(|(name, info)| {
        // Saturating: a header may name any numbers.
        let count = info.shape.dims().iter().fold(1u64, |product, dim| product.saturating_mul(*dim as u64));
        let blocks = count.div_ceil(info.ggml_dtype.block_size() as u64);
        let bytes = blocks.saturating_mul(info.ggml_dtype.type_size() as u64);
        (content.tensor_data_offset.saturating_add(info.offset).saturating_add(bytes), name)
    });
    match ends.max() {
        Some((end, name)) if end > length => {
            Err(format!("is cut off: it has {length} bytes, and its tensor `{name}` ends at byte {end}; get it again"))
        }
        _ => Ok(()),
    }
}

const ROPE_FACTORS: &str = "rope_freqs.weight";

/// The name that GGUF files give a parameter.
fn stored_name(name: &str) -> String {
    match name {
        "model.embed_tokens.weight" => return "token_embd.weight".into(),
        "model.norm.weight" => return "output_norm.weight".into(),
        "lm_head.weight" => return "output.weight".into(),
        _ => {}
    }
    let mut stored = name.replacen("model.layers.", "blk.", 1);
    for (ours, theirs) in [
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ] {
        stored = stored.replace(ours, theirs);
    }
    stored
}

/// Rows of each head from `0, half, 1, half + 1, …` to `0, 1, 2, …`.
fn in_halves(values: &[f32], head_dim: usize, columns: usize) -> Vec<f32> {
    let mut ordered = Vec::with_capacity(values.len());
    for head in values.chunks_exact(head_dim * columns) {
        for row in 0..head_dim {
            let (half, index) = (row / (head_dim / 2), row % (head_dim / 2));
            let stored = 2 * index + half;
            ordered.extend_from_slice(&head[stored * columns..(stored + 1) * columns]);
        }
    }
    ordered
}

fn shape_of(
    metadata: &BTreeMap<&str, &Value>,
    dims: &BTreeMap<&str, &[usize]>,
    factors: Option<&[f32]>,
) -> Result<ModelShape, String> {
    let family = metadata.get("general.architecture").and_then(|value| value.to_string().ok());
    let architecture = match family.map(String::as_str) {
        Some("llama") => Architecture::Llama,
        Some("qwen2") => Architecture::Qwen2,
        Some("qwen3") => Architecture::Qwen3,
        Some(other) => return Err(format!("`general.architecture` is `{other}`; llama, qwen2 and qwen3 can be read")),
        None => return Err("`general.architecture` is missing or not a name".into()),
    };
    let field = |name: &str| metadata.get(format!("{}.{name}", architecture.name()).as_str()).copied();
    let whole = |name: &str| field(name).and_then(|value| value.to_u64().ok()).map(|number| number as usize);
    let need =
        |name: &str| whole(name).ok_or_else(|| format!("`{}.{name}` is missing or not a number", architecture.name()));
    let real = |name: &str| field(name).and_then(|value| value.to_f32().ok()).map(tidy);
    if whole("expert_count").unwrap_or(0) > 0 {
        return Err("mixtures of experts are not supported".into());
    }
    if let Some(kind) =
        field("rope.scaling.type").and_then(|value| value.to_string().ok()).filter(|kind| *kind != "none")
    {
        return Err(format!("rope scaling `{kind}` is not supported; none and Llama 3's are"));
    }
    let (hidden, heads) = (need("embedding_length")?, need("attention.head_count")?);
    if heads == 0 {
        return Err("it has no attention heads".into());
    }
    let head_dim = whole("attention.key_length").unwrap_or(hidden / heads);
    if whole("rope.dimension_count").is_some_and(|width| width != head_dim) {
        return Err(format!("rotary positions on a part of each head (of {head_dim}) are not supported"));
    }
    let embedding = dims.get("token_embd.weight").ok_or("tensor `token_embd.weight` is missing")?;
    let rope_theta = real("rope.freq_base").unwrap_or(10_000.0);
    Ok(ModelShape {
        architecture,
        vocab: embedding.first().copied().unwrap_or(0),
        hidden,
        layers: need("block_count")?,
        heads,
        kv_heads: whole("attention.head_count_kv").unwrap_or(heads),
        head_dim,
        ffn: need("feed_forward_length")?,
        rope_theta,
        rope_scaling: factors.map(|factors| scaling_of(factors, rope_theta, head_dim)).transpose()?.flatten(),
        norm_eps: real("attention.layer_norm_rms_epsilon").ok_or("the epsilon of its norms is missing")?,
        tied: !dims.contains_key("output.weight"),
    })
}

/// The number that was written down before it was rounded to f32: `1e-5`, not `9.999999747378752e-6`.
fn tidy(value: f32) -> f64 {
    value.to_string().parse().expect("a printed number")
}

/// Llama 3's constants, if they explain every factor; none if nothing is scaled.
fn scaling_of(factors: &[f32], theta: f64, head_dim: usize) -> Result<Option<RopeScaling>, String> {
    let factor = factors.iter().copied().fold(1.0, f32::max);
    if factor == 1.0 && factors.iter().all(|factor| *factor == 1.0) {
        return Ok(None);
    }
    let scaling = RopeScaling {
        factor: factor.into(),
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let expected = |index: usize| {
        let frequency = theta.powf(-(2.0 * index as f64) / head_dim as f64);
        let turns = scaling.original_max_position_embeddings as f64 * frequency / std::f64::consts::TAU;
        let smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
        let smooth = smooth.clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / scaling.factor + smooth)
    };
    let explained = factors.len() == head_dim / 2
        && factors.iter().enumerate().all(|(index, found)| (f64::from(*found) / expected(index) - 1.0).abs() < 1e-4);
    if explained { Ok(Some(scaling)) } else { Err("its rope factors are not those of Llama 3's scaling".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Seed;
    use candle_core::Tensor;
    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};

    fn shape(architecture: Architecture, tied: bool) -> ModelShape {
        let scaling = RopeScaling {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        ModelShape {
            architecture,
            vocab: 40,
            hidden: 32,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            ffn: 64,
            rope_theta: 500_000.0,
            rope_scaling: (architecture == Architecture::Llama).then_some(scaling),
            norm_eps: 1e-5,
            tied,
        }
    }

    /// Rows of each head as llama.cpp's converter stores them.
    fn interleaved(values: &[f32], head_dim: usize, columns: usize) -> Vec<f32> {
        let mut stored = vec![0.0; values.len()];
        for (head, rows) in values.chunks_exact(head_dim * columns).enumerate() {
            for (row, values) in rows.chunks_exact(columns).enumerate() {
                let to = head * head_dim + 2 * (row % (head_dim / 2)) + row / (head_dim / 2);
                stored[to * columns..(to + 1) * columns].copy_from_slice(values);
            }
        }
        stored
    }

    fn write(path: &Path, decoder: &Decoder, kind: GgmlDType) {
        let shape = decoder.shape();
        let family = shape.architecture.name();
        let named = |name: &str, value: Value| (format!("{family}.{name}"), value);
        let mut metadata = vec![
            ("general.architecture".to_string(), Value::String(family.to_string())),
            named("context_length", Value::U32(2048)),
            named("embedding_length", Value::U32(shape.hidden as u32)),
            named("block_count", Value::U32(shape.layers as u32)),
            named("attention.head_count", Value::U32(shape.heads as u32)),
            named("attention.head_count_kv", Value::U32(shape.kv_heads as u32)),
            named("feed_forward_length", Value::U32(shape.ffn as u32)),
            named("rope.freq_base", Value::F32(shape.rope_theta as f32)),
            named("attention.layer_norm_rms_epsilon", Value::F32(shape.norm_eps as f32)),
        ];
        if shape.head_dim * shape.heads != shape.hidden {
            metadata.push(named("attention.key_length", Value::U32(shape.head_dim as u32)));
        }
        let mut tensors = Vec::new();
        for info in decoder.params().infos() {
            let values = decoder.params().get(&info.name);
            let rotary = info.name.contains("q_proj.weight") || info.name.contains("k_proj.weight");
            let values = match shape.architecture {
                Architecture::Llama if rotary => interleaved(values, shape.head_dim, info.shape[1]),
                _ => values.to_vec(),
            };
            let tensor = Tensor::from_vec(values, info.shape.as_slice(), &Device::Cpu).unwrap();
            let kind = if info.is_matrix() { kind } else { GgmlDType::F32 };
            tensors.push((stored_name(&info.name), QTensor::quantize(&tensor, kind).unwrap()));
        }
        if let Some(scaling) = &shape.rope_scaling {
            // By the definition of the scaling, one frequency at a time.
            let factors: Vec<f32> = (0..shape.head_dim / 2)
                .map(|index| {
                    let length =
                        std::f64::consts::TAU * shape.rope_theta.powf(2.0 * index as f64 / shape.head_dim as f64);
                    let context = scaling.original_max_position_embeddings as f64;
                    if length < context / scaling.high_freq_factor {
                        1.0
                    } else if length > context / scaling.low_freq_factor {
                        scaling.factor as f32
                    } else {
                        let smooth = (context / length - scaling.low_freq_factor)
                            / (scaling.high_freq_factor - scaling.low_freq_factor);
                        (1.0 / ((1.0 - smooth) / scaling.factor + smooth)) as f32
                    }
                })
                .collect();
            let tensor = Tensor::from_vec(factors, shape.head_dim / 2, &Device::Cpu).unwrap();
            tensors.push((ROPE_FACTORS.into(), QTensor::quantize(&tensor, GgmlDType::F32).unwrap()));
        }
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
    }

    #[test]
    fn every_family_comes_back_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        for architecture in [Architecture::Llama, Architecture::Qwen2, Architecture::Qwen3] {
            for tied in [true, false] {
                let decoder = Decoder::random(shape(architecture, tied), 0.5, 0.2, Seed(3));
                write(&path, &decoder, GgmlDType::F32);
                let loaded = load(&path).unwrap();
                assert_eq!(loaded.shape(), decoder.shape());
                assert_eq!(loaded.params(), decoder.params(), "{architecture:?}");
                assert_eq!(Json::Object(facts(&path).unwrap()), json!({"max_position_embeddings": 2048}));
                let (ids, starts) = ([1, 2, 3, 4, 5, 6, 7, 8], [0, 5, 8]);
                assert_eq!(loaded.logits(&ids, &starts).unwrap(), decoder.logits(&ids, &starts).unwrap());
            }
        }
    }

    #[test]
    fn quantised_weights_are_close_to_what_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        let decoder = Decoder::random(shape(Architecture::Llama, true), 0.5, 0.2, Seed(3));
        for (kind, error) in [(GgmlDType::F16, 1e-3), (GgmlDType::Q8_0, 0.01), (GgmlDType::Q4_1, 0.15)] {
            write(&path, &decoder, kind);
            let loaded = load(&path).unwrap();
            let worst = loaded.params().flat().iter().zip(decoder.params().flat()).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0, f32::max);
            assert!(worst > 0.0 && worst < error, "{kind:?}: {worst}");
        }
    }

    #[test]
    fn a_file_that_is_no_decoder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, "GGUF?").unwrap();
        assert!(load(&path).err().unwrap().to_string().contains("not a GGUF file"));
        let decoder = Decoder::random(shape(Architecture::Qwen2, true), 0.5, 0.2, Seed(3));
        write(&path, &decoder, GgmlDType::F32);
        let whole = std::fs::read(&path).unwrap();
        for length in [10, whole.len() / 3, whole.len() - 100] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(load(&path).is_err(), "cut to {length}");
        }
        // A look at the header finds it, before a value is read.
        let error = check(&path).unwrap_err().to_string();
        assert!(error.contains("is cut off") && error.contains(&format!("ends at byte {}", whole.len())), "{error}");
    }

    #[test]
    fn other_rope_factors_are_refused() {
        assert_eq!(scaling_of(&[1.0; 8], 10_000.0, 16), Ok(None));
        assert!(scaling_of(&[2.0; 8], 10_000.0, 16).is_err());
    }
}
