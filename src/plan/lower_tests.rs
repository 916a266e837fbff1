use super::lower::{lower, seeds};
use super::trial::TrialPlan;
use crate::recipe::{Backend, Key, Recipe, Seed};
use crate::spec::{Experiment, Lab, Source};
use std::collections::BTreeSet;

const CORPUS: &str = include_str!("../../experiments/corpus.yaml");
const FORMAT: &str = include_str!("../../experiments/format.yaml");
const BRANCHES: &str = include_str!("../../experiments/branches.yaml");

fn experiment(text: &str) -> Experiment {
    Experiment::parse(&Source::new("exp.yaml", text)).unwrap_or_else(|m| panic!("{m}"))
}

fn plans(text: &str, lab: &str) -> Vec<TrialPlan> {
    lower(&experiment(text), &Lab::load(lab).unwrap(), &[Seed(0), Seed(1)], Backend::Cpu)
        .unwrap_or_else(|m| panic!("{m}"))
}

fn trial<'a>(plans: &'a [TrialPlan], arm: &str, seed: u64) -> &'a TrialPlan {
    plans.iter().find(|plan| plan.arm == arm && plan.seed == Seed(seed)).unwrap()
}

fn key(plan: &TrialPlan, stage: &str) -> Key {
    plan.stages.iter().find(|s| s.name == stage).unwrap_or_else(|| panic!("no stage {stage}")).key
}

fn keys(plans: &[TrialPlan]) -> Vec<Key> {
    plans.iter().flat_map(|plan| plan.stages.iter().map(|stage| stage.key)).collect()
}

const WEB_PRO: &str = "family=llama,corpus=megamath-web-pro";

#[test]
fn a_chain_runs_from_corpora_to_rl() {
    let plans = plans(CORPUS, "proxy");
    let names: Vec<&str> = trial(&plans, WEB_PRO, 0).stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "corpus:pretrain-general",
            "corpus:pretrain-noisy-web",
            "base",
            "eval:base",
            "corpus:megamath-web-pro",
            "web",
            "eval:web",
            "rl"
        ]
    );
    let none = trial(&plans, "family=llama,corpus=none", 0);
    assert_eq!(none.stages.last().unwrap().name, "rl");
    assert_eq!(none.stages.last().unwrap().recipe.inputs(), [key(none, "base")]);
}

#[test]
fn inputs_stand_before_what_reads_them() {
    for text in [CORPUS, FORMAT, BRANCHES] {
        for plan in plans(text, "smoke") {
            let mut made = BTreeSet::new();
            for stage in &plan.stages {
                assert!(stage.recipe.inputs().iter().all(|key| made.contains(key)), "{} of {}", stage.name, plan.arm);
                assert_eq!(stage.key, stage.recipe.fingerprint(Backend::Cpu).key());
                made.insert(stage.key);
            }
        }
    }
}

#[test]
fn seeds_share_corpora_and_nothing_else() {
    let plans = plans(CORPUS, "proxy");
    let (one, other) = (trial(&plans, WEB_PRO, 0), trial(&plans, WEB_PRO, 1));
    for (a, b) in one.stages.iter().zip(&other.stages) {
        assert_eq!(a.key == b.key, a.name.starts_with("corpus:"), "{}", a.name);
    }
}

#[test]
fn renaming_keeps_every_key() {
    let renamed = CORPUS
        .replace("megamath-web-pro: { label: MegaMath-Web-Pro,", "pro: { label: The good one,")
        .replace("corpus: megamath-web-pro }", "corpus: pro }")
        .replace("web: {", "maths: {")
        .replace("    web:", "    maths:")
        .replace("experiment: corpus", "experiment: other");
    assert_ne!(renamed, CORPUS);
    assert_eq!(keys(&plans(CORPUS, "proxy")), keys(&plans(&renamed, "proxy")));
}

#[test]
fn style_of_writing_keeps_every_key() {
    let other = CORPUS
        .replace("20B tokens", "20_000M tokens")
        .replace("finemath-4plus: 100%", "finemath-4plus: 1.0")
        .replace("schedule: cosine", "schedule: { cosine: { floor: 0.1 } }");
    assert_eq!(keys(&plans(CORPUS, "proxy")), keys(&plans(&other, "proxy")));
}

#[test]
fn a_mixture_moves_what_depends_on_it_and_nothing_else() {
    let changed = CORPUS.replace("{ megamath-web-pro: 100% } } }", "{ megamath-web-pro: 99%, dclm-baseline: 1% } } }");
    assert_ne!(changed, CORPUS);
    let (before, after) = (plans(CORPUS, "proxy"), plans(&changed, "proxy"));
    for (a, b) in before.iter().zip(&after) {
        for stage in &a.stages {
            let moved =
                a.arm.ends_with("=megamath-web-pro") && ["web", "eval:web", "rl"].contains(&stage.name.as_str());
            assert_eq!(stage.key != key(b, &stage.name), moved, "{} of {}", stage.name, a.arm);
        }
    }
}

#[test]
fn backends_never_share_what_was_computed() {
    let (experiment, lab) = (experiment(CORPUS), Lab::load("proxy").unwrap());
    let of = |backend| lower(&experiment, &lab, &[Seed(0)], backend).unwrap();
    for (cpu, cuda) in of(Backend::Cpu).iter().zip(of(Backend::Cuda).iter()) {
        for (a, b) in cpu.stages.iter().zip(&cuda.stages) {
            assert_eq!(a.key == b.key, a.name.starts_with("corpus:"));
        }
    }
}

#[test]
fn amounts_are_scaled_and_stairs_too() {
    let plans = plans(FORMAT, "proxy");
    let plan = trial(&plans, "template=complex,length=stair", 0);
    let Recipe::Rl(rl) = &*plan.stages.last().unwrap().recipe else { panic!("rl is last") };
    let stair: Vec<(u64, usize)> = rl.max_response.iter().map(|entry| (entry.from.0, entry.max_tokens)).collect();
    assert_eq!(stair, [(0, 48), (20, 96), (32, 192)]);
    assert_eq!(rl.steps.0, 40);
    assert!(rl.template.before.starts_with("user :"));
    let Some(Recipe::Train(web)) = plan.stages.iter().find(|s| s.name == "web").map(|s| &*s.recipe) else { panic!() };
    assert_eq!(web.tokens.0, 750_000);
    assert!((web.mixture.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(web.mixture.is_sorted_by_key(|part| part.corpus));
}

#[test]
fn branches_share_their_trunk() {
    let plans = plans(BRANCHES, "proxy");
    let trunk = |arm| key(trial(&plans, arm, 0), "stable");
    assert_eq!(trunk("branch=long"), trunk("branch=short"));
    assert_ne!(key(trial(&plans, "branch=long", 0), "decay"), key(trial(&plans, "branch=short", 0), "decay"));
}

#[test]
fn a_peak_scales_every_learning_rate() {
    let text = include_str!("../../experiments/decay-shape.yaml");
    let plans = plans(text, "proxy");
    let lr = |arm| {
        let plan = trial(&plans, arm, 0);
        match plan.stages.iter().find(|s| s.name == "decay").map(|s| &*s.recipe) {
            Some(Recipe::Train(decay)) => decay.optimizer.peak_lr(),
            _ => panic!("no decay"),
        }
    };
    assert!((lr("shape=constant-10") * 10.0 - lr("shape=constant-100")).abs() < 1e-12);
}

#[test]
fn names_that_no_lab_binds_are_mistakes_with_a_place() {
    let text = CORPUS.replace("finemath-4plus: 100%", "finemath-4pus: 100%").replace("amc23]", "amc]");
    let lab = Lab::load("proxy").unwrap();
    let mistakes = lower(&experiment(&text), &lab, &[Seed(0)], Backend::Cpu).unwrap_err();
    insta::assert_snapshot!(mistakes, @r#"
    error: the experiment names benchmark `amc`, which this lab does not bind
       --> exp.yaml:25:47
       |
    25 |   benchmarks: [math500, gsm8k, olympiadbench, amc]
       |                                               ^^^
    hint: did you mean `amc23`?

    error: the experiment names corpus `finemath-4pus`, which this lab does not bind
       --> exp.yaml:33:76
       |
    33 |     finemath-4plus: { label: FineMath-4plus, midtrain: { web: { mixture: { finemath-4pus: 100% } } } }
       |                                                                            ^^^^^^^^^^^^^
    hint: did you mean `finemath-4plus`?
    "#);
}

#[test]
fn a_corpus_is_never_asked_for_more_than_it_holds() {
    let text = CORPUS.replace("budget: 20B tokens", "budget: 90B tokens");
    let lab = Lab::load("proxy").unwrap();
    let mistakes = lower(&experiment(&text), &lab, &[Seed(0)], Backend::Cpu).unwrap_err();
    insta::assert_snapshot!(mistakes, @r#"
    error: phase `web` asks for 3.38M tokens of corpus `finemath-4plus`, which holds 1.5M in lab `proxy`
       --> exp.yaml:33:76
       |
    33 |     finemath-4plus: { label: FineMath-4plus, midtrain: { web: { mixture: { finemath-4plus: 100% } } } }
       |                                                                            ^^^^^^^^^^^^^^
    hint: raise the corpus' `size` (or `epochs`) in the lab

    error: phase `web` asks for 3.38M tokens of corpus `megamath-web-pro`, which holds 1.5M in lab `proxy`
       --> exp.yaml:34:80
       |
    34 |     megamath-web-pro: { label: MegaMath-Web-Pro, midtrain: { web: { mixture: { megamath-web-pro: 100% } } } }
       |                                                                                ^^^^^^^^^^^^^^^^
    hint: raise the corpus' `size` (or `epochs`) in the lab
    "#);
}

#[test]
fn the_command_line_the_file_and_the_lab_decide_on_seeds_in_this_order() {
    let lab = Lab::load("proxy").unwrap();
    let plain = experiment(CORPUS);
    let own = experiment(&CORPUS.replace("axes:", "seeds: [7]\naxes:"));
    assert_eq!(seeds(&plain, &lab, None), [Seed(0), Seed(1)]);
    assert_eq!(seeds(&own, &lab, None), [Seed(7)]);
    assert_eq!(seeds(&own, &lab, Some(1)), [Seed(0)]);
}

#[test]
fn ten_thousand_arms_lower() {
    let levels = |phase: &str| -> String {
        (1..=10).map(|i| format!("    b{i}: {{ midtrain: {{ {phase}: {{ budget: {i}B tokens }} }} }}\n")).collect()
    };
    let mut text = CORPUS.split("axes:").next().unwrap().to_string();
    text = text.replace("  rl:", "    x: { mixture: { dclm-baseline: 100% }, budget: 1B tokens, schedule: constant }\n    y: { mixture: { dclm-baseline: 100% }, budget: 1B tokens, schedule: constant }\n  rl:");
    text += &format!("axes:\n  web:\n{}  x:\n{}  y:\n{}  steps:\n", levels("web"), levels("x"), levels("y"));
    text += &(1..=10).map(|i| format!("    s{i}: {{ rl: {{ steps: {} }} }}\n", 20 * i)).collect::<String>();
    let start = std::time::Instant::now();
    let experiment = experiment(&text);
    let read = start.elapsed();
    let plans = lower(&experiment, &Lab::load("proxy").unwrap(), &[Seed(0)], Backend::Cpu).unwrap();
    println!("10,000 arms: read in {read:?}, lowered in {:?}", start.elapsed() - read);
    assert_eq!(plans.len(), 10_000);
    assert_eq!(keys(&plans).into_iter().collect::<BTreeSet<_>>().len(), 5 + 2 + 2 * (10 + 100 + 1000) + 10_000 - 1);
}
