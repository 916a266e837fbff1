use super::tests::files;
use super::{arm, schema};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// YAML as an editor sees it, merge keys resolved.
fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_shipped_file_fits_its_schema() {
    for (folder, schema) in [("experiments", schema::experiment()), ("experiments/labs", schema::lab())] {
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for path in files(folder) {
            let instance = yaml(&path);
            let errors: Vec<String> =
                validator.iter_errors(&instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        }
    }
}

/// Calls `see` with every map of a schema.
fn each_map<'v>(schema: &'v Value, see: &mut impl FnMut(&'v Map<String, Value>)) {
    match schema {
        Value::Object(members) => {
            see(members);
            members.values().for_each(|value| each_map(value, see));
        }
        Value::Array(items) => items.iter().for_each(|item| each_map(item, see)),
        _ => {}
    }
}

fn properties(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// What readers ask for, found in their source: keys, and the values among which `reader::choice` chooses, which stand
/// in lists of pairs (`[("grpo", Advantage::Grpo), …]`).
fn asked_for(source: &str) -> Vec<&str> {
    let quoted = |text: &'static str| source.split(text).skip(1).map(str::trim_start);
    let word = |rest: &str| rest.strip_prefix('"')?.find('"');
    let is_choice = |behind: &str| behind.starts_with(", ") && !behind.starts_with(", include_str!");
    let keys = [".required(", ".optional(", ".or(", "fields.node("].into_iter().flat_map(quoted);
    let choices = ["[(", " ("]
        .into_iter()
        .flat_map(quoted)
        .filter(|rest| word(rest).is_some_and(|length| is_choice(&rest[length + 2..])));
    keys.chain(choices).filter_map(|rest| word(rest).map(|length| &rest[1..=length])).collect()
}

#[test]
fn schemas_know_the_keys_and_values_that_readers_ask_for() {
    for (schema, sources) in [
        (schema::experiment(), [include_str!("experiment.rs"), include_str!("arm.rs"), include_str!("claim.rs")]),
        (schema::lab(), [include_str!("lab.rs"), include_str!("bind.rs"), include_str!("settings.rs")]),
    ] {
        let mut known = BTreeSet::new();
        each_map(&schema, &mut |map| {
            known.extend(properties(map).map(|(key, _)| key.as_str()));
            known.extend(map.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str));
            known.extend(map.get("const").and_then(Value::as_str));
        });
        for asked in sources.into_iter().flat_map(asked_for) {
            assert!(known.contains(asked), "the schema does not know `{asked}`");
        }
    }
    for (source, word) in [(include_str!("bind.rs"), "final-answer"), (include_str!("settings.rs"), "prompts_per_step")]
    {
        assert!(asked_for(source).contains(&word));
    }
}

#[test]
fn no_phase_takes_the_name_of_another_stage() {
    let mut lists = 0;
    each_map(&schema::experiment(), &mut |map| {
        if let Some(names) = map.get("not").and_then(|not| not.get("enum")) {
            assert_eq!(*names, json!(arm::RESERVED));
            lists += 1;
        }
    });
    assert!(lists > 0);
}

#[test]
fn every_key_is_explained() {
    for schema in [schema::experiment(), schema::lab()] {
        let mut silent = vec![];
        each_map(&schema, &mut |map| {
            for (key, property) in properties(map) {
                let shared = property["$ref"].as_str().and_then(|path| schema.pointer(path.trim_start_matches('#')));
                let explained = [Some(property), shared].into_iter().flatten().any(|of| of["description"].is_string());
                silent.extend((!explained).then_some(key));
            }
        });
        assert!(silent.is_empty(), "{}: nothing is said of {silent:?}", schema["title"]);
    }
}
