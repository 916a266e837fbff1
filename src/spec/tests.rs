use super::*;
use crate::plan::lower::{lower, seeds};
use crate::recipe::Backend;
use proptest::prelude::*;
use std::path::PathBuf;

pub(super) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_shipped_experiment_lowers_in_every_built_in_lab() {
    for path in files("experiments") {
        let experiment = load(&path).unwrap_or_else(|m| panic!("{m}"));
        assert_eq!(experiment.name, path.file_stem().unwrap().to_str().unwrap());
        assert!(!experiment.claims.is_empty() && experiment.change_our_mind.is_some() && experiment.paper.is_some());
        for name in Lab::built_in() {
            let lab = Lab::load(name).unwrap_or_else(|m| panic!("{m}"));
            assert_eq!(lab.name, name);
            let plans = lower(&experiment, &lab, &seeds(&experiment, &lab, None), Backend::Cpu)
                .unwrap_or_else(|m| panic!("{m}"));
            assert_eq!(plans.len(), experiment.arms.len() * lab.seeds.len());
        }
    }
}

/// The blocks of YAML of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_page_on_writing_experiments_says_what_is_so() {
    let (mut whole, mut arms_stated) = (None, 0);
    for block in blocks(include_str!("../../docs/writing-experiments.md")) {
        let comment = block.lines().next().unwrap();
        if comment.starts_with("# lab ") {
            let lab = Lab::parse(&Source::new("mine.yaml", block)).unwrap_or_else(|m| panic!("{m}"));
            assert_eq!(lab.eval.pass_at, [1, 4, 16]);
            continue;
        }
        // A block is the first one with some of its keys as they are here.
        let own = split_by_key(block);
        let kept = split_by_key(whole.get_or_insert(block)).into_iter();
        let kept = kept.filter(|(key, _)| own.iter().all(|(other, _)| key != other)).map(|(_, lines)| lines);
        let text = format!("{block}{}", kept.collect::<String>());
        let experiment =
            Experiment::parse(&Source::new("sweep.yaml", &text)).unwrap_or_else(|m| panic!("{comment}\n{m}"));
        let stated = comment.split(" arms").next().unwrap().rsplit(' ').next().unwrap();
        assert_eq!(experiment.arms.len().to_string(), stated, "{comment}");
        lower(&experiment, &Lab::load("proxy").unwrap(), &[crate::recipe::Seed(0)], Backend::Cpu)
            .unwrap_or_else(|m| panic!("{comment}\n{m}"));
        arms_stated += 1;
    }
    assert!(arms_stated > 7);
}

/// The top-level keys of a file, each with its lines.
fn split_by_key(text: &str) -> Vec<(&str, &str)> {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .filter(|at| text[*at..].starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(from, to)| (text[*from..to].split(':').next().unwrap(), &text[*from..to])).collect()
}

#[test]
fn only_some_levels_can_be_kept() {
    let mut experiment = load(&files("experiments").into_iter().find(|p| p.ends_with("corpus.yaml")).unwrap()).unwrap();
    let level = |axis: &str, level: &str| (axis.to_string(), level.to_string());
    let wrong = experiment.keep_only(&[level("famly", "llama")]).unwrap_err();
    assert_eq!(wrong, "experiment `corpus` has no axis `famly`: did you mean `family`?");
    let wrong = experiment.keep_only(&[level("family", "lama")]).unwrap_err();
    assert_eq!(wrong, "axis `family` has no level `lama`: did you mean `llama`?");
    let kept = [level("family", "qwen"), level("corpus", "none"), level("corpus", "finemath-4plus")];
    experiment.keep_only(&kept).unwrap();
    let ids: Vec<&str> = experiment.arms.iter().map(|arm| arm.id.as_str()).collect();
    assert_eq!(ids, ["family=qwen,corpus=none", "family=qwen,corpus=finemath-4plus"]);
}

#[test]
fn an_unknown_lab_is_told_from_a_file_that_is_not_there() {
    let unknown = Lab::load("smok").unwrap_err().to_string();
    assert_eq!(unknown, "there is no lab `smok`: did you mean `smoke`? (or give a path to a file)");
    assert!(Lab::load("./nowhere.yaml").unwrap_err().to_string().contains("failed to read the lab"));
}

#[test]
fn a_lab_lies_over_the_one_it_extends() {
    let text = "extends: proxy\nrl: { group_size: 4 }\nfamilies: { llama: { pretrain: { budget: 2M tokens } } }\n";
    let lab = Lab::parse(&Source::new("mine.yaml", text)).unwrap();
    assert_eq!((lab.name.as_str(), lab.rl.group_size, lab.rl.prompts_per_step), ("mine", 4, 16));
    let wrong = Lab::parse(&Source::new("mine.yaml", "extends: proxi\n")).unwrap_err().to_string();
    assert!(wrong.contains("did you mean `proxy`?"), "{wrong}");
}

#[test]
fn labs_that_extend_one_another_in_a_circle_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    write("own.yaml", "extends: ./sub/a.yaml\n");
    write("sub/a.yaml", "extends: b.yaml\n");
    write("sub/b.yaml", "extends: ../sub/./a.yaml\n");
    write("self.yaml", "extends: self.yaml\n");
    write("dir.yaml", "extends: ./sub\n");
    let told = |name: &str| {
        let error = Lab::load(&format!("{}/./{name}", dir.path().display())).unwrap_err().to_string();
        error.replace(&dir.path().display().to_string(), "HERE")
    };
    insta::assert_snapshot!(told("own.yaml"), @r#"
    error: labs extend one another in a circle: HERE/sub/a.yaml -> HERE/sub/b.yaml -> HERE/sub/a.yaml
      --> HERE/sub/b.yaml:1:10
      |
    1 | extends: ../sub/./a.yaml
      |          ^^^^^^^^^^^^^^^
    hint: one of them must stand on its own, or extend a lab that does
    "#);
    assert!(told("self.yaml").contains("in a circle: HERE/self.yaml -> HERE/self.yaml\n"));
    assert!(told("dir.yaml").contains("failed to read the lab HERE/sub: Is a directory"));
}

fn lab_report(text: &str) -> String {
    Lab::parse(&Source::new("lab.yaml", format!("extends: proxy\n{text}\n"))).unwrap_err().to_string()
}

#[test]
fn labs_name_their_mistakes() {
    let first = |text: &str| lab_report(text).lines().next().unwrap().to_string();
    let cases = [
        ("rl: { updates_per_step: 3 }", "error: 16 prompts can't be cut into 3 equal updates"),
        (
            "rl: { group_size: 1 }",
            "error: a group needs at least 2 responses: one alone has no advantage over the others",
        ),
        ("rl: { advantage: ppo }", "error: expected one of `grpo`, `dr-grpo`, `rloo`, found `ppo`"),
        ("eval: { pass_at: [8] }", "error: pass@8 needs 8 samples, and there are 2"),
        ("eval: { template: none }", "error: evaluation uses template `none`, which this lab does not bind"),
        ("world: { corpus_difficulty: [50%, 40%] }", "error: frequencies of difficulties sum to 0.9, not 1"),
        ("world: { max_change: 13 }", "error: expected a whole number from 1 to 12, found 13"),
        ("corpora: { x: { stream: 1 } }", "error: corpus `x` has either a `style` (generated) or a `text` (files)"),
        (
            "corpora: { x: { stream: 1, style: { web: { notes: 60%, forum: 60% } } } }",
            "error: `notes`, `interleaved` and `forum` are shares of items and sum to 1.2",
        ),
        (
            "families: { x: { checkpoint: { path: m, sha256: 12 } } }",
            "error: `12` is not a key: expected 64 hex digits",
        ),
        (
            "families: { llama: { pretrain: { mixture: { pretrain-general: 90% } } } }",
            "error: mixture of family `llama` sums to 0.9, not 1",
        ),
        (
            "families: { llama: { pretrain: { mixture: { nothing: 100% } } } }",
            "error: family `llama` is trained on `nothing`, which this lab does not bind",
        ),
        (
            "families: { llama: { pretrain: { shape: { heads: 3 } } } }",
            "error: rotary positions need heads of even width, and these have 21",
        ),
        ("midtrain: { optimizer: { adamw: { lr: 1 } } }", "error: an optimizer is either `adamw: {…}` or `muon: {…}`"),
    ];
    for (text, expected) in cases {
        assert_eq!(first(text), expected, "{}", lab_report(text));
    }
}

#[test]
fn templates_keep_their_white_space() {
    let lab = Lab::load("proxy").unwrap();
    assert_eq!(lab.templates["simple"].before, "question : ");
    assert_eq!(lab.templates["simple"].after, " answer :");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Reading never panics, and what is refused says where.
    #[test]
    fn any_text_is_read_or_refused(text in "[ \\-a-z0-9:{}\\[\\],&*<%.\n\"']{0,200}") {
        if let Err(mistakes) = Experiment::parse(&Source::new("x.yaml", text.clone())) {
            prop_assert!(!mistakes.is_empty());
            prop_assert!(mistakes.to_string().contains("x.yaml:"));
        }
        let _ = Lab::parse(&Source::new("x.yaml", text));
    }

    /// Cutting a passage out of a good file never panics either.
    #[test]
    fn a_damaged_file_is_read_or_refused(from in 0usize..3000, len in 0usize..60) {
        let good = include_str!("../../experiments/corpus.yaml");
        let mut text: Vec<char> = good.chars().collect();
        let from = from.min(text.len());
        let to = (from + len).min(text.len());
        text.drain(from..to);
        let _ = Experiment::parse(&Source::new("x.yaml", text.into_iter().collect::<String>())).map_err(|m| m.to_string());
    }
}

#[test]
fn formats_are_those_that_texts_can_be_written_in() {
    let known = crate::data::source::Format::ALL.map(|format| format.name());
    assert_eq!(bind::FORMATS.map(|(name, _)| name), known);
}

#[test]
fn paths_hang_from_the_root() {
    let lab = |text: &str| Lab::parse(&Source::new("mine.yaml", text)).unwrap();
    let path = |lab: &Lab| match &lab.families["own"] {
        bind::Family::Checkpoint(checkpoint) => checkpoint.place.path.clone(),
        other => panic!("{other:?}"),
    };
    let text = "extends: proxy\nfamilies: { own: { checkpoint: a/b } }\n";
    assert_eq!(path(&lab(text)), Path::new("a/b"));
    assert_eq!(path(&lab(&format!("{text}root: /data\n"))), Path::new("/data/a/b"));
    let pinned = text.replace("a/b", "{ path: /c, sha256: 0 }");
    let wrong = Lab::parse(&Source::new("mine.yaml", pinned)).unwrap_err().to_string();
    assert!(wrong.contains("expected 64 hex digits"), "{wrong}");
    // A mistake about a place is shown where its path is written, though the map around it is another lab's.
    let text = "extends: llama-3.2-3b\n\nfamilies: { llama: { checkpoint: { path: mine } } }\n";
    let bind::Family::Checkpoint(checkpoint) = &lab(text).families["llama"] else { panic!("it is a checkpoint") };
    assert_eq!((checkpoint.place.at.source.name.as_str(), checkpoint.place.at.line), ("mine.yaml", 3));
}
