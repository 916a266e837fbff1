//! `ablate export`: the weights of a stage as a Hugging Face folder with a model card.

use super::again::again;
use super::args::ExportArgs;
use super::card;
use super::failure::Failure;
use super::folder;
use super::session::Session;
use crate::data::world;
use crate::model::weights;
use crate::recipe::corpus::CorpusRecipe;
use crate::recipe::{Recipe, World};
use crate::stages::model as carried;
use serde_json::{Map, Value, json};
use std::path::Path;

pub fn export(args: &ExportArgs) -> Result<(), Failure> {
    let session = Session::open(&args.selection)?;
    let known = |names: Vec<String>| format!("there are: {}", names.join(", "));
    let of_arm: Vec<_> = session.trials.iter().filter(|trial| trial.arm == args.arm).collect();
    if of_arm.is_empty() {
        let arms = session.experiment.arms.iter().map(|arm| arm.id.to_string()).collect();
        return Err(Failure::usage(format!("there is no arm `{}`", args.arm)).hint(known(arms)));
    }
    let Some(trial) = of_arm.iter().find(|trial| trial.seed.0 == args.seed) else {
        let seeds = of_arm.iter().map(|trial| trial.seed.0.to_string()).collect();
        return Err(Failure::usage(format!("the arm has no seed {}", args.seed)).hint(known(seeds)));
    };
    let has_weights = |recipe: &Recipe| matches!(recipe, Recipe::Train(_) | Recipe::Rl(_) | Recipe::Checkpoint(_));
    let stages: Vec<_> = trial.stages.iter().filter(|stage| has_weights(&stage.recipe)).collect();
    let Some(stage) = stages.iter().find(|stage| stage.name == args.stage) else {
        let names = stages.iter().map(|stage| stage.name.clone()).collect();
        return Err(Failure::usage(format!("the arm has no stage `{}` with weights", args.stage)).hint(known(names)));
    };
    let artifact = session.store.open(&stage.key).map_err(|error| {
        Failure::usage(format!("stage `{}` is not in the store: {error}", args.stage))
            .hint(again(&args.selection, None))
    })?;
    folder::usable(&args.to, "--to")?;
    if args.to.exists() && std::fs::read_dir(&args.to)?.next().is_some() {
        return Err(Failure::usage(format!("{} exists and is not empty", args.to.display()))
            .hint("--to names a folder that is new or empty"));
    }
    std::fs::create_dir_all(&args.to).map_err(|error| {
        Failure::usage(format!("failed to create the folder {}: {error}", args.to.display()))
            .hint("--to names a folder that is new or empty")
    })?;
    let folder = artifact.dir.join("model");
    let decoder = weights::load(&folder)?;
    let world = trial.stages.iter().find_map(|stage| match &*stage.recipe {
        Recipe::Corpus(CorpusRecipe::World(corpus)) => Some(corpus.world.clone()),
        _ => None,
    });
    let published = folder.join("tokenizer.json").exists();
    let kept = |error: crate::exec::StageError| Failure::internal(error);
    let mut ids = carried::kept(&folder).map_err(kept)?;
    if world.is_some() && !published {
        ids.extend([
            ("bos_token_id".into(), json!(0)),
            ("eos_token_id".into(), json!(0)),
            ("pad_token_id".into(), json!(1)),
        ]);
    }
    ids.extend(weights::rope_parameters(decoder.shape()));
    weights::save(&args.to, &decoder, &ids)?;
    if published {
        carried::carry(&folder, &args.to).map_err(kept)?;
    } else if let Some(world) = &world {
        let generation =
            json!({"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1, "do_sample": true, "temperature": 1.0});
        write(&args.to.join("generation_config.json"), &pretty(&generation))?;
        let (tokenizer, config) = tokenizer_files(world);
        write(&args.to.join("tokenizer.json"), &pretty(&tokenizer))?;
        write(&args.to.join("tokenizer_config.json"), &pretty(&config))?;
    }
    write(&args.to.join("README.md"), &card::text(args, &session, trial, stage)?)?;
    println!("{}", args.to.display());
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::internal(format!("failed to write {}: {error}", path.display())))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("plain data") + "\n"
}

/// The world's words as a word-level tokenizer that splits at white space.
fn tokenizer_files(world: &World) -> (Value, Value) {
    let tokenizer = world::tokenizer(world);
    let words: Vec<String> = (0..tokenizer.vocab_size() as u32).map(|id| tokenizer.decode(&[id])).collect();
    let vocab: Map<String, Value> = words.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect();
    let special = |id: usize| json!({"id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(0), special(1)], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": words[1]},
    });
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": words[0], "eos_token": words[0], "pad_token": words[1],
        "model_max_length": 4096,
    });
    (file, config)
}
