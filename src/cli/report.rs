//! `ablate report`: from result files to pages. Needs no store and trains nothing.

use super::args::ReportArgs;
use super::failure::Failure;
use super::methods;
use super::session::{read_experiment, read_lab};
use super::store::result_folders;
use crate::exec::results;
use crate::plan::lower;
use crate::recipe::{Init, Recipe};
use crate::report::{ArmInput, AxisInput, ExperimentInput, MixtureRow, render, write};
use crate::spec::bind::Family;
use crate::spec::claim::{self, Claim};
use crate::spec::experiment::Experiment;
use crate::spec::lab::Lab;
use crate::verdict::{ClaimInput, Direction, Results};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn report(args: &ReportArgs) -> Result<(), Failure> {
    let mut written = 0;
    for (experiment, lab) in chosen(args)? {
        let (name, results_of) = match &experiment {
            Chosen::File(experiment) => (experiment.name.clone(), &args.results),
            Chosen::Imported(name) => (name.clone(), &args.results),
        };
        let folder = results_of.join(&name).join(lab.label());
        let read = results::read(&folder)?;
        let input = match (&experiment, &lab) {
            (Chosen::File(experiment), LabOf::Known(lab)) => input(experiment, lab, read)?,
            _ => imported(&name, lab.label(), read),
        };
        let report = render(&input);
        let place = write(&input, &report, &args.out)?;
        println!("{}", place.dir.join("index.html").display());
        for judged in &report.judged {
            println!("  {:<13} {}", verdict_word(&judged.verdict), judged.claim.statement);
        }
        written += 1;
    }
    if written == 0 {
        return Err(Failure::usage(format!("there are no results in {} to report", args.results.display()))
            .hint("run an experiment first: ablate run experiments/corpus.yaml"));
    }
    println!("{}", args.out.join("index.html").display());
    Ok(())
}

fn verdict_word(verdict: &crate::verdict::Verdict) -> &'static str {
    use crate::verdict::Verdict;
    match verdict {
        Verdict::Supported => "supported",
        Verdict::Refuted => "refuted",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::NotRun { .. } => "not run",
    }
}

/// What a folder of results belongs to.
enum Chosen {
    File(Box<Experiment>),
    /// Results without an experiment file, read from elsewhere.
    Imported(String),
}

enum LabOf {
    Known(Box<Lab>),
    Named(String),
}

impl LabOf {
    fn label(&self) -> &str {
        match self {
            LabOf::Known(lab) => &lab.name,
            LabOf::Named(name) => name,
        }
    }
}

/// Every experiment asked for, in every lab asked for, that has results.
fn chosen(args: &ReportArgs) -> Result<Vec<(Chosen, LabOf)>, Failure> {
    let mut experiments = Vec::new();
    let files = match args.experiments.is_empty() {
        false => args.experiments.clone(),
        true => experiment_files(Path::new("experiments")),
    };
    for file in &files {
        experiments.push(read_experiment(file)?);
    }
    let mut chosen = Vec::new();
    let asked = args.lab.as_deref().map(read_lab).transpose()?;
    for folder in result_folders(&args.results) {
        let part =
            |up: usize| folder.iter().nth_back(up).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (name, lab_name) = (part(1), part(0));
        if asked.as_ref().is_some_and(|lab| lab.name != lab_name) {
            continue;
        }
        let lab = match &asked {
            Some(lab) => LabOf::Known(Box::new(lab.clone())),
            None if Lab::built_in().any(|known| known == lab_name) => LabOf::Known(Box::new(read_lab(&lab_name)?)),
            None => LabOf::Named(lab_name),
        };
        match experiments.iter().find(|experiment| experiment.name == name) {
            Some(experiment) => chosen.push((Chosen::File(Box::new(experiment.clone())), lab)),
            None if args.experiments.is_empty() => chosen.push((Chosen::Imported(name), lab)),
            None => {}
        }
    }
    Ok(chosen)
}

fn experiment_files(folder: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = files.map(|entry| entry.into_path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// Results of an experiment without a file: every arm as it is, nothing to judge.
fn imported(name: &str, lab: &str, results: Results) -> ExperimentInput {
    let mut arms: Vec<ArmInput> = Vec::new();
    for trial in &results.trials {
        if !arms.iter().any(|arm| arm.id == trial.arm) {
            let levels = trial.levels.iter().map(|(axis, level)| (axis.to_string(), level.to_string())).collect();
            arms.push(ArmInput { id: trial.arm.clone(), levels, label: trial.arm.clone(), baseline: false });
        }
    }
    ExperimentInput { name: name.into(), lab: lab.into(), arms, results, ..ExperimentInput::default() }
}

fn input(experiment: &Experiment, lab: &Lab, results: Results) -> Result<ExperimentInput, Failure> {
    let axes = experiment.axes.iter().map(|axis| AxisInput {
        name: axis.name.clone(),
        levels: axis.levels.iter().map(|level| (level.name.clone(), level.label.clone())).collect(),
    });
    let label = |levels: &[(String, String)]| {
        let labels = levels.iter().map(|(axis, level)| {
            let found = experiment.axis(axis).and_then(|axis| axis.level(level));
            found.map_or(level.as_str(), |level| level.label.as_str())
        });
        labels.collect::<Vec<_>>().join(" · ")
    };
    let baseline = |levels: &[(String, String)]| {
        levels.iter().all(|(axis, level)| {
            let baseline = experiment.axis(axis).and_then(|axis| axis.baseline());
            baseline.is_some_and(|baseline| baseline.name == *level)
        })
    };
    let arms = experiment.arms.iter().map(|arm| ArmInput {
        id: arm.id.to_string(),
        levels: arm.levels.clone(),
        label: if arm.levels.is_empty() { arm.id.to_string() } else { label(&arm.levels) },
        baseline: baseline(&arm.levels),
    });
    let paper = experiment.paper.as_ref().map_or(String::new(), |paper| {
        let place = [("§", &paper.section), ("Figure ", &paper.figure), ("Table ", &paper.table)];
        let place = place.iter().filter_map(|(word, value)| value.as_ref().map(|value| format!("{word}{value}")));
        let place = place.collect::<Vec<_>>().join(", ");
        if place.is_empty() { paper.finding.clone() } else { format!("{} ({place})", paper.finding) }
    });
    Ok(ExperimentInput {
        name: experiment.name.clone(),
        lab: lab.name.clone(),
        question: experiment.question.clone(),
        axes: axes.collect(),
        arms: arms.collect(),
        claims: experiment.claims.iter().map(claim_input).collect(),
        paper,
        benchmarks: benchmarks(lab),
        methods: methods::text(experiment, lab, &results),
        mixtures: mixtures(experiment, lab)?,
        results,
    })
}

/// What stands for the benchmarks, up to the remark in brackets.
fn benchmarks(lab: &Lab) -> Vec<(String, String)> {
    let short = |label: &str| label.split([',', '(']).next().unwrap_or(label).trim().to_string();
    lab.benchmarks.iter().map(|(name, binding)| (name.clone(), short(&binding.label))).collect()
}

/// What a claim of an experiment file is to the judge.
pub fn claim_input(claim: &Claim) -> ClaimInput {
    let side = |side: &claim::Side| side.levels.clone();
    let paper = claim.paper.as_ref().map_or(serde_json::Value::Null, |paper| {
        let effect = paper.a.zip(paper.b).map(|(a, b)| a - b);
        // Rounded as the paper's own numbers are.
        let effect = effect.map(|effect| (effect * 1e6).round() / 1e6);
        json!({
            "a": paper.a, "b": paper.b, "effect": effect, "unit": paper.unit, "source": paper.source,
            "verdict": paper.verdict, "finding": paper.verdict,
        })
    });
    ClaimInput {
        claim: claim.name.clone(),
        statement: claim.statement.clone(),
        metric: claim.metric.to_string(),
        a: side(&claim.a),
        b: side(&claim.b),
        versus: claim.versus.as_ref().map(|(a, b)| (side(a), side(b))),
        direction: match claim.direction {
            claim::Direction::Greater => Direction::Greater,
            claim::Direction::Less => Direction::Less,
            claim::Direction::Same => Direction::Same,
        },
        smallest_effect: claim.smallest_effect,
        confidence: claim.confidence,
        paper,
    }
}

/// What every stage of every arm reads, with the tokens that it really does.
fn mixtures(experiment: &Experiment, lab: &Lab) -> Result<Vec<MixtureRow>, Failure> {
    let seeds = lower::seeds(experiment, lab, Some(1));
    let trials = lower::lower(experiment, lab, &seeds, Default::default()).map_err(Failure::usage)?;
    let mut rows = Vec::new();
    for (arm, trial) in experiment.arms.iter().zip(&trials) {
        for stage in &trial.stages {
            let Recipe::Train(train) = &*stage.recipe else { continue };
            let phase = arm.spec.midtrain.iter().find(|phase| phase.name == stage.name);
            let mixture = match (phase, lab.families.get(arm.spec.family.as_str()), &train.init) {
                (Some(phase), _, Init::From { .. }) => &phase.mixture,
                (_, Some(Family::Pretrain(pretrain)), Init::Random { .. }) => &pretrain.mixture,
                _ => continue,
            };
            rows.extend(mixture.iter().map(|(corpus, share)| MixtureRow {
                arm: arm.id.to_string(),
                stage: stage.name.clone(),
                corpus: corpus.as_str().to_string(),
                share: *share,
                tokens: train.steps().0 * train.batch_tokens(),
            }));
        }
    }
    Ok(rows)
}
