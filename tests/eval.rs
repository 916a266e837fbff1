//! `ablate eval` and `ablate compare` on tiny random models, through the program itself.
#![cfg(feature = "engine")]

use ablate::eval::ask::{Effort, Manner, ask};
use ablate::eval::responses::{Asking, Responses};
use ablate::eval::{Opened, open};
use ablate::model::device::Limits;
use ablate::model::{Decoder, weights};
use ablate::recipe::shape::{Architecture, ModelShape};
use ablate::recipe::{Backend, Seed};
use ablate::task::suite::{plain_template, read_problems};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

/// A model whose tokens are bytes, or words between white space.
fn model(folder: &Path, tokenizer: &str, seed: u64) {
    let (file, vocab) = if tokenizer == "bytes" { bytes() } else { words() };
    let shape = ModelShape {
        architecture: Architecture::Llama,
        vocab,
        hidden: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        ffn: 48,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tied: true,
    };
    weights::save(folder, &Decoder::random(shape, 0.3, 0.3, Seed(seed)), &Map::new()).unwrap();
    fs::write(folder.join("tokenizer.json"), file.to_string()).unwrap();
}

fn bytes() -> (Value, usize) {
    let mut alphabet: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    alphabet.sort();
    let vocab: Map<String, Value> = alphabet.iter().enumerate().map(|(id, c)| (c.to_string(), json!(id))).collect();
    let end = json!({"id": 256, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [end], "normalizer": null,
        "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []}});
    (file, 257)
}

/// Digits, a few words, and one for all others; nothing ends a text.
fn words() -> (Value, usize) {
    let words = ["[UNK]", "answer", "is", "The", "0", "1", "2", "3", "4", "5", "."];
    let vocab: Map<String, Value> = words.iter().enumerate().map(|(id, word)| (word.to_string(), json!(id))).collect();
    let file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}});
    (file, words.len())
}

fn benchmark(path: &Path, items: usize) {
    let line = |n: usize| json!({"id": format!("i{n}"), "question": format!("What is {n} + {n}?"), "answer": format!("{}", n % 6)});
    let lines: Vec<String> = (0..items).map(|n| line(n).to_string()).collect();
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new(tokenizer: &str) -> Room {
        let dir = tempfile::tempdir().unwrap();
        model(&dir.path().join("model"), tokenizer, 7);
        benchmark(&dir.path().join("gsm8k.jsonl"), 12);
        Room { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ablate")).current_dir(self.dir.path()).args(args).output().unwrap()
    }

    /// Evaluates into `out` and gives the summary.
    fn eval(&self, out: &str, args: &[&str]) -> Value {
        let all = [&["eval", "--model", "model", "--max-new-tokens", "12", "--out", out], args].concat();
        let output = self.run(&all);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(self.at(out).join("summary.json")).unwrap()).unwrap();
        assert_eq!(printed, written);
        written
    }

    /// What a mistaken command says.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    }

    fn items(&self, out: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.at(out).join("items.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only file of responses.
    fn responses(&self, out: &str) -> PathBuf {
        let entries = fs::read_dir(self.at(out)).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<PathBuf> =
            entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("responses-")).collect();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }
}

const SAMPLED: [&str; 6] = ["--benchmark", "gsm8k.jsonl", "--shots", "1", "--samples", "4"];

#[test]
fn a_tiny_model_is_evaluated_from_end_to_end() {
    let room = Room::new("words");
    let summary = room.eval("out", &SAMPLED);
    assert_eq!((&summary["suite"], &summary["n"]), (&json!("gsm8k"), &json!(12)));
    assert_eq!(
        summary["prompt"],
        json!({"template": "few-shot", "shots": 1, "shots_version": 1, "begin_token": false})
    );
    assert_eq!(summary["decoding"]["stop"], json!(["\nQ:"]));
    let items = room.items("out");
    let right = items.iter().filter(|item| item["verdict"] == "correct").count();
    assert_eq!(summary["accuracy"], json!(right as f64 / 12.0));
    let sampled: usize = items
        .iter()
        .map(|item| item["samples"].as_array().unwrap().iter().filter(|sample| sample["verdict"] == "correct").count())
        .sum();
    assert!(sampled > 0, "the test tests nothing");
    let pass = |k: &str| summary["pass_at_k"][k].as_f64().unwrap();
    assert!((pass("1") - sampled as f64 / 48.0).abs() < 1e-12 && pass("4") >= pass("2") && pass("2") >= pass("1"));
    assert!(summary["maj_at_k"]["4"].is_number() && summary["stderr"].is_number());
    for (n, item) in items.iter().enumerate() {
        assert_eq!(item["id"], format!("i{n}"));
        assert!(item["prompt"].as_str().unwrap().ends_with(&format!("Q: What is {n} + {n}?\nA:")));
        assert!(item["response"].is_string() && item["rule"].is_string());
        assert!((1..=12).contains(&item["length"].as_u64().unwrap()));
    }
    let greedy = room.eval("greedy", &["--benchmark", "gsm8k.jsonl", "--shots", "1", "--limit", "5"]);
    assert_eq!((&greedy["n"], &greedy["pass_at_k"]["1"]), (&json!(5), &greedy["accuracy"]));
    assert_eq!(room.items("greedy")[4]["response"], items[4]["response"]);
}

#[test]
fn neither_batch_nor_threads_nor_interruption_change_a_byte() {
    for tokenizer in ["words", "bytes"] {
        let room = Room::new(tokenizer);
        let read = |out: &str, name: &str| fs::read(room.at(out).join(name)).unwrap();
        room.eval("a", &SAMPLED);
        for (out, more) in [("b", ["--batch", "1", "--threads", "1"]), ("c", ["--batch", "5", "--threads", "2"])] {
            room.eval(out, &[&SAMPLED[..], &more].concat());
            for name in ["items.jsonl", "summary.json"] {
                assert_eq!(read("a", name), read(out, name), "{tokenizer} {more:?} {name}");
            }
        }
        // As after a kill in the middle of a line.
        let kept = fs::read(room.responses("a")).unwrap();
        fs::write(room.responses("b"), &kept[..kept.len() / 2]).unwrap();
        room.eval("b", &SAMPLED);
        assert_eq!(read("a", "items.jsonl"), read("b", "items.jsonl"));
        // Fewer items, fewer samples: nothing is drawn, and going back neither.
        let before = read("b", room.responses("b").file_name().unwrap().to_str().unwrap());
        room.eval("b", &["--benchmark", "gsm8k.jsonl", "--shots", "1", "--samples", "2", "--limit", "3"]);
        room.eval("b", &SAMPLED);
        assert_eq!(fs::read(room.responses("b")).unwrap(), before);
        assert_eq!(read("a", "items.jsonl"), read("b", "items.jsonl"));
    }
}

/// What `ablate eval --device` does, with candle's CPU device in the place of a GPU.
#[test]
fn a_device_answers_as_the_host_does_into_a_file_of_its_own() {
    let room = Room::new("bytes");
    let Opened { decoder: host, tokenizer, content } = open(&room.at("model"), None).unwrap();
    let mut device = open(&room.at("model"), None).unwrap().decoder;
    device.set_device(candle_core::Device::Cpu, Limits { tokens: 64, ..Limits::default() });
    let (problems, _) = read_problems(&fs::read_to_string(room.at("gsm8k.jsonl")).unwrap());
    let manner = Manner { template: plain_template(), max_new_tokens: 9, samples: 3, temperature: 1.0, seed: Seed(4) };
    let questions = manner.questions(&problems, &tokenizer).unwrap();
    let answers = |decoder: &Decoder, backend: Backend, live: usize| {
        let asking = Asking { backend, ..manner.asking(content, content) };
        let responses = Responses::open(room.dir.path(), &asking).unwrap();
        let effort = Effort { threads: 2, live, stop: &AtomicBool::new(false) };
        assert!(ask(decoder, &tokenizer, &questions, &manner, &responses, effort, &|_| {}).unwrap());
        let all = questions.iter().flat_map(|question| {
            let (id, prompt) = (&question.problem.id, &question.digest);
            [None, Some(0), Some(1), Some(2)].map(|sample| responses.get(id, prompt, sample).unwrap())
        });
        (all.collect::<Vec<_>>(), responses.path().to_path_buf())
    };
    let (expected, host) = answers(&host, Backend::Cpu, 32);
    let (found, file) = answers(&device, Backend::Cuda, 7);
    assert_eq!(found, expected);
    assert_ne!(file, host);
    let first = |path: &Path| fs::read_to_string(path).unwrap().lines().next().unwrap().to_string();
    assert!(first(&file).contains("\"backend\":\"cuda\"") && !first(&host).contains("backend"));
}

#[test]
fn other_rules_judge_kept_responses_anew() {
    let room = Room::new("words");
    room.eval("out", &["--benchmark", "gsm8k.jsonl", "--shots", "1"]);
    let before = fs::read(room.responses("out")).unwrap();
    let again = room.eval("out", &["--benchmark", "gsm8k.jsonl", "--shots", "1", "--authors-compatible"]);
    assert_eq!(again["authors_compatible"], true);
    assert!(again["extractor"].as_str().unwrap().contains("authors"));
    assert_eq!(fs::read(room.responses("out")).unwrap(), before);
    // An edited question is asked again; the others are not.
    let text = fs::read_to_string(room.at("gsm8k.jsonl")).unwrap().replace("What is 3 + 3?", "The answer is");
    fs::write(room.at("gsm8k.jsonl"), text).unwrap();
    room.eval("out", &["--benchmark", "gsm8k.jsonl", "--shots", "1"]);
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines(&fs::read(room.responses("out")).unwrap()), lines(&before) + 1);
}

#[test]
fn suites_and_templates_are_named_or_guessed() {
    let room = Room::new("bytes");
    fs::copy(room.at("gsm8k.jsonl"), room.at("mine.jsonl")).unwrap();
    let generic = room.eval("a", &["--benchmark", "mine.jsonl", "--limit", "2"]);
    assert_eq!((&generic["suite"], &generic["prompt"]["shots"]), (&json!("generic"), &json!(0)));
    assert_eq!(room.items("a")[0]["prompt"], "Question: What is 0 + 0?\nAnswer:");
    let named = room.eval("b", &["--benchmark", "mine.jsonl", "--limit", "2", "--suite", "svamp"]);
    assert_eq!((&named["suite"], &named["prompt"]["shots"]), (&json!("svamp"), &json!(8)));
    let rl = room.eval("c", &["--benchmark", "gsm8k.jsonl", "--limit", "2", "--template", "complex"]);
    assert_eq!((&rl["prompt"]["shots"], &rl["extractor"]), (&json!(0), &json!("last-boxed, rules 2")));
    assert!(room.items("c")[0]["prompt"].as_str().unwrap().ends_with("tag.\nWhat is 0 + 0?\nAssistant:"));
}

#[test]
fn mistakes_are_named_before_work_starts() {
    let room = Room::new("bytes");
    let eval =
        |args: &[&str]| room.refused(&[&["eval", "--model", "model", "--benchmark", "gsm8k.jsonl"], args].concat());
    assert!(eval(&["--suite", "gms8k"]).contains("did you mean `gsm8k`"));
    assert!(eval(&["--template", "complx"]).contains("did you mean `complex`"));
    assert!(eval(&["--template", "simple", "--shots", "4"]).contains("RL prompts show none"));
    assert!(eval(&["--shots", "9"]).contains("there are 8"));
    assert!(eval(&["--limit", "0"]).contains("nothing to evaluate"));
    assert!(eval(&["--device", "gpu"]).contains("expected cpu, cuda, cuda:N or metal"));
    if !cfg!(feature = "metal") {
        assert!(eval(&["--device", "metal"]).contains("build with `--features metal`"));
    }
    let said = room.refused(&["eval", "--model", "none", "--benchmark", "gsm8k.jsonl"]);
    assert!(said.contains("no such file"), "{said}");
    fs::remove_file(room.at("model/tokenizer.json")).unwrap();
    assert!(eval(&[]).contains("no tokenizer.json"));
    fs::write(room.at("gsm8k.jsonl"), "{\"id\": \"a\"}\n").unwrap();
    assert!(eval(&[]).contains("line 1: missing field `question`"));
    assert!(!room.at("evals").exists());
}

#[test]
fn gold_answers_that_nobody_could_give_are_left_out_by_name() {
    let room = Room::new("bytes");
    let lines = [
        json!({"id": "a", "question": "1+1?\n(A) 2 (B) 3", "answer": "a"}),
        json!({"id": "b", "question": "1+1?\n(A) 2 (B) 3", "answer": "e"}),
        json!({"id": 3, "question": "1+1?\n(A) 2 (B) 3", "answer": "b"}),
    ];
    fs::write(room.at("mathqa.jsonl"), lines.map(|line| line.to_string()).join("\n")).unwrap();
    let summary = room.eval("out", &["--benchmark", "mathqa.jsonl", "--shots", "0"]);
    assert_eq!(summary["n"], 2);
    assert_eq!(summary["gold_problems"][0]["id"], "b");
    assert!(summary["quirks"][0].as_str().unwrap().contains("letters e"));
}

#[test]
fn two_evaluations_are_compared_item_by_item() {
    let room = Room::new("words");
    model(&room.at("other"), "words", 8);
    room.eval("a", &SAMPLED);
    let args = ["eval", "--model", "other", "--max-new-tokens", "12", "--out", "b"];
    assert!(room.run(&[&args[..], &SAMPLED].concat()).status.success());
    let output = room.run(&["compare", "a", "b"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("McNemar") && said.contains("12 items"), "{said}");
    let same = room.run(&["compare", "a", "a"]);
    assert!(String::from_utf8_lossy(&same.stdout).contains("p = 1"), "{same:?}");
    assert!(room.refused(&["compare", "a", "nowhere"]).contains("summary.json"));
}
