//! Optimizers against a reference in double precision (`tests/reference/muon.py`) and against sums done by hand.

#![cfg(feature = "engine")]

use ablate::model::Params;
use ablate::recipe::optimizer::{AdamW, DecayMask};
use ablate::recipe::{Key, Optimizer};
use ablate::train::{OptimizerState, snapshot};
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;
use std::fs;

const ADAMW: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, decay: DecayMask::All };

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/muon.json")).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// Parameters of the reference, filled from a field of each tensor.
fn params(reference: &Value, field: impl Fn(&Value) -> Vec<f32>) -> Params {
    let tensors = reference["tensors"].as_object().unwrap();
    let shape =
        |tensor: &Value| tensor["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let mut params = Params::zeros(tensors.iter().map(|(name, tensor)| (name.clone(), shape(tensor))).collect());
    for (name, tensor) in tensors {
        params.get_mut(name).copy_from_slice(&field(tensor));
    }
    params
}

fn rule(reference: &Value) -> Optimizer {
    let number = |rule: &str, name: &str| reference[rule][name].as_f64().unwrap();
    Optimizer::Muon {
        lr: number("muon", "lr"),
        momentum: number("muon", "momentum"),
        weight_decay: number("muon", "weight_decay"),
        newton_schulz_steps: number("muon", "newton_schulz_steps") as u32,
        rest: AdamW {
            lr: number("adamw", "lr"),
            beta1: number("adamw", "beta1"),
            beta2: number("adamw", "beta2"),
            eps: number("adamw", "eps"),
            weight_decay: number("adamw", "weight_decay"),
            decay: DecayMask::All,
        },
    }
}

/// Replays steps `from..20` of the reference.
fn replay(state: &mut OptimizerState, values: &mut Params, from: usize, threads: usize) {
    let reference = reference();
    for (step, scale) in reference["scales"].as_array().unwrap().iter().enumerate().skip(from) {
        let gradients = params(&reference, |tensor| floats(&tensor["gradients"][step]));
        state.step_on(values, &gradients, scale.as_f64().unwrap(), threads);
    }
}

/// The bytes of a saved state.
fn saved(step: u64, values: &Params, state: &OptimizerState) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    // Every folder above is made.
    let path = dir.path().join("new/state.safetensors");
    snapshot::save(&path, step, values, state).unwrap();
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    fs::read(path).unwrap()
}

fn restored(bytes: &[u8], values: &mut Params, state: &mut OptimizerState) -> Result<u64, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    fs::write(&path, bytes).unwrap();
    snapshot::load(&path, values, state).map_err(|error| error.to_string())
}

#[test]
fn twenty_steps_equal_the_reference() {
    let reference = reference();
    let mut values = params(&reference, |tensor| floats(&tensor["start"]));
    let mut state = OptimizerState::new(&rule(&reference), &values);
    replay(&mut state, &mut values, 0, 1);
    let end = params(&reference, |tensor| floats(&tensor["end"]));
    for info in values.infos() {
        for (value, end) in values.get(&info.name).iter().zip(end.get(&info.name)) {
            assert!((value - end).abs() < 5e-6, "{}: {value} instead of {end}", info.name);
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let run = |threads| {
        let mut values = params(&reference(), |tensor| floats(&tensor["start"]));
        let mut state = OptimizerState::new(&rule(&reference()), &values);
        replay(&mut state, &mut values, 0, threads);
        saved(20, &values, &state)
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn a_restored_state_goes_on_bit_for_bit() {
    let reference = reference();
    let start = params(&reference, |tensor| floats(&tensor["start"]));
    let mut whole = (start.clone(), OptimizerState::new(&rule(&reference), &start));
    replay(&mut whole.1, &mut whole.0, 0, 1);

    let mut first = (start.clone(), OptimizerState::new(&rule(&reference), &start));
    for step in 0..7 {
        let gradients = params(&reference, |tensor| floats(&tensor["gradients"][step]));
        first.1.step(&mut first.0, &gradients, reference["scales"][step].as_f64().unwrap());
    }
    let bytes = saved(7, &first.0, &first.1);
    let mut second = (Params::zeros_like(&start), OptimizerState::new(&rule(&reference), &start));
    assert_eq!(restored(&bytes, &mut second.0, &mut second.1).unwrap(), 7);
    assert_eq!(second, first);
    replay(&mut second.1, &mut second.0, 7, 1);
    assert_eq!(second, whole);
}

#[test]
fn a_state_is_a_plain_safetensors_file_of_everything() {
    let reference = reference();
    let mut values = params(&reference, |tensor| floats(&tensor["start"]));
    let mut state = OptimizerState::new(&rule(&reference), &values);
    replay(&mut state, &mut values, 15, 1);
    let bytes = saved(300, &values, &state);

    // As another reader sees it, and as another writer writes the same tensors: all in memory.
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    assert_eq!(safetensors::serialize(tensors.iter().map(|(name, view)| (name, view)), None).unwrap(), bytes);
    let steps = tensors.remove(tensors.iter().position(|(name, _)| name == "steps").unwrap()).1;
    assert_eq!((steps.dtype(), steps.data()), (Dtype::U64, &[300u64, 5].map(u64::to_le_bytes).concat()[..]));
    for info in values.infos() {
        let found = file.tensor(&format!("param.{}", info.name)).unwrap();
        let expected: Vec<u8> = values.get(&info.name).iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!((found.dtype(), found.shape(), found.data()), (Dtype::F32, &info.shape[..], &expected[..]));
    }
    let count = |kind: &str| tensors.iter().filter(|(name, _)| name.starts_with(kind)).count();
    assert_eq!((count("param."), count("first."), count("second."), tensors.len()), (5, 5, 2, 12));
    // What every version so far has written, of a state before its first step.
    let start = params(&reference, |tensor| floats(&tensor["start"]));
    let bytes = saved(3, &start, &OptimizerState::new(&rule(&reference), &start));
    assert_eq!(Key::of(&bytes).to_string(), "3af2b81905763c1413c8a677bb173dd9acc74a3a26a116868e250b5340d101bf");
}

#[test]
fn adamw_equals_sums_done_by_hand() {
    let mut values = Params::zeros(vec![("x".to_string(), vec![1])]);
    let mut state = OptimizerState::new(&Optimizer::AdamW(ADAMW), &values);
    let mut gradients = Params::zeros_like(&values);
    values.flat_mut()[0] = 1.0;
    // 1 · (1 − .1 · .1) − .1 · .1 / √.01
    gradients.flat_mut()[0] = 0.1;
    state.step(&mut values, &gradients, 1.0);
    assert!((values.flat()[0] - 0.89).abs() < 1e-6);
    // .89 · .99 − .1 · (−.011 / .19) / √(.002475 / .0975)
    gradients.flat_mut()[0] = -0.2;
    state.step(&mut values, &gradients, 1.0);
    assert!((values.flat()[0] - 0.917_437_5).abs() < 1e-6, "{}", values.flat()[0]);
}

#[test]
fn the_mask_keeps_weight_decay_off_vectors() {
    let run = |decay| {
        let mut values = Params::zeros(vec![("norm".to_string(), vec![1]), ("matrix".to_string(), vec![1, 1])]);
        values.flat_mut().fill(1.0);
        let gradients = Params::zeros_like(&values);
        let rule = Optimizer::AdamW(AdamW { decay, ..ADAMW });
        OptimizerState::new(&rule, &values).step(&mut values, &gradients, 1.0);
        (values.get("norm")[0], values.get("matrix")[0])
    };
    assert_eq!(run(DecayMask::All), (0.99, 0.99));
    assert_eq!(run(DecayMask::Matrices), (1.0, 0.99));
}

#[test]
fn a_state_of_another_model_is_refused_by_name() {
    let small = Params::zeros(vec![("a".to_string(), vec![2])]);
    let large = Params::zeros(vec![("a".to_string(), vec![3])]);
    let rule = Optimizer::AdamW(ADAMW);
    let bytes = saved(1, &small, &OptimizerState::new(&rule, &small));
    let mut target = (large.clone(), OptimizerState::new(&rule, &large));
    let error = restored(&bytes, &mut target.0, &mut target.1).unwrap_err();
    assert!(error.contains("param.a is F32 [2], expected F32 [3]"), "{error}");
    let mut target = (small.clone(), OptimizerState::new(&rule, &small));
    for length in 0..bytes.len() {
        let error = restored(&bytes[..length], &mut target.0, &mut target.1).unwrap_err();
        assert!(error.contains("remove it to start the stage anew"), "cut to {length}: {error}");
    }
}
