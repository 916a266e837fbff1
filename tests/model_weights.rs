//! Folders of weights: what is written is read again, in every form that the Hub has, and what is wrong is named.

#![cfg(feature = "engine")]

use ablate::model::{Decoder, ModelError, weights};
use ablate::recipe::shape::{Architecture, RopeScaling};
use ablate::recipe::{ModelShape, Seed};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

fn decoder(architecture: Architecture, tied: bool) -> Decoder {
    let scaling =
        RopeScaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 32 };
    let shape = ModelShape {
        architecture,
        vocab: 30,
        hidden: 16,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        ffn: 24,
        rope_theta: 50_000.0,
        rope_scaling: (architecture == Architecture::Llama).then_some(scaling),
        norm_eps: 1e-6,
        tied,
    };
    Decoder::random(shape, 0.02, 0.02, Seed(3))
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(dir: &Path) -> Tensors {
    let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    read.iter().map(|(n, t)| (n.to_string(), (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect()
}

fn write<'a>(path: &Path, tensors: impl Iterator<Item = (&'a String, &'a (Dtype, Vec<usize>, Vec<u8>))>) {
    let views = tensors.map(|(n, (dtype, shape, data))| (n, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn config(dir: &Path, change: impl FnOnce(&mut Map<String, Value>)) {
    let path = dir.join("config.json");
    let mut config: Map<String, Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
}

fn error(dir: &Path) -> ModelError {
    weights::load(dir).err().expect("the folder is refused")
}

#[test]
fn what_is_saved_is_loaded_and_the_same_weights_are_the_same_bytes() {
    for architecture in [Architecture::Llama, Architecture::Qwen2, Architecture::Qwen3] {
        for tied in [true, false] {
            let decoder = decoder(architecture, tied);
            let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let extra = json!({"eos_token_id": 0}).as_object().unwrap().clone();
            weights::save(first.path(), &decoder, &extra).unwrap();
            let loaded = weights::load(first.path()).unwrap();
            assert_eq!((loaded.shape(), loaded.params()), (decoder.shape(), decoder.params()));
            weights::save(second.path(), &loaded, &extra).unwrap();
            for file in ["config.json", "model.safetensors"] {
                let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
                assert_eq!(read(first.path()), read(second.path()), "{file}");
            }
            let config: Value =
                serde_json::from_slice(&std::fs::read(first.path().join("config.json")).unwrap()).unwrap();
            assert_eq!(config["eos_token_id"], 0);
        }
    }
}

#[test]
fn both_spellings_of_the_rotation_are_read() {
    let decoder = decoder(Architecture::Llama, true);
    let dir = tempfile::tempdir().unwrap();
    weights::save(dir.path(), &decoder, &Map::new()).unwrap();
    let shape = decoder.shape();
    for new in [true, false] {
        config(dir.path(), |config| {
            let mut rope = json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32, "rope_type": "llama3"});
            for name in ["rope_parameters", "rope_scaling", "rope_theta"] {
                config.remove(name);
            }
            if new {
                rope["rope_theta"] = json!(50_000.0);
                config.insert("rope_parameters".into(), rope);
            } else {
                config.insert("rope_theta".into(), json!(50_000.0));
                config.insert("rope_scaling".into(), rope);
            }
        });
        assert_eq!(weights::load(dir.path()).unwrap().shape(), shape);
    }
    config(dir.path(), |config| config["rope_scaling"]["rope_type"] = json!("yarn"));
    assert!(error(dir.path()).to_string().contains("yarn"));
}

#[test]
fn shards_and_half_precision_are_read() {
    let decoder = decoder(Architecture::Qwen2, false);
    let dir = tempfile::tempdir().unwrap();
    weights::save(dir.path(), &decoder, &Map::new()).unwrap();
    let whole = tensors(dir.path());
    let file = dir.path().join("model.safetensors");
    let floats =
        |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
    for dtype in [Dtype::F32, Dtype::BF16, Dtype::F16] {
        let narrow = |x: f32| match dtype {
            Dtype::BF16 => half::bf16::from_f32(x).to_le_bytes().to_vec(),
            Dtype::F16 => half::f16::from_f32(x).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        let narrowed: Tensors = whole
            .iter()
            .map(|(n, (_, shape, data))| {
                (n.clone(), (dtype, shape.clone(), floats(data).into_iter().flat_map(narrow).collect()))
            })
            .collect();
        let half = narrowed.len() / 2;
        write(&dir.path().join("a.safetensors"), narrowed.iter().take(half));
        write(&dir.path().join("b.safetensors"), narrowed.iter().skip(half));
        let map: Map<String, Value> = narrowed
            .keys()
            .enumerate()
            .map(|(index, name)| (name.clone(), json!(if index < half { "a.safetensors" } else { "b.safetensors" })))
            .collect();
        let index = json!({"metadata": {}, "weight_map": map});
        std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        let _ = std::fs::remove_file(&file);
        let loaded = weights::load(dir.path()).unwrap();
        for (ours, exact) in loaded.params().flat().iter().zip(decoder.params().flat()) {
            let bound = if dtype == Dtype::F32 { 0.0 } else { exact.abs() / 250.0 + 1e-6 };
            assert!((ours - exact).abs() <= bound, "{ours} and {exact} as {dtype:?}");
        }
    }
    let index = json!({"weight_map": {"x": "../outside.safetensors"}});
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(error(dir.path()).to_string().contains("outside.safetensors"));
}

#[test]
fn a_tied_head_written_out_once_more_is_passed_over() {
    let decoder = decoder(Architecture::Qwen3, true);
    let dir = tempfile::tempdir().unwrap();
    weights::save(dir.path(), &decoder, &Map::new()).unwrap();
    let mut all = tensors(dir.path());
    all.insert("lm_head.weight".into(), all["model.embed_tokens.weight"].clone());
    write(&dir.path().join("model.safetensors"), all.iter());
    assert_eq!(weights::load(dir.path()).unwrap().params(), decoder.params());
}

#[test]
fn what_is_missing_extra_of_the_wrong_shape_or_not_a_number_is_named() {
    let decoder = decoder(Architecture::Llama, true);
    let dir = tempfile::tempdir().unwrap();
    weights::save(dir.path(), &decoder, &Map::new()).unwrap();
    let all = tensors(dir.path());
    let name = "model.layers.1.mlp.up_proj.weight";
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut all = all.clone();
        change(&mut all);
        write(&dir.path().join("model.safetensors"), all.iter());
        error(dir.path())
    };
    let missing = changed(&|all| drop(all.remove(name)));
    assert!(matches!(&missing, ModelError::Missing { name: found } if found == name), "{missing}");
    let extra = changed(&|all| drop(all.insert("model.surplus".into(), all[name].clone())));
    assert!(matches!(&extra, ModelError::Extra { name, .. } if name == "model.surplus"), "{extra}");
    let turned = changed(&|all| all.get_mut(name).unwrap().1.reverse());
    assert!(matches!(&turned, ModelError::WrongShape { name: found, .. } if found == name), "{turned}");
    for value in [f32::NAN, f32::INFINITY] {
        let broken = changed(&|all| all.get_mut(name).unwrap().2[28..32].copy_from_slice(&value.to_le_bytes()));
        assert!(matches!(&broken, ModelError::NotFinite { name: found, index: 7 } if found == name), "{broken}");
    }
    let integers = changed(&|all| all.get_mut(name).unwrap().0 = Dtype::I32);
    assert!(matches!(&integers, ModelError::Dtype { name: found, .. } if found == name), "{integers}");
    std::fs::write(dir.path().join("model.safetensors"), [9; 40]).unwrap();
    assert!(matches!(error(dir.path()), ModelError::Safetensors { .. }));
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    assert!(matches!(error(dir.path()), ModelError::Io { .. }));
    config(dir.path(), |config| config["model_type"] = json!("mamba"));
    assert!(error(dir.path()).to_string().contains("mamba"));
}

#[test]
fn a_config_that_says_less_or_impossible_things_is_refused_not_panicked_on() {
    let decoder = decoder(Architecture::Llama, true);
    let dir = tempfile::tempdir().unwrap();
    for (member, value) in [
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(7)),
        ("hidden_size", json!(0)),
        ("vocab_size", Value::Null),
        ("num_hidden_layers", json!("two")),
        ("use_sliding_window", json!(true)),
        ("hidden_act", json!("gelu")),
    ] {
        weights::save(dir.path(), &decoder, &Map::new()).unwrap();
        config(dir.path(), |config| drop(config.insert(member.into(), value.clone())));
        println!("{member} = {value}: {}", error(dir.path()));
    }
}
