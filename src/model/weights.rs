//! Hugging Face folders: `config.json` and `model.safetensors`, or the shards named by `model.safetensors.index.json`.
//!
//! Tensors are read by name from a memory map, widened to f32 and checked; a header that points outside its file is refused
//! by the safetensors reader. Writing is deterministic: the same weights give the same bytes.

use super::tensor_file::{self, Numbers};
use super::{Decoder, ModelError, Params, layout};
use crate::recipe::ModelShape;
use crate::recipe::shape::{Architecture, RopeScaling};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Writes a folder that `transformers` loads. `extra` members are added to `config.json` (token ids, say).
pub fn save(dir: &Path, decoder: &Decoder, extra: &Map<String, Value>) -> Result<(), ModelError> {
    let unwritten = |path: &Path, source| ModelError::Write { path: path.display().to_string(), source };
    fs::create_dir_all(dir).map_err(|error| unwritten(dir, error))?;
    let mut config = config_of(decoder.shape());
    config.extend(extra.clone());
    let path = dir.join("config.json");
    let text = serde_json::to_string_pretty(&Value::Object(config)).expect("a configuration is plain data");
    fs::write(&path, text + "\n").map_err(|error| unwritten(&path, error))?;
    let path = dir.join("model.safetensors");
    let params = decoder.params();
    let numbers = |name: &str| Numbers::F32(params.get(name));
    let tensors = params.infos().iter().map(|info| (info.name.clone(), &info.shape[..], numbers(&info.name)));
    let metadata = [("format".to_string(), "pt".to_string())].into_iter().collect();
    tensor_file::write(&path, tensors, Some(metadata)).map_err(|error| match error {
        SafeTensorError::IoError(error) => unwritten(&path, error),
        source => ModelError::Safetensors { path: path.display().to_string(), source },
    })
}

/// Reads a folder.
pub fn load(dir: &Path) -> Result<Decoder, ModelError> {
    let shape = shape_at(dir)?;
    let mut params = Params::zeros(layout::tensors(&shape));
    each_tensor(dir, &shape, |name, tensor| read_tensor(name, tensor, &mut params))?;
    Decoder::new(shape, params)
}

/// The shape of a folder's model, whose files are whole and hold exactly the tensors it asks for; no value is read.
pub fn check(dir: &Path) -> Result<ModelShape, ModelError> {
    let shape = shape_at(dir)?;
    let expected: BTreeMap<String, Vec<usize>> = layout::tensors(&shape).into_iter().collect();
    each_tensor(dir, &shape, |name, tensor| {
        fits(name, tensor, &expected[name])?;
        match tensor.dtype() {
            Dtype::F32 | Dtype::BF16 | Dtype::F16 => Ok(()),
            other => Err(ModelError::Dtype { name: name.to_string(), dtype: format!("{other:?}") }),
        }
    })?;
    Ok(shape)
}

fn shape_at(dir: &Path) -> Result<ModelShape, ModelError> {
    let path = dir.join("config.json");
    let config = read_json(&path)?;
    let shape = shape_of(&config).map_err(|what| ModelError::Config { path: path.display().to_string(), what })?;
    let mut length = 0;
    for file in files(dir)? {
        let path = dir.join(file);
        length += fs::metadata(&path).map_err(io(&path))?.len();
    }
    layout::check_room(&shape, length, 16)?;
    Ok(shape)
}

/// Names of the files that hold a folder's weights; all of them are of this folder.
fn files(dir: &Path) -> Result<BTreeSet<String>, ModelError> {
    let index = dir.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(["model.safetensors".to_string()].into());
    }
    let index_text = read_json(&index)?;
    let map = index_text.get("weight_map").and_then(Value::as_object);
    let wrong = || ModelError::Config { path: index.display().to_string(), what: "has no `weight_map`".into() };
    let files: BTreeSet<String> =
        map.ok_or_else(wrong)?.values().filter_map(|file| file.as_str().map(String::from)).collect();
    if let Some(outside) = files.iter().find(|file| file.contains(['/', '\\']) || file.starts_with("..")) {
        let what = format!("names `{outside}`, which is not a file of this folder");
        return Err(ModelError::Config { path: index.display().to_string(), what });
    }
    Ok(files)
}

/// Visits every tensor that a shape asks for; names the first one too many or missing.
fn each_tensor(
    dir: &Path,
    shape: &ModelShape,
    mut visit: impl FnMut(&str, &TensorView) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let mut missing: BTreeSet<String> = layout::tensors(shape).into_iter().map(|(name, _)| name).collect();
    for file in files(dir)? {
        let path = dir.join(file);
        let file = fs::File::open(&path).map_err(io(&path))?;
        // SAFETY: the map is read-only; a file truncated by somebody else while it is read is outside what we can guard.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io(&path))?;
        let tensors = SafeTensors::deserialize(&map)
            .map_err(|source| ModelError::Safetensors { path: path.display().to_string(), source })?;
        for (name, tensor) in tensors.iter() {
            // Buffers that old exports carry, and a tied head written out once more.
            if name.ends_with("rotary_emb.inv_freq") || (shape.tied && name == "lm_head.weight") {
                continue;
            }
            if !missing.remove(name) {
                return Err(ModelError::Extra { name: name.to_string(), architecture: shape.architecture.name() });
            }
            visit(name, &tensor)?;
        }
    }
    match missing.pop_first() {
        Some(name) => Err(ModelError::Missing { name }),
        None => Ok(()),
    }
}

fn fits(name: &str, tensor: &TensorView, expected: &[usize]) -> Result<(), ModelError> {
    if tensor.shape() == expected {
        return Ok(());
    }
    let (name, found) = (name.to_string(), tensor.shape().to_vec());
    Err(ModelError::WrongShape { name, found, expected: expected.to_vec() })
}

fn read_tensor(name: &str, tensor: &TensorView, params: &mut Params) -> Result<(), ModelError> {
    fits(name, tensor, &params.info(name).shape)?;
    let bytes = tensor.data();
    let values: Box<dyn Iterator<Item = f32>> = match tensor.dtype() {
        Dtype::F32 => Box::new(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        Dtype::BF16 => Box::new(bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32())),
        Dtype::F16 => Box::new(bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())),
        other => return Err(ModelError::Dtype { name: name.to_string(), dtype: format!("{other:?}") }),
    };
    for (index, (to, value)) in params.get_mut(name).iter_mut().zip(values).enumerate() {
        if !value.is_finite() {
            return Err(ModelError::NotFinite { name: name.to_string(), index });
        }
        *to = value;
    }
    Ok(())
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> ModelError + '_ {
    move |source| ModelError::Io { path: path.display().to_string(), source }
}

fn read_json(path: &Path) -> Result<Value, ModelError> {
    let text = fs::read_to_string(path).map_err(io(path))?;
    serde_json::from_str(&text)
        .map_err(|error| ModelError::Config { path: path.display().to_string(), what: error.to_string() })
}

/// `config.json` of a shape, in the spelling that every version of `transformers` reads.
fn config_of(shape: &ModelShape) -> Map<String, Value> {
    let class = match shape.architecture {
        Architecture::Llama => "LlamaForCausalLM",
        Architecture::Qwen2 => "Qwen2ForCausalLM",
        Architecture::Qwen3 => "Qwen3ForCausalLM",
    };
    let scaling = shape.rope_scaling.as_ref().map(|scaling| {
        json!({
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_position_embeddings,
        })
    });
    let config = json!({
        "architectures": [class],
        "model_type": shape.architecture.name(),
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "rope_scaling": scaling,
        "tie_word_embeddings": shape.tied,
        "attention_bias": false,
        "mlp_bias": false,
        "use_sliding_window": false,
        "max_position_embeddings": 4096,
        "torch_dtype": "float32",
    });
    let Value::Object(config) = config else { unreachable!("an object literal") };
    config
}

/// The rope settings once more, in the spelling of `transformers` 5, beside the older one of [`save`].
pub fn rope_parameters(shape: &ModelShape) -> Map<String, Value> {
    let mut rope = Map::new();
    if let Some(Value::Object(scaling)) = config_of(shape).remove("rope_scaling") {
        rope.extend(scaling);
    }
    rope.entry("rope_type").or_insert_with(|| json!("default"));
    rope.insert("rope_theta".into(), json!(shape.rope_theta));
    [("rope_parameters".to_string(), Value::Object(rope))].into_iter().collect()
}

/// The shape that a `config.json` describes; both spellings of the rope settings are read.
pub fn shape_of(config: &Value) -> Result<ModelShape, String> {
    let number = |name: &str| {
        let found = config.get(name).and_then(Value::as_u64).map(|n| n as usize);
        found.ok_or_else(|| format!("`{name}` is missing or not a number"))
    };
    let architecture = match config.get("model_type").and_then(Value::as_str) {
        Some("llama") => Architecture::Llama,
        Some("qwen2") => Architecture::Qwen2,
        Some("qwen3") => Architecture::Qwen3,
        Some(other) => return Err(format!("`model_type` is `{other}`; llama, qwen2 and qwen3 can be read")),
        None => return Err("`model_type` is missing or not a name".into()),
    };
    for flag in ["use_sliding_window", "mlp_bias", "attention_bias"] {
        if config.get(flag).and_then(Value::as_bool) == Some(true) {
            return Err(format!("`{flag}` is not supported"));
        }
    }
    match config.get("hidden_act").and_then(Value::as_str) {
        None | Some("silu") => {}
        Some(other) => return Err(format!("`hidden_act` is {other}; only silu is supported")),
    }
    let (hidden, heads) = (number("hidden_size")?, number("num_attention_heads")?);
    if heads == 0 {
        return Err("`num_attention_heads` is 0".into());
    }
    let rope: BTreeMap<&str, &Value> = ["rope_parameters", "rope_scaling"]
        .iter()
        .filter_map(|name| config.get(*name).and_then(Value::as_object))
        .flat_map(|members| members.iter().map(|(name, value)| (name.as_str(), value)))
        .collect();
    let float = |name: &str| {
        rope.get(name).and_then(|value| value.as_f64()).or_else(|| config.get(name).and_then(Value::as_f64))
    };
    let kind = rope.get("rope_type").or(rope.get("type")).and_then(|value| value.as_str()).unwrap_or("default");
    let rope_scaling = match kind {
        "default" => None,
        "llama3" => {
            let need = |name: &str| float(name).ok_or_else(|| format!("the rope settings have no `{name}`"));
            Some(RopeScaling {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original_max_position_embeddings: need("original_max_position_embeddings")? as usize,
            })
        }
        other => return Err(format!("rope scaling `{other}` is not supported; default and llama3 are")),
    };
    Ok(ModelShape {
        architecture,
        vocab: number("vocab_size")?,
        hidden,
        layers: number("num_hidden_layers")?,
        heads,
        kv_heads: number("num_key_value_heads").unwrap_or(heads),
        head_dim: number("head_dim").unwrap_or(hidden / heads),
        ffn: number("intermediate_size")?,
        rope_theta: float("rope_theta").unwrap_or(10_000.0),
        rope_scaling,
        norm_eps: config.get("rms_norm_eps").and_then(Value::as_f64).unwrap_or(1e-6),
        tied: config.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
    })
}
