//! Everything that reads bytes made by others, one function each: whatever the bytes, they return, soon, without a panic
//! and in bounded memory. The fuzz targets call them, and so does `tests/hostile.rs` with the kept corpus.

use ablate::cache::Record;
use ablate::data::Shards;
use ablate::data::hf_tokenizer::HfTokenizer;
use ablate::data::source::Source as Texts;
use ablate::data::special_tokens::SpecialTokens;
use ablate::exec::{import, results};
use ablate::model::{gguf, weights};
use ablate::recipe::corpus::{BadLines, Render};
use ablate::recipe::template::Extract;
use ablate::recipe::{Fingerprint, Recipe};
use ablate::report::{ExperimentInput, render, write};
use ablate::spec::experiment::Experiment;
use ablate::spec::lab::Lab;
use ablate::spec::mistake::Source;
use ablate::task::score::score_lines;
use ablate::task::suite::read_problems;
use ablate::task::{Suite, Verdict, extract, verify};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Hands bytes to one reader.
pub type Entry = fn(&[u8]);

/// Name and function.
pub const ENTRIES: [(&str, Entry); 16] = [
    ("experiment", experiment),
    ("lab", lab),
    ("wandb", wandb),
    ("jsonl", jsonl),
    ("parquet", parquet),
    ("config", config),
    ("safetensors", safetensors),
    ("gguf", gguf),
    ("tokenizer", tokenizer),
    ("record", record),
    ("results", result_files),
    ("report", report),
    ("shards", shards),
    ("verifier", verifier),
    ("score", score),
    ("items", items),
];

/// One folder a process, in memory where there is such a place; files in it are overwritten.
fn folder() -> &'static Path {
    use std::sync::OnceLock;
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        dir.expect("a temporary folder").keep()
    })
}

fn file(name: &str, data: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
    fs::write(&path, data).expect("a file");
    path
}

pub fn experiment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Experiment::parse(&Source::new("fuzz.yaml", text)) {
        Ok(experiment) => assert!(!experiment.arms.is_empty()),
        Err(mistakes) => assert!(mistakes.to_string().contains("error: ")),
    }
}

pub fn lab(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Another file of the fuzzer's choice is not what is tested here.
    if text.contains('/') {
        return;
    }
    match Lab::parse(&Source::new("fuzz.yaml", text)) {
        Ok(lab) => assert!(!lab.name.contains(['/', '\\']) && !lab.name.starts_with('.')),
        Err(mistakes) => assert!(mistakes.to_string().contains("error: ")),
    }
}

pub fn wandb(data: &[u8]) {
    let path = file("wandb/export.csv", data);
    if let Ok(import) = import::wandb(&[path], &BTreeMap::new()) {
        let text = results::trials_text(&import.results.trials) + &results::curves_text(&import.results.curves);
        assert!(!text.is_empty());
    }
}

fn texts(path: &Path) {
    let render = Render::Text { column: "text".into() };
    for bad_lines in [BadLines::Skip, BadLines::Fail] {
        if let Ok(source) = Texts::open(path, &render, bad_lines) {
            let _ = source.documents().take(10_000).map(|document| document.is_ok()).filter(|fine| *fine).count();
        }
    }
}

pub fn jsonl(data: &[u8]) {
    for ending in ["jsonl", "jsonl.gz", "jsonl.zst"] {
        texts(&file(&format!("texts/a.{ending}"), data));
    }
}

pub fn parquet(data: &[u8]) {
    texts(&file("tables/a.parquet", data));
}

const CONFIG: &str = r#"{"model_type":"llama","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,
"num_key_value_heads":1,"intermediate_size":16,"vocab_size":11,"rms_norm_eps":1e-5,"rope_theta":1e4,
"tie_word_embeddings":true,"max_position_embeddings":64}"#;

pub fn config(data: &[u8]) {
    file("config/model.safetensors", b"");
    file("config/config.json", data);
    assert!(weights::load(&folder().join("config")).is_err(), "there are no weights");
}

pub fn safetensors(data: &[u8]) {
    file("weights/config.json", CONFIG.as_bytes());
    file("weights/model.safetensors", data);
    let _ = weights::load(&folder().join("weights"));
}

pub fn gguf(data: &[u8]) {
    let path = file("model.gguf", data);
    let _ = gguf::load(&path);
    let _ = HfTokenizer::from_gguf(&path);
}

pub fn tokenizer(data: &[u8]) {
    let specials = SpecialTokens { eos_id: Some(0), ..SpecialTokens::default() };
    if let Ok(tokenizer) = HfTokenizer::new("fuzz", data, &specials)
        && let Ok(ids) = tokenizer.encode("Two and 2 are\n4, naïve <|end|>")
    {
        let _ = tokenizer.decode(&ids);
    }
}

pub fn record(data: &[u8]) {
    if let Ok(record) = Record::from_bytes(data) {
        assert!(Record::from_bytes(&record.to_bytes()).is_ok());
    }
    if let Ok(fingerprint) = serde_json::from_slice::<Fingerprint>(data) {
        let _ = Recipe::from_fingerprint(&fingerprint);
        let _ = fingerprint.key();
    }
}

pub fn result_files(data: &[u8]) {
    for name in ["trials.jsonl", "curves.csv"] {
        let dir = folder().join(format!("results-{name}"));
        file(&format!("results-{name}/{name}"), data);
        if let Ok(read) = results::read(&dir) {
            let _ = results::trials_text(&read.trials) + &results::curves_text(&read.curves);
        }
    }
}

/// Pages of results that someone sent: the lines of trials, an empty line, the rows of curves.
pub fn report(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n").map_or(data.len(), |at| at + 1);
    file("report/trials.jsonl", &data[..end]);
    let rows = data.get(end + 1..).unwrap_or_default();
    file("report/curves.csv", &[b"arm,seed,stage,benchmark,metric,step,value\n", rows].concat());
    if let Ok(read) = results::read(&folder().join("report")) {
        let input = ExperimentInput::of_results("fuzz", "imported", read);
        write(&input, &render(&input), &folder().join("pages")).expect("pages can be written");
    }
}

pub fn shards(data: &[u8]) {
    let half = data.len() / 2;
    file("shards/tokens.bin", data);
    file("shards/documents.bin", &data[half..]);
    if let Ok(shards) = Shards::open(&folder().join("shards")) {
        let _ = shards.ids(0, shards.len().min(1000) as usize).count();
    }
}

/// Gold answer and response, a blank line between them.
pub fn verifier(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (gold, response) = text.split_once("\n\n").unwrap_or((&text, "1"));
    for answer in RULES.iter().filter_map(|rule| extract(response, *rule)).chain([response]) {
        let (forth, back) = (verify::equal(gold, answer), verify::equal(answer, gold));
        // An empty side is no answer as an answer, and a wrong one as a gold answer.
        let empty = [forth.0, back.0].contains(&Verdict::NoAnswer);
        assert!(forth == back || empty, "{gold:?} {answer:?}: {forth:?} {back:?}");
    }
    let (itself, _) = verify::equal(gold, gold);
    assert!(matches!(itself, Verdict::Correct | Verdict::NoAnswer), "{gold:?}: {itself:?}");
    let _ = verify::check_gold(gold);
}

const RULES: [Extract; 7] = [
    Extract::LastBoxed,
    Extract::LastAnswerIs,
    Extract::Hashes,
    Extract::Minerva,
    Extract::LastNumber,
    Extract::Letter,
    Extract::FinalAnswer,
];

pub fn score(data: &[u8]) {
    let mut out = Vec::new();
    let tally = score_lines(data, &mut out).expect("memory does not fail");
    let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(tally.lines(), lines.len() as u64);
    for line in lines {
        let object: serde_json::Value = serde_json::from_slice(line).expect("a line of JSON");
        assert!(object["verdict"].is_string() && object["rule"].is_string());
    }
}

/// A benchmark as each suite reads it; every gold answer that is let in is right when it is given.
pub fn items(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = read_problems(text);
    for suite in Suite::ALL {
        let (items, _) = suite.read(text);
        for item in &items {
            let right = suite.judge(&suite.response("So.", &item.gold), item, false);
            assert_eq!(right.verdict, Verdict::Correct, "{suite}: {item:?}");
            let _ = (suite.judge(&item.question, item, false), suite.judge(&item.question, item, true));
        }
        let _ = suite.spelled(&items);
    }
}
