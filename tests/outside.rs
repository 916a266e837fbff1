//! One's own data: a Hugging Face folder, JSONL text, JSONL questions, through every stage; and what is wrong with it, said
//! before anything starts.

#![cfg(feature = "engine")]

use ablate::model::{Decoder, weights};
use ablate::recipe::Seed;
use ablate::recipe::shape::{Architecture, ModelShape};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Bytes as tokens, a few merges, and the tokens that begin and end a text.
fn tokenizer() -> Value {
    let alphabet: Vec<String> = (0..=255u32)
        .map(|byte| match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from_u32(byte).unwrap().to_string(),
            0..=0x20 => char::from_u32(0x100 + byte).unwrap().to_string(),
            0x7f..=0xa0 => char::from_u32(0x100 + 0x21 + byte - 0x7f).unwrap().to_string(),
            _ => '\u{143}'.to_string(),
        })
        .collect();
    let mut vocab: Map<String, Value> =
        alphabet.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let merges = ["t h", "th e", "i n", "a n", "o f", "\u{120} a", "\u{120} the"];
    for (index, merge) in merges.iter().enumerate() {
        vocab.insert(merge.replace(' ', ""), json!(256 + index));
    }
    let special = |id: usize, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(263, "<begin>"), special(264, "<end>"), special(265, "<turn>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges}
    })
}

fn shape(vocab: usize) -> ModelShape {
    ModelShape {
        architecture: Architecture::Llama,
        vocab,
        hidden: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        ffn: 64,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tied: true,
    }
}

const LAB: &str = r#"
lab: mine
root: data
scale:
  tokens: { paper: 20B tokens, here: 6k tokens }
  response: { paper: 4096 tokens, here: 12 tokens }
  rl_steps: { paper: 200, here: 3 }
training: { row_tokens: 64, batch_rows: 4, boundary: document }
midtrain: { optimizer: { adamw: { lr: 3e-3 } } }
families: { mine: { checkpoint: model } }
corpora:
  web: { text: { files: "web/*.jsonl.gz", bad_lines: skip } }
  qa: { text: { files: qa.jsonl, qa: { question: q, answer: a, format: user-assistant } } }
prompts: { sums: { dataset: sums.jsonl, max_prompt_tokens: 40 } }
benchmarks: { sums: { dataset: sums.jsonl, limit: 5 } }
templates:
  chat: { before: "<turn>", after: " =<turn>", extract: last-number, stop: ["\n"], begin: nothing, special_tokens: true }
  plain: { before: "", after: " =", extract: last-number }
rl:
  prompts_per_step: 4
  group_size: 4
  updates_per_step: 2
  optimizer: { adamw: { lr: 1e-3 } }
  eval_every: 2
eval: { max_new_tokens: 8 tokens, template: plain }
"#;

const EXPERIMENT: &str = r#"
question: Does it run on one's own data?
base:
  family: mine
  midtrain:
    web: { mixture: { web: 75%, qa: 25% }, budget: 20B tokens, schedule: cosine }
  rl: { prompts: sums, template: chat, max_response: 4096 tokens, steps: 200 }
  benchmarks: [sums]
axes:
  midtrained:
    no: { midtrain: none, baseline: true }
    yes: {}
claims:
  - claim: helps
    statement: Text of one's own helps
    metric: rl.accuracy/sums
    a: { midtrained: yes }
    b: { midtrained: no }
    direction: greater
    smallest_effect: 0.05
"#;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench(dir);
        fs::create_dir_all(bench.path("data/web")).unwrap();
        bench.write("lab.yaml", LAB);
        bench.write("exp.yaml", EXPERIMENT);
        let decoder = Decoder::random(shape(280), 0.02, 0.05, Seed(1));
        let ids = [("bos_token_id", 263), ("eos_token_id", 264), ("max_position_embeddings", 777)];
        let extra = ids.into_iter().map(|(name, id)| (name.to_string(), json!(id))).collect();
        weights::save(&bench.path("data/model"), &decoder, &extra).unwrap();
        bench.write("data/model/tokenizer.json", &tokenizer().to_string());
        let config = r#"{"bos_token": "<begin>", "add_bos_token": true, "eos_token": "<end>", "chat_template": "x"}"#;
        bench.write("data/model/tokenizer_config.json", config);
        for part in 0..2 {
            let page = |n: usize| format!("page {n}: the sum of {n} and {part} is {}, and so on in the end", n + part);
            let mut lines: String = (0..60).map(|n| json!({"text": page(n)}).to_string() + "\n").collect();
            lines.push_str("no record\n");
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, lines.as_bytes()).unwrap();
            fs::write(bench.path(&format!("data/web/{part}.jsonl.gz")), encoder.finish().unwrap()).unwrap();
        }
        let pair = |n: usize| json!({"q": format!("{n}+1"), "a": format!("{}", n + 1)}).to_string() + "\n";
        bench.write("data/qa.jsonl", &(0..200).map(pair).collect::<String>());
        let sum = |n: usize| {
            let question = match n {
                7 => "1+".repeat(40) + "1",
                // What a page says.
                8 => "page 3: the sum of 3 and 0 is 3, and so on in the end".to_string(),
                _ => format!("{n}+1"),
            };
            json!({"id": format!("s{n}"), "question": question, "answer": (n % 10).to_string()}).to_string() + "\n"
        };
        bench.write("data/sums.jsonl", &(0..11).map(sum).collect::<String>());
        bench
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn ablate(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ablate"));
        command.current_dir(self.0.path()).args(args).output().unwrap()
    }

    fn run(&self, extra: &[&str]) -> Output {
        self.ablate(&[&["run", "exp.yaml", "--lab", "lab.yaml", "--progress", "none"], extra].concat())
    }

    /// The words of a run that refuses to start, and leaves nothing behind.
    fn refusal(&self) -> String {
        let output = self.run(&["--results", "refused"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(!self.path("refused").exists(), "{text}");
        text
    }
}

fn done(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// Rows `(arm, stage, metric, step, value)` of a run's curves.
fn curves(place: &Path) -> Vec<(String, String, String, u64, f64)> {
    let mut reader = csv::Reader::from_path(place.join("exp/mine/curves.csv")).unwrap();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        (row[0].into(), row[2].into(), row[4].into(), row[5].parse().unwrap(), row[6].parse().unwrap())
    });
    rows.collect()
}

#[test]
fn ones_own_model_text_and_questions_go_through_every_stage() {
    let bench = Bench::new();
    let told = done(&bench.ablate(&[
        "run",
        "exp.yaml",
        "--lab",
        "lab.yaml",
        "--progress",
        "plain",
        "--jobs",
        "1",
        "--threads",
        "2",
    ]));
    assert!(told.contains("2 bad lines were left out, such as data/web/0.jsonl.gz:61: "), "{told}");
    let rows = curves(&bench.path("results"));
    let of = |arm: &str, stage: &str, metric: &str| -> Vec<f64> {
        let rows = rows.iter().filter(|(a, s, m, ..)| a.contains(arm) && s == stage && m == metric);
        rows.map(|(.., value)| *value).collect()
    };
    let loss = of("midtrained=yes", "web", "loss");
    assert!(loss.len() > 10 && *loss.last().unwrap() < loss[0] - 0.5, "{loss:?}");
    for arm in ["midtrained=yes", "midtrained=no"] {
        assert_eq!(of(arm, "rl", "reward").len(), 3);
        assert!(
            of(arm, "rl", "response_length").iter().chain(&of(arm, "rl", "accuracy")).all(|value| value.is_finite())
        );
        // Two questions are too long for the limit on prompts.
        assert_eq!(of(arm, "rl", "prompts_left_out"), [2.0]);
    }
    // What the text holds of the questions stands beside the claim that uses both, wherever it is read.
    let status = "contamination: none of 2 items of sums in qa; \
                  1 of 2 items of sums share 13 words in a row with web, 1 are quoted";
    let report = bench.ablate(&["report", "exp.yaml", "--lab", "lab.yaml"]);
    let compare = ["compare", "exp.yaml", "--lab", "lab.yaml", "--a", "midtrained=yes", "--b", "midtrained=no"];
    let compare = bench.ablate(&[&compare[..], &["--metric", "rl.accuracy/sums"]].concat());
    for (what, output) in [("report", &report), ("compare", &compare)] {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(status), "{what}: {text}");
    }
    let page = |name: &str| fs::read_to_string(bench.path("reports/exp/mine").join(name)).unwrap();
    assert!(page("index.html").contains(status) && page("README.md").contains(status));
    let verdicts: Value = serde_json::from_str(&page("verdicts.json")).unwrap();
    assert_eq!(
        verdicts[0]["contamination"][1],
        json!({"corpus": "web", "benchmark": "sums", "items": 2, "shared": 1, "quoted": 1})
    );
    // The tokenizer went with the weights; so did what no shape knows.
    let arm = "midtrained=yes";
    let to = ["export", "exp.yaml", "--lab", "lab.yaml", "--arm", arm, "--seed", "0", "--stage", "rl", "--to", "out"];
    done(&bench.ablate(&to));
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        let (before, after) = (bench.path("data/model").join(file), bench.path("out").join(file));
        assert_eq!(fs::read(before).unwrap(), fs::read(after).unwrap(), "{file}");
    }
    let config: Value = serde_json::from_slice(&fs::read(bench.path("out/config.json")).unwrap()).unwrap();
    assert_eq!((&config["eos_token_id"], &config["max_position_embeddings"]), (&json!(264), &json!(777)));
    assert_eq!(weights::check(&bench.path("out")).unwrap(), shape(280));
    let card = fs::read_to_string(bench.path("out/README.md")).unwrap();
    for part in [
        "### `web`",
        "| web | 75.00% | text with digest",
        "`q` and `a` as `user-assistant`",
        "tokens read: 5888",
        "cosine to 10% of it",
    ] {
        assert!(card.contains(part), "no `{part}` in {card}");
    }
    for part in [
        "3 rollout steps on prompts `sums`: 4 prompts × 4 responses",
        "`rl.accuracy/sums`",
        "`gain.accuracy/sums`",
        "ablate run exp.yaml",
    ] {
        assert!(card.contains(part), "no `{part}` in {card}");
    }
    // A card tells of the stages behind the weights, and of no later one.
    let to =
        ["export", "exp.yaml", "--lab", "lab.yaml", "--arm", arm, "--seed", "0", "--stage", "base", "--to", "base"];
    done(&bench.ablate(&to));
    let card = fs::read_to_string(bench.path("base/README.md")).unwrap();
    assert!(!card.contains("`web`") && card.contains("## Mid-training\n\nNone."), "{card}");

    // Other threads, and data that moved: the same bytes, and nothing is made anew.
    done(&bench.run(&["--results", "again", "--jobs", "2", "--threads", "1"]));
    assert_eq!(curves(&bench.path("again")), rows);
    fs::rename(bench.path("data"), bench.path("moved")).unwrap();
    bench.write("lab.yaml", &LAB.replace("root: data", "root: moved"));
    let again = done(&bench.run(&[]));
    assert!(again.contains("0 stages made"), "{again}");
    // Other bytes are another corpus, and what follows from it.
    let more = fs::read_to_string(bench.path("moved/qa.jsonl")).unwrap() + "{\"q\":\"1\",\"a\":\"2\"}\n";
    bench.write("moved/qa.jsonl", &more);
    let plan = bench.ablate(&["plan", "exp.yaml", "--lab", "lab.yaml", "--json"]);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let to_run: Vec<&str> = plan["stages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|stage| stage["status"] == "run")
        .map(|stage| stage["kind"].as_str().unwrap())
        .collect();
    assert_eq!(to_run, ["corpus", "contamination", "midtrain", "eval", "rl"]);
}

#[test]
fn a_corpus_smaller_than_asked_is_refused_or_read_again() {
    let bench = Bench::new();
    bench.write("lab.yaml", &LAB.replace("here: 6k tokens", "here: 40k tokens"));
    let output = bench.run(&["--only", "midtrained=yes"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && text.contains("epochs") && text.contains("is `corpus:"), "{text}");
    bench.write("lab.yaml", &LAB.replace("boundary: document }", "boundary: document, epochs: 9 }"));
    done(&bench.run(&["--only", "midtrained=yes"]));
}

#[test]
fn what_is_wrong_with_outside_data_is_said_before_anything_starts() {
    let bench = Bench::new();
    let with = |name: &str, bytes: &[u8], expected: &[&str]| {
        let path = bench.path("data").join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, bytes).unwrap();
        let text = bench.refusal();
        for part in expected {
            assert!(text.contains(part), "{name}: no `{part}` in {text}");
        }
        match before {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    };
    let tensors = fs::read(bench.path("data/model/model.safetensors")).unwrap();
    with("model/model.safetensors", &tensors[..tensors.len() / 2], &["family `mine`", "model.safetensors"]);
    with("model/model.safetensors", &[0xff; 64], &["is not a safetensors file"]);
    let mut hostile = (1u64 << 62).to_le_bytes().to_vec();
    hostile.extend(b"{}");
    with("model/model.safetensors", &hostile, &["is not a safetensors file"]);
    let other = |vocab: usize| {
        let dir = tempfile::tempdir().unwrap();
        weights::save(dir.path(), &Decoder::random(shape(vocab), 0.02, 0.05, Seed(1)), &Map::new()).unwrap();
        fs::read(dir.path().join("model.safetensors")).unwrap()
    };
    with("model/model.safetensors", &other(281), &["model.embed_tokens.weight", "[281, 32]", "[280, 32]"]);
    let config = fs::read_to_string(bench.path("data/model/config.json")).unwrap();
    let layers = |n: usize| config.replace("\"num_hidden_layers\": 2", &format!("\"num_hidden_layers\": {n}"));
    with("model/config.json", layers(3).as_bytes(), &["model.layers.2.", "is missing"]);
    with("model/config.json", layers(1).as_bytes(), &["model.layers.1.", "is not part of"]);
    with("model/config.json", config.replace("llama", "mamba").as_bytes(), &["mamba", "llama, qwen2 and qwen3"]);
    let mut larger = tokenizer();
    larger["model"]["vocab"]["larger"] = json!(300);
    with("model/tokenizer.json", larger.to_string().as_bytes(), &["its tokenizer has 30", "280"]);
    with("model/tokenizer.json", b"{", &["tokenizer.json"]);
    with("qa.jsonl", b"", &["corpus `qa`", "no document"]);
    with("qa.jsonl", b"{\"q\":\"1\"}\n", &["qa.jsonl:1", "no column `a`"]);
    with("sums.jsonl", b"{\"id\":\"1\"}\n", &["`sums`", "question"]);

    fs::rename(bench.path("data/qa.jsonl"), bench.path("data/elsewhere.jsonl")).unwrap();
    let text = bench.refusal();
    assert!(text.contains("text of corpus `qa` is not at data/qa.jsonl") && text.contains("lab.yaml:"), "{text}");
    // A plan has a price all the same.
    let plan = bench.ablate(&["plan", "exp.yaml", "--lab", "lab.yaml"]);
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.status.success() && text.contains("not here yet") && text.contains("corpus `qa`"), "{text}");
    fs::rename(bench.path("data/elsewhere.jsonl"), bench.path("data/qa.jsonl")).unwrap();
    bench.write(
        "lab.yaml",
        &LAB.replace("files: qa.jsonl", &format!("files: {{ path: qa.jsonl, sha256: {} }}", "0".repeat(64))),
    );
    assert!(bench.refusal().contains("has digest"));
}

#[test]
fn weights_that_are_no_numbers_stop_before_training() {
    let bench = Bench::new();
    let path = bench.path("data/model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let output = bench.run(&[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && text.contains("not finite"), "{text}");
}
