//! Every mistake that a user can make at the command line, and what the program says: what is wrong, where, how to mend it.
//! Mistakes inside experiment files have their own collection in `spec`.
//!
//! One text of all of them is kept (`snapshots/`), so that a change of words is seen as people will see it.

use super::{Place, said};
use std::fmt::Write;
use std::fs;

/// A conversation with the program: each command, its exit code, and what it said on standard error.
struct Conversation {
    place: Place,
    text: String,
}

impl Conversation {
    fn new() -> Conversation {
        Conversation { place: Place::new(), text: String::new() }
    }

    fn about(&mut self, what: &str) {
        let _ = writeln!(self.text, "## {what}\n");
    }

    fn say(&mut self, command: &str) {
        let output = self.place.ablate(command, None);
        let code = output.status.code().map_or("killed".to_string(), |code| code.to_string());
        let words = String::from_utf8_lossy(&output.stderr).replace(&self.place.path().display().to_string(), "HERE");
        let _ = writeln!(self.text, "$ ablate {command}\n{}\n→ {code}\n", words.trim_end());
    }

    fn quietly(&self, command: &str) {
        let output = self.place.ablate(command, None);
        assert!(output.status.success(), "{command}: {}", said(&output));
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn a_run_stops_at_the_limit_of_its_lab_and_says_which_limit_that_is() {
    let place = Place::new();
    let lab = include_str!("../selftest/lab.yaml").replacen("seeds: 1", "seeds: 1\nlimits: { max_hours: 1e-7 }", 1);
    place.write("tiny.yaml", &lab);
    let run = "run bytes.yaml --lab ./tiny.yaml --progress none";
    let stopped = place.ablate(run, None);
    let words = said(&stopped);
    assert_eq!(stopped.status.code(), Some(130), "{words}");
    assert!(
        words.contains("that the lab allows a run (--max-hours sets another limit); to go on: ablate run"),
        "{words}"
    );
    let longer = place.ablate(&format!("{run} --max-hours 1"), None);
    assert!(longer.status.success(), "{}", said(&longer));
}

#[test]
fn stages_that_do_not_fit_into_memory_are_refused_or_made_one_after_the_other() {
    let place = Place::new();
    let run = "run bytes.yaml --lab ./tiny.yaml --progress none --threads 1";
    let needs = |flags: &str| {
        let refused = place.ablate(&format!("{run} {flags}"), None);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(!place.path().join("results/bytes").exists(), "nothing is made");
        said(&refused)
    };
    assert!(needs("--max-memory 0.0001").contains("rl of family=llama seed 0 would hold about "));
    // One stage of the largest kind fits, two don't: an error where two were asked for, the usual course of things where
    // nobody said how many.
    assert!(needs("--max-memory 0.004 --jobs 2").contains("2 stages at once, such as rl of family="));
    let made = place.ablate(&format!("{run} --max-memory 0.004"), None);
    assert!(made.status.success(), "{}", said(&made));
    let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    assert_eq!(said(&made).contains("that may be used: --jobs 1"), several, "{}", said(&made));
}

#[test]
fn every_mistake_at_the_command_line() {
    let mut talk = Conversation::new();
    talk.about("files and flags");
    talk.say("run");
    talk.say("run nowhere.yaml");
    talk.say("run bytes.yaml --lba smoke");
    talk.say("run bytes.yaml --lab smok");
    talk.say("run bytes.yaml --lab ./nowhere.yaml");
    talk.say("run bytes.yaml --lab ./bytes.yaml");
    talk.say("run tiny.yaml");
    talk.say("run bytes.yaml --lab proxy");
    talk.say("run bytes.yaml --lab ./tiny.yaml --jobs 0");
    talk.say("run bytes.yaml --lab ./tiny.yaml --threads 0");
    talk.say("run bytes.yaml --lab ./tiny.yaml --max-hours 0");
    talk.say("run bytes.yaml --lab ./tiny.yaml --max-hours soon");
    talk.say("run bytes.yaml --lab ./tiny.yaml --max-hours -1");
    talk.say("run bytes.yaml --lab ./tiny.yaml --threads 100000");
    talk.say("run bytes.yaml --lab ./tiny.yaml --seeds 0");
    talk.say("run bytes.yaml --lab ./tiny.yaml --seeds -1");
    talk.say("run bytes.yaml --lab ./tiny.yaml --seeds 18446744073709551615");
    talk.say("run bytes.yaml --lab ./tiny.yaml --device gpu");
    talk.say("run bytes.yaml --lab ./tiny.yaml --device cuda:first");
    talk.say("run bytes.yaml --lab ./tiny.yaml --device cuda:");
    talk.say("run bytes.yaml --lab ./tiny.yaml --only family");
    talk.say("run bytes.yaml --lab ./tiny.yaml --only famly=llama");
    talk.say("run bytes.yaml --lab ./tiny.yaml --only family=lama");
    talk.say("run bytes.yaml --lab ./tiny.yaml --budget 1e-9");
    talk.say("run bytes.yaml --lab ./tiny.yaml --max-memory none");
    talk.say("run bytes.yaml --lab ./tiny.yaml --max-memory -1");
    talk.say("run bytes.yaml --lab ./tiny.yaml --threads 1 --max-memory 1e-6");
    talk.say("run bytes.yaml --lab ./tiny.yaml --threads 1 --jobs 2 --max-memory 4e-3");
    talk.say("run bytes.yaml --lab ./tiny.yaml --results bytes.yaml");
    #[cfg(unix)]
    for (name, to) in [("dangling", "mounts/big"), ("round", "round")] {
        std::os::unix::fs::symlink(to, talk.place.path().join(name)).unwrap();
    }
    talk.write("taken/bytes", "a file");
    for folder in ["dangling", "round", "taken"] {
        talk.say(&format!("run bytes.yaml --lab ./tiny.yaml --results {folder}"));
    }
    for verb in ["status", "verify", "gc", "doctor", "report bytes.yaml"] {
        talk.say(&format!("{verb} --results bytes.yaml"));
    }
    talk.say("run .");
    talk.say("run bytes.yaml --lab .");
    fs::write(talk.place.path().join("latin.yaml"), b"question: Who was K\xf6nig?").unwrap();
    talk.say("plan latin.yaml --lab ./tiny.yaml");
    talk.say("verify --recompute many");
    talk.say("schema experiments");

    talk.about("before there are results");
    talk.say("report bytes.yaml --lab ./tiny.yaml");
    talk.say("compare bytes.yaml --lab ./tiny.yaml --a family=llama --b family=qwen");
    talk.say("export bytes.yaml --lab ./tiny.yaml --arm family=llama --seed 0 --stage rl --to out");
    talk.say("verify --results nowhere");
    talk.say("gc --results nowhere");

    talk.say("compare bytes.yaml --lab ./tiny.yaml");
    talk.say("compare bytes.yaml --lab imported --a family=llama --b family=qwen");
    talk.say("compare bytes.yaml --lab ./tiny.yaml --results other --a family=llama --b family=qwen");
    talk.say("report bytes.yaml --lab ./tiny.yaml --results other");
    talk.say("report");

    talk.about("a lab that can't be read: what uses the parts is not told to lack them");
    let lab = include_str!("../selftest/lab.yaml");
    let unreadable =
        lab.replacen("corpus_size: 8k", "corpus_size: many", 1).replacen("max_number: 12", "max_number: 255", 1);
    talk.write("unreadable.yaml", &unreadable.replacen("lab: selftest", "lab: imported", 1));
    talk.say("plan bytes.yaml --lab ./unreadable.yaml");
    talk.write("unreadable.yaml", &lab.replacen("style: general", "style: grand", 1));
    talk.say("plan bytes.yaml --lab ./unreadable.yaml");

    talk.about("a trial that fails");
    // A decoder that knows fewer words than the corpora hold.
    let narrow = "  narrow:\n    pretrain:\n      <<: *pretrain\n      \
                  shape: { architecture: llama, vocab: 8, hidden: 32, layers: 2, heads: 2, ffn: 64 }\ncorpus_size:";
    talk.write("given.yaml", &lab.replacen("corpus_size:", narrow, 1).replacen("lab: selftest", "lab: given", 1));
    talk.write(
        "third.yaml",
        &include_str!("../selftest/experiment.yaml").replacen(
            "qwen: { family: qwen }",
            "narrow: { family: narrow }",
            1,
        ),
    );
    let output = talk.place.ablate("run third.yaml --lab ./given.yaml --progress none", None);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let words = String::from_utf8_lossy(&output.stderr);
    let failure = words.split_once("error: ").expect("an error").1;
    let _ = writeln!(
        talk.text,
        "$ ablate run third.yaml --lab ./given.yaml --progress none\nerror: {}\n→ 3\n",
        failure.trim_end()
    );

    talk.about("with results");
    talk.quietly("run bytes.yaml --lab ./tiny.yaml --progress none");
    talk.say("compare bytes.yaml --lab ./tiny.yaml --a famly=llama --b family=qwen");
    talk.say("compare bytes.yaml --lab ./tiny.yaml --a family=llama --b family=qwen --metric rl.acuracy/all");
    talk.say("compare bytes.yaml --lab ./tiny.yaml --a family=llama --b family=qwen --metric beauty");
    talk.say("export bytes.yaml --lab ./tiny.yaml --arm family=lama --seed 0 --stage rl --to out");
    talk.say("export bytes.yaml --lab ./tiny.yaml --arm family=llama --seed 7 --stage rl --to out");
    talk.say("export bytes.yaml --lab ./tiny.yaml --arm family=llama --seed 0 --stage lr --to out");
    talk.say("export bytes.yaml --lab ./tiny.yaml --arm family=llama --seed 0 --stage rl --to results");
    talk.say("export bytes.yaml --lab ./tiny.yaml --arm family=llama --seed 0 --stage rl --to bytes.yaml/out");
    talk.say("report bytes.yaml --lab ./tiny.yaml --out bytes.yaml");
    talk.write("paper/guide.yaml", "title: [\n");
    talk.say("report bytes.yaml --lab ./tiny.yaml");
    fs::remove_file(talk.place.path().join("paper/guide.yaml")).unwrap();

    talk.quietly("export bytes.yaml --lab ./tiny.yaml --arm family=llama --seed 0 --stage rl --to model");

    talk.about("results of an older experiment file");
    let newer = include_str!("../selftest/experiment.yaml").replacen("steps: 200", "steps: 100", 1);
    talk.write("newer.yaml", &format!("experiment: bytes\n{newer}"));
    talk.say("report newer.yaml --lab ./tiny.yaml");
    talk.say("compare newer.yaml --lab ./tiny.yaml --a family=llama --b family=qwen");
    let page = fs::read_to_string(talk.place.path().join("reports/bytes/selftest/README.md")).unwrap();
    assert!(page.contains("> Made by another recipe than"), "{page}");
    talk.write("renamed.yaml", &format!("experiment: bytes\n{}", newer.replace("qwen: {", "other: {")));
    talk.quietly("report renamed.yaml --lab ./tiny.yaml");
    let page = fs::read_to_string(talk.place.path().join("reports/bytes/selftest/README.md")).unwrap();
    assert!(page.contains("> In the results, and not in the experiment file: family=qwen."), "{page}");
    talk.quietly("report bytes.yaml --lab ./tiny.yaml");
    let page = fs::read_to_string(talk.place.path().join("reports/bytes/selftest/README.md")).unwrap();
    assert!(!page.contains("another recipe") && !page.contains("not in the experiment file"), "{page}");

    talk.about("damage");
    // What a file manager leaves behind is in nobody's way.
    talk.write("results/.store/objects/.DS_Store", "");
    talk.quietly("status");
    talk.quietly("run bytes.yaml --lab ./tiny.yaml --progress none");
    talk.say("verify");
    talk.quietly("gc");
    talk.quietly("verify");
    let curves = talk.place.path().join("results/bytes/selftest/curves.csv");
    let whole = fs::read_to_string(&curves).unwrap();
    fs::write(&curves, "").unwrap();
    talk.say("report bytes.yaml --lab ./tiny.yaml");
    fs::write(&curves, whole).unwrap();
    let trials = talk.place.path().join("results/bytes/selftest/trials.jsonl");
    let whole = fs::read_to_string(&trials).unwrap();
    fs::write(&trials, &whole[..whole.len() / 2]).unwrap();
    talk.say("plan bytes.yaml --lab ./tiny.yaml");
    talk.say("report bytes.yaml --lab ./tiny.yaml");
    fs::write(&trials, whole).unwrap();
    let objects = walkdir::WalkDir::new(talk.place.path().join("results/.store/objects")).sort_by_file_name();
    let damaged =
        objects.into_iter().map(|entry| entry.unwrap().into_path()).find(|path| path.ends_with("metrics.json"));
    fs::write(damaged.unwrap(), "{}").unwrap();
    talk.say("verify");
    let in_use = crate::cache::Store::at(&talk.place.path().join("results/.store")).unwrap().in_use().unwrap();
    talk.say("gc");
    drop(in_use);
    talk.write("results/.store/store.json", "{\"format\":99}");
    talk.say("status");
    talk.say("run bytes.yaml --lab ./tiny.yaml");

    talk.about("answers, models, imports");
    talk.say("score --in nowhere.jsonl");
    talk.write("pairs.jsonl", "{\"gold\":\"1\",\"response\":\"1\"}\n{\"gold\":\"1\"}\n");
    talk.say("score --in pairs.jsonl");
    talk.say("score --in results");
    talk.say("score --in pairs.jsonl --out nowhere/out.jsonl");
    talk.quietly("score --in pairs.jsonl --out pairs.jsonl");
    let scored = fs::read_to_string(talk.place.path().join("pairs.jsonl")).unwrap();
    assert_eq!(scored.matches("\"verdict\":").count(), 2, "in the place of what was read: {scored}");
    talk.write("sums.jsonl", "{\"id\":\"1\",\"question\":\"1+1?\",\"answer\":\"2\"}\n");
    talk.say("eval --model nowhere --benchmark sums.jsonl");
    talk.say("eval --model nowhere --benchmark sums.jsonl --suite sums");
    talk.say("eval --model nowhere --benchmark sums.jsonl --suite generic --samples 99999999999");
    talk.say("eval --model nowhere --benchmark sums.jsonl --suite generic --temperature -1");
    talk.say("eval --model nowhere --benchmark pairs.jsonl --suite generic");
    talk.say("compare pairs.jsonl sums.jsonl");
    talk.write("A/summary.json", "{}");
    talk.say("compare A A");
    talk.say("eval --model model --benchmark nowhere.jsonl --suite generic");
    talk.write("empty.jsonl", "\n");
    talk.say("eval --model model --benchmark empty.jsonl --suite generic");
    talk.say("eval --model model --benchmark sums.jsonl --suite generic --limit 0");
    talk.say("eval --model model --benchmark sums.jsonl --suite generic --shots 2");
    talk.say("eval --model model --benchmark sums.jsonl --suite generic --template simpl");
    talk.say("eval --model model --benchmark sums.jsonl --suite generic --authors-compatible");
    fs::write(talk.place.path().join("latin.jsonl"), b"{\"id\":\"K\xf6nig\"}").unwrap();
    talk.say("eval --model model --benchmark latin.jsonl --suite generic");
    talk.say("logits --model model --ids nowhere.json --out out.safetensors");
    talk.write("ids.json", "[[]]");
    talk.say("logits --model model --ids ids.json --out out.safetensors");
    talk.write("ids.json", "[1,2]");
    talk.say("logits --model model --ids ids.json --out out.safetensors");
    talk.write("ids.json", "[[1,99999]]");
    talk.say("logits --model model --ids ids.json --out out.safetensors");
    talk.write("ids.json", "[[1,2]]");
    talk.say("logits --model model --ids ids.json --out nowhere/out.safetensors");
    talk.write("model/config.json", "{}");
    talk.say("logits --model model --ids ids.json --out out.safetensors");
    talk.write("ids.json", "[[1,2],[3]]");
    talk.say("logits --model nowhere --ids ids.json --out out.safetensors");
    talk.say("import wandb nowhere.csv --experiment x");
    talk.write("export.csv", "\"Step\",\"a - val/unknown\"\n1,0.5\n");
    talk.say("import wandb export.csv --experiment x");
    talk.say("import wandb export.csv --experiment ../x");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("mistakes", talk.text);
    });
}
