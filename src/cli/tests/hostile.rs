//! Names that want out of their folder, and text that wants to be markup.

use super::{Place, said};
use std::fs;

const SCRIPT: &str = "<script>alert(1)</script>";
const IMAGE: &str = "\"><img src=x onerror=alert(1)>";

#[test]
fn nothing_from_a_file_is_markup_in_a_report() {
    let place = Place::new();
    // Results that someone sent: every text in them is hostile.
    let (arm, bench) = (serde_json::to_string(SCRIPT).unwrap(), serde_json::to_string(IMAGE).unwrap());
    let mut trials = String::new();
    let mut curves = String::from("arm,seed,stage,benchmark,metric,step,value\n");
    for seed in 0..2 {
        trials += &format!(
            "{{\"arm\":{arm},\"levels\":{{{bench}:{arm}}},\"seed\":{seed},\"outcome\":\"failed\",\"note\":{arm},\
             \"metrics\":{{\"rl.accuracy/all\":0.5}},\"stages\":{{{arm}:\"00\"}},\"cost\":{{\"flops\":1.0,\"tokens\":1}}}}\n"
        );
        for step in 0..3 {
            for metric in ["accuracy", "response_length", SCRIPT] {
                let bench = IMAGE.replace('"', "\"\"");
                curves += &format!("{SCRIPT},{seed},rl,\"{bench}\",{metric},{step},0.{step}\n");
                curves += &format!("{SCRIPT},{seed},{SCRIPT},,loss,{step},0.{step}\n");
            }
        }
    }
    let folder = place.path().join("results/sent & <b>bold</b>/imported");
    // A slash can't be in a name; the rest can.
    let folder = folder.to_string_lossy().replace("</b>", "<b>");
    fs::create_dir_all(&folder).unwrap();
    fs::write(format!("{folder}/trials.jsonl"), trials).unwrap();
    fs::write(format!("{folder}/curves.csv"), curves).unwrap();
    // And an experiment file and a lab whose words are hostile.
    let question = format!("question: '{SCRIPT}{IMAGE}'");
    let text = include_str!("../selftest/experiment.yaml").replacen(
        "question: Does this machine reproduce our bytes?",
        &question,
        1,
    );
    let text = text.replacen("llama: { family", &format!("llama: {{ label: '{SCRIPT}', family"), 1);
    let claim = format!(
        "claims:\n  - claim: c\n    statement: '{SCRIPT}'\n    metric: rl.accuracy/all\n    a: {{ family: qwen }}\n    \
         b: {{ family: llama }}\n    direction: greater\n    smallest_effect: 0.1\n    paper: {{ source: '{IMAGE}', verdict: '{SCRIPT}' }}\n"
    );
    place.write("bytes.yaml", &(text + &claim));
    let lab = include_str!("../selftest/lab.yaml").replacen("label: one change", &format!("label: '{SCRIPT}'"), 1);
    place.write("tiny.yaml", &lab.replacen("about: Two", &format!("about: '{}' # Two", IMAGE.replace('\'', "")), 1));
    let run = place.ablate("run bytes.yaml --lab ./tiny.yaml --progress none", None);
    assert!(run.status.success(), "{}", said(&run));
    for report in ["report bytes.yaml --lab ./tiny.yaml", "report"] {
        let report = place.ablate(report, None);
        assert!(report.status.success(), "{}", said(&report));
    }
    let mut pages = 0;
    for (name, bytes) in place.bytes("reports") {
        if [".html", ".svg", ".md"].iter().any(|ending| name.ends_with(ending)) {
            let text = String::from_utf8(bytes).unwrap();
            for raw in ["<script>alert", "<img src=x", "<b>bold"] {
                assert!(
                    !text.contains(raw),
                    "{name} has {raw}: {:?}",
                    text.split(raw).next().map(|before| before.len())
                );
            }
            pages += 1;
        }
    }
    assert!(pages > 5, "{pages}");
}

#[test]
fn nothing_from_a_file_commands_a_terminal() {
    let place = Place::new();
    let run = place.ablate("run bytes.yaml --lab ./tiny.yaml --progress none", None);
    assert!(run.status.success(), "{}", said(&run));
    let trials = place.path().join("results/bytes/selftest/trials.jsonl");
    let sound = fs::read_to_string(&trials).unwrap();
    let says = |from: &str, to: &str, verb: &str| {
        assert!(sound.contains(from));
        fs::write(&trials, sound.replace(from, to)).unwrap();
        let words = said(&place.ablate(verb, None));
        assert!(words.contains('\u{fffd}') && !words.contains('\u{1b}'), "{verb}: {words:?}");
    };
    says("\"finished\"", "\"\\u001b]0;mine\\u0007\"", "report bytes.yaml --lab ./tiny.yaml");
    let arms = "\"arm\":\"family=llama\"";
    let compare = "compare bytes.yaml --lab ./tiny.yaml --a family=llama --b family=qwen";
    says(arms, "\"arm\":\"\\u001b[2J\"", compare);
}

#[test]
fn names_cannot_leave_their_folder() {
    let place = Place::new();
    for name in ["..", "../up", ".hidden", "-flag", "a/b", "a\\\\b"] {
        place.write(
            "tiny.yaml",
            &include_str!("../selftest/lab.yaml").replacen("lab: selftest", &format!("lab: \"{name}\""), 1),
        );
        let refused = place.ablate("run bytes.yaml --lab ./tiny.yaml --progress none", None);
        assert_eq!(refused.status.code(), Some(2), "{name}: {}", said(&refused));
        assert!(said(&refused).contains("can't be a name"), "{}", said(&refused));
        let refused = place.ablate(&format!("import wandb tiny.yaml --experiment {name}"), None);
        assert_eq!(refused.status.code(), Some(2), "{name}: {}", said(&refused));
    }
    assert!(!place.path().join("results").exists());
}
