//! `ablate report`: from result files to pages. Needs no store and trains nothing.

use super::again::again;
use super::args::{Device, LAB, ReportArgs, Selection};
use super::failure::Failure;
use super::folder;
use super::import::LAB as IMPORTED;
use super::methods;
use super::older;
use super::session::{read_experiment, read_lab};
use super::store::result_folders;
use crate::exec::results;
use crate::plan::lower;
use crate::recipe::{Backend, Init, Recipe};
use crate::report::guide::Guide;
use crate::report::overview::Entry;
use crate::report::{ArmInput, AxisInput, Error as WriteError, ExperimentInput, MixtureRow, Place};
use crate::report::{overview, render, write};
use crate::spec::bind::Family;
use crate::spec::claim::{self, Claim};
use crate::spec::experiment::Experiment;
use crate::spec::lab::Lab;
use crate::text;
use crate::verdict::{ClaimInput, Direction, Results, add_peaks, overlap};
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

pub fn report(args: &ReportArgs) -> Result<(), Failure> {
    folder::usable(&args.results, "--results")?;
    folder::usable(&args.out, "--out")?;
    let mut written = 0;
    let guide = guide(args)?;
    for Job { file, name, lab, kind } in chosen(args)? {
        let folder = args.results.join(&name).join(&lab);
        let mut read = results::read(&folder)?;
        add_peaks(&mut read);
        let mut input = match &kind {
            Kind::Known(experiment, lab) => input(experiment, lab, read)?,
            Kind::Alone => ExperimentInput::of_results(&name, &lab, read),
        };
        input.timing = results::read_timing(&folder)?;
        if lab != IMPORTED {
            input.authors = results::read(&args.results.join(&name).join(IMPORTED))?;
        }
        input.place.file = file.as_deref().and_then(|file| beside(&args.out, file));
        input.place.results = beside(&args.out, &folder);
        let report = render(&input);
        input.warnings.iter().for_each(|warning| tell!("note: {}: {warning}", folder.display()));
        let place = write(&input, &report, &args.out).map_err(unwritten)?;
        show!("{}", place.dir.join("index.html").display());
        for (judged, overlaps) in report.judged.iter().zip(&report.overlaps) {
            show!("  {:<13} {}", verdict_word(&judged.verdict), judged.claim.statement);
            overlap::in_words(overlaps).iter().for_each(|words| show!("  {:<13} {words}", ""));
        }
        written += 1;
    }
    if written == 0 {
        let experiment = args.experiments.first().cloned().unwrap_or_else(|| "experiments/corpus.yaml".into());
        let lab = args.lab.clone().filter(|lab| lab != IMPORTED).unwrap_or_else(|| LAB.into());
        let device = Device { backend: Backend::Cpu, number: 0 };
        let run = Selection { experiment, lab, results: args.results.clone(), seeds: None, only: vec![], device };
        return Err(Failure::usage(format!("there are no results in {} to report", args.results.display()))
            .hint(format!("run an experiment first: {}", again(&run, None))));
    }
    overview::write(&args.out, &guide, &planned(args)?).map_err(unwritten)?;
    show!("{}", args.out.join("index.html").display());
    Ok(())
}

/// Pages can lie anywhere.
fn unwritten(error: WriteError) -> Failure {
    match &error {
        WriteError::Io { .. } => Failure::internal(error).hint("--out names another folder to write to"),
        _ => Failure::internal(error),
    }
}

/// The folder of the experiment files asked for; WalkDir wants a name for the one we are in.
fn folder_of_files(args: &ReportArgs) -> &Path {
    match args.experiments.first().and_then(|file| file.parent()) {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new(EXPERIMENTS),
    }
}

/// The way into the paper, beside the experiment files; without one, pages list what experiments say of themselves.
fn guide(args: &ReportArgs) -> Result<Guide, Failure> {
    let folder = folder_of_files(args);
    let path = folder.join("paper/guide.yaml");
    match text::read(&path) {
        Ok(text) => {
            let unread = |words: &str| Failure::usage(format!("failed to read {}: {words}", path.display()));
            Guide::parse(&text).map_err(|error| unread(error.trim_start_matches("error: ")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Guide::default()),
        Err(error) => Err(Failure::usage(format!("failed to read {}: {error}", path.display()))),
    }
}

/// Every experiment beside the ones asked for, as its file has it, for the pages over all reports.
fn planned(args: &ReportArgs) -> Result<Vec<Entry>, Failure> {
    let folder = folder_of_files(args);
    let mut entries = Vec::new();
    for file in experiment_files(folder) {
        // A broken neighbour is its own command's business.
        let Ok(experiment) = read_experiment(&file) else { continue };
        let place = place(&experiment);
        let verdicts = experiment.claims.iter().map(claim_input).map(|claim| {
            json!({
                "claim": claim.claim, "statement": claim.statement, "metric": claim.metric, "paper": claim.paper,
                "n_seeds": 0, "verdict": "not-run",
            })
        });
        entries.push(Entry {
            path: String::new(),
            verdicts: verdicts.collect(),
            summary: json!({
                "experiment": experiment.name,
                "question": experiment.question,
                "file": beside(&args.out, &file),
                "paper": {"section": place.section, "figure": place.figure, "table": place.table},
            }),
        });
    }
    Ok(entries)
}

fn place(experiment: &Experiment) -> Place {
    let paper = experiment.paper.as_ref();
    let word = |text: Option<&String>| text.cloned().unwrap_or_default();
    Place {
        section: word(paper.and_then(|paper| paper.section.as_ref())),
        figure: word(paper.and_then(|paper| paper.figure.as_ref())),
        table: word(paper.and_then(|paper| paper.table.as_ref())),
        ..Place::default()
    }
}

/// `target` as seen from the folder of reports, if both lie below the working directory: pages may be moved together with
/// what they link to, and never hold a path of this machine.
fn beside(out: &Path, target: &Path) -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let inside = |path: &Path| -> Option<Vec<String>> {
        let path = if path.is_absolute() { path.strip_prefix(&here).ok()? } else { path };
        let parts = path.components().filter(|part| *part != Component::CurDir);
        parts
            .map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect()
    };
    let (out, target) = (inside(out)?, inside(target)?);
    Some([vec!["..".to_string(); out.len()], target].concat().join("/"))
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

/// A folder of results to report.
struct Job {
    /// The experiment file, if there is one.
    file: Option<PathBuf>,
    name: String,
    lab: String,
    kind: Kind,
}

enum Kind {
    Known(Box<Experiment>, Box<Lab>),
    /// Results that no experiment file or no lab describes, such as imported ones.
    Alone,
}

/// Where experiment files are looked for.
const EXPERIMENTS: &str = "experiments";

/// Every experiment asked for, in every lab asked for, that has results.
fn chosen(args: &ReportArgs) -> Result<Vec<Job>, Failure> {
    let mut experiments = Vec::new();
    let files = match args.experiments.is_empty() {
        false => args.experiments.clone(),
        true => experiment_files(Path::new(EXPERIMENTS)),
    };
    for file in &files {
        experiments.push((file.clone(), read_experiment(file)?));
    }
    let mut chosen = Vec::new();
    // `--lab imported` is no lab, but a folder of results like any other.
    let asked = args.lab.as_deref().filter(|lab| *lab != IMPORTED).map(read_lab).transpose()?;
    for (_, experiment) in &experiments {
        let folder = args.results.join(&experiment.name);
        folder::usable(&asked.as_ref().map_or(folder.clone(), |lab| folder.join(&lab.name)), "--results")?;
    }
    for folder in result_folders(&args.results)? {
        let part =
            |up: usize| folder.iter().nth_back(up).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (name, lab) = (part(1), part(0));
        let wanted = asked.as_ref().map(|lab| lab.name.as_str()).or(args.lab.as_deref());
        if wanted.is_some_and(|wanted| wanted != lab) {
            continue;
        }
        let known = match &asked {
            Some(lab) => Some(Box::new(lab.clone())),
            None if Lab::built_in().any(|known| known == lab) => Some(Box::new(read_lab(&lab)?)),
            None => None,
        };
        let found = experiments.iter().find(|(_, experiment)| experiment.name == name);
        if found.is_none() && !args.experiments.is_empty() {
            continue;
        }
        let kind = match (found, known) {
            (Some((_, experiment)), Some(lab)) => Kind::Known(Box::new(experiment.clone()), lab),
            _ => Kind::Alone,
        };
        chosen.push(Job { file: found.map(|(file, _)| file.clone()), name, lab, kind });
    }
    Ok(chosen)
}

fn experiment_files(folder: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = files.map(|entry| entry.into_path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
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
    let (unasked, asked): (Vec<&Claim>, Vec<&Claim>) =
        experiment.claims.iter().partition(|claim| claim.seen.iter().any(|seen| seen.text == lab.name));
    let mut warnings: Vec<String> = older::in_words(&older::older(experiment, lab, &results)?).into_iter().collect();
    if !unasked.is_empty() {
        let names: Vec<&str> = unasked.iter().map(|claim| claim.name.as_str()).collect();
        warnings.push(format!(
            "Written when these results had been seen, and therefore not judged on them: {}.",
            names.join(", ")
        ));
    }
    Ok(ExperimentInput {
        name: experiment.name.clone(),
        lab: lab.name.clone(),
        question: experiment.question.clone(),
        axes: axes.collect(),
        arms: arms.collect(),
        claims: asked.into_iter().map(claim_input).collect(),
        paper: experiment.paper.as_ref().map_or(String::new(), |paper| paper.finding.clone()),
        place: place(experiment),
        benchmarks: benchmarks(lab),
        methods: methods::text(experiment, lab, &results),
        limits: methods::limits(lab, &results),
        warnings,
        mixtures: mixtures(experiment, lab)?,
        results,
        ..ExperimentInput::default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_not_judged_on_results_that_were_seen_before_it_was_written() {
        let experiment = read_experiment(Path::new("experiments/qa.yaml")).unwrap();
        let of = |lab: &str| input(&experiment, &read_lab(lab).unwrap(), Results::default()).unwrap();
        let peaks =
            |input: &ExperimentInput| input.claims.iter().filter(|claim| claim.metric.starts_with("peak.")).count();
        let (study, deeper) = (of("study"), of("deeper"));
        assert_eq!((peaks(&study), peaks(&deeper)), (0, 2));
        assert!(deeper.warnings.is_empty() && deeper.claims.len() == study.claims.len() + 2);
        assert!(
            study.warnings[0].contains("long-cot-peaks-above-web, long-cot-peaks-above-short-cot"),
            "{:?}",
            study.warnings
        );
    }
}
