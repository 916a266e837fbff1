//! Claims: what an experiment is expected to show, fixed before it runs.
//!
//! A claim compares two groups of arms, `a` and `b`. Each side names levels; arms are averaged over the axes that it
//! leaves free, within each seed, and the two sides are paired by seed. With `versus`, a second pair of sides is
//! subtracted: the claim is then about the difference of two differences, an interaction.

use super::arm::{Arm, ArmId};
use super::axis::{Filter, TypedAxis};
use super::mistake::{Mistakes, suggest};
use super::name::Name;
use super::reader::{self, Fields};
use super::yaml::Node;
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub name: String,
    pub statement: String,
    pub metric: Metric,
    pub a: Side,
    pub b: Side,
    /// The pair whose difference is subtracted from that of `a` and `b`.
    pub versus: Option<(Side, Side)>,
    pub direction: Direction,
    /// The smallest difference that matters, in the unit of the metric.
    pub smallest_effect: f64,
    /// Of the interval, between 0.5 and 1.
    pub confidence: f64,
    pub paper: Option<PaperClaim>,
    /// Labs whose results had been seen when the claim was written. Results that suggested a claim can't be evidence for it, so
    /// it is not judged there.
    pub seen: Vec<Name>,
}

/// What the difference `a - b` must be for the claim to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// At least the smallest effect.
    Greater,
    /// At most minus the smallest effect.
    Less,
    /// Closer to 0 than the smallest effect.
    Same,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// Axis and its levels, as in the file; axes that are not named are averaged over.
    pub levels: Vec<(String, Vec<String>)>,
    /// The arms that match, at least one.
    pub arms: Vec<ArmId>,
}

/// A metric of a stage: `rl.accuracy/all`, `web.loss`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    pub stage: String,
    pub name: String,
    pub benchmark: Option<String>,
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.stage, self.name)?;
        self.benchmark.as_ref().map_or(Ok(()), |benchmark| write!(f, "/{benchmark}"))
    }
}

/// What the paper found on the same question.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperClaim {
    pub a: Option<f64>,
    pub b: Option<f64>,
    pub unit: String,
    /// Such as `Figure 5` or `Table 7`.
    pub source: String,
    /// In the paper's words, or ours where it draws no conclusion.
    pub verdict: String,
}

/// Metrics that every benchmark has.
const OF_BENCHMARKS: [&str; 8] = [
    "accuracy",
    "accuracy_sampled",
    "response_length",
    "response_length_sampled",
    "response_length_all",
    "response_length_all_sampled",
    "truncated",
    "truncated_sampled",
];
/// Those of them that have a best.
const WITH_A_PEAK: [&str; 2] = ["accuracy", "accuracy_sampled"];
/// What can be measured where there is RL: its end, the policy before it, the difference, and the best of its evaluations.
const AROUND_RL: [&str; 4] = ["rl", "rl0", "gain", "peak"];
/// Metrics of training stages.
const OF_TRAINING: [&str; 2] = ["loss", "tokens"];
/// Metrics of RL besides those of benchmarks.
const OF_RL: [&str; 2] = ["reward", "entropy"];

pub fn read_claims(
    node: &Node,
    axes: &[TypedAxis],
    arms: &[(ArmId, Vec<usize>)],
    resolved: &[Arm],
    m: &mut Mistakes,
) -> Vec<Claim> {
    let mut names = BTreeSet::new();
    let mut claims = Vec::new();
    for item in reader::items(node) {
        if let Some(claim) = read_claim(item, axes, arms, resolved, m) {
            if !names.insert(claim.name.clone()) {
                m.add(&item.at, format!("there are two claims called `{}`", claim.name));
            }
            claims.push(claim);
        }
    }
    claims
}

fn read_claim(
    node: &Node,
    axes: &[TypedAxis],
    arms: &[(ArmId, Vec<usize>)],
    resolved: &[Arm],
    mistakes: &mut Mistakes,
) -> Option<Claim> {
    let named = node.get("claim").and_then(Node::text).unwrap_or("?");
    let what = format!("claim `{named}`");
    let mut fields = Fields::of(node, what.as_str(), mistakes)?;
    let name = fields.required("claim", reader::name);
    let statement = fields.required("statement", reader::text);
    let metric_node = fields.node("metric");
    let metric = fields.required("metric", read_metric);
    let side = |key: &'static str| {
        let what = format!("`{key}` of {what}");
        move |node: &Node, m: &mut Mistakes| read_side(node, &what, axes, arms, m)
    };
    let a = fields.required("a", side("a"));
    let b = fields.required("b", side("b"));
    if let (Some(a), Some(b), Some(node)) = (&a, &b, fields.node("b")) {
        check_apart(a, b, &what, node, fields.mistakes());
    }
    let versus = fields.optional("versus", |node, m| {
        let mut fields = Fields::of(node, format!("`versus` of {what}"), m)?;
        let (a, b) = (fields.required("a", side("a")), fields.required("b", side("b")));
        if let (Some(a), Some(b)) = (&a, &b) {
            check_apart(a, b, &what, node, fields.mistakes());
        }
        fields.finish();
        Some((a?, b?))
    });
    let directions = [("greater", Direction::Greater), ("less", Direction::Less), ("same", Direction::Same)];
    let direction = fields.required("direction", |node, m| reader::choice(&directions, node, m));
    let smallest_effect = fields.required("smallest_effect", |node, m| reader::positive(node, false, m));
    let confidence = fields.or("confidence", 0.95, |node, m| {
        let share = reader::share(node, m)?;
        if !(0.5..1.0).contains(&share) {
            m.add(&node.at, format!("a confidence lies from 50% to below 100%, found {share}"));
        }
        Some(share)
    });
    let paper = fields.optional("paper", read_paper);
    let seen = fields.or("seen", vec![], |node, m| {
        Some(reader::items(node).iter().filter_map(|item| reader::name(item, m)).collect())
    });
    fields.finish();
    if let (Some(metric), Some(node)) = (&metric, metric_node) {
        let sides = [&a, &b].into_iter().flatten().chain(versus.iter().flat_map(|(a, b)| [a, b]));
        let used: BTreeSet<&ArmId> = sides.flat_map(|side| &side.arms).collect();
        check_metric(metric, node, resolved.iter().filter(|arm| used.contains(&arm.id)), mistakes);
    }
    Some(Claim {
        name: name?.text,
        statement: statement?,
        metric: metric?,
        a: a?,
        b: b?,
        versus,
        direction: direction?,
        smallest_effect: smallest_effect?,
        confidence,
        paper,
        seen,
    })
}

fn read_side(
    node: &Node,
    what: &str,
    axes: &[TypedAxis],
    arms: &[(ArmId, Vec<usize>)],
    mistakes: &mut Mistakes,
) -> Option<Side> {
    let before = mistakes.len();
    let filter = Filter::read(node, what, axes, mistakes)?;
    if mistakes.len() > before {
        return None;
    }
    let matching: Vec<ArmId> =
        arms.iter().filter(|(_, levels)| filter.matches(levels)).map(|(id, _)| id.clone()).collect();
    if matching.is_empty() && !arms.is_empty() {
        mistakes.add(&node.at, format!("{what} matches no arm"));
    }
    Some(Side { levels: filter.names(axes), arms: matching })
}

fn check_apart(a: &Side, b: &Side, what: &str, node: &Node, mistakes: &mut Mistakes) {
    if let Some(arm) = a.arms.iter().find(|arm| b.arms.contains(arm)) {
        let message = format!("both sides of {what} take arm `{arm}`");
        mistakes.add_with_hint(&node.at, message, "name an axis with different levels on the two sides");
    }
}

/// The metrics that a stage can have, and those of them that are per benchmark.
fn read_metric(node: &Node, mistakes: &mut Mistakes) -> Option<Metric> {
    let typed = reader::text(node, mistakes)?;
    let Some((stage, rest)) = typed.split_once('.') else {
        let message = format!("`{typed}` is not a metric: it has no stage");
        mistakes.add_with_hint(&node.at, message, "write it like `rl.accuracy/all` or `web.loss`");
        return None;
    };
    let (name, benchmark) = match rest.split_once('/') {
        Some((name, benchmark)) => (name, Some(benchmark.to_string())),
        None => (rest, None),
    };
    Some(Metric { stage: stage.to_string(), name: name.to_string(), benchmark })
}

fn check_metric<'a>(metric: &Metric, node: &Node, arms: impl Iterator<Item = &'a Arm>, mistakes: &mut Mistakes) {
    for arm in arms {
        let mut stages: Vec<&str> = vec!["base"];
        stages.extend(arm.spec.midtrain.iter().map(|phase| phase.name.as_str()));
        if arm.spec.rl.is_some() {
            stages.extend(AROUND_RL);
        }
        if !stages.contains(&metric.stage.as_str()) {
            let message = format!("arm `{}` has no stage `{}` to measure", arm.id, metric.stage);
            mistakes.add_with_hint(&node.at, message, suggest(&metric.stage, stages));
            return;
        }
        let is_rl = metric.stage == "rl";
        let is_training = !AROUND_RL.contains(&metric.stage.as_str());
        let of_benchmarks = if metric.stage == "peak" { &WITH_A_PEAK[..] } else { &OF_BENCHMARKS };
        let per_benchmark = of_benchmarks.contains(&metric.name.as_str()) || is_pass_at(&metric.name);
        let alone = (is_training && OF_TRAINING.contains(&metric.name.as_str()))
            || (is_rl && OF_RL.contains(&metric.name.as_str()));
        if !per_benchmark && !alone {
            let mut known = of_benchmarks.to_vec();
            known.push("pass@K");
            known.extend(if is_training {
                &OF_TRAINING[..]
            } else if is_rl {
                &OF_RL[..]
            } else {
                &[]
            });
            let message = format!("stage `{}` has no metric `{}`", metric.stage, metric.name);
            mistakes.add_with_hint(&node.at, message, suggest(&metric.name, known));
            return;
        }
        let mut benchmarks: Vec<&str> = arm.spec.benchmarks.iter().map(|name| name.as_str()).collect();
        benchmarks.push("all");
        match &metric.benchmark {
            Some(_) if alone => {
                mistakes.add(&node.at, format!("metric `{}` is not measured per benchmark", metric.name));
                return;
            }
            Some(name) if !benchmarks.contains(&name.as_str()) => {
                let message = format!("arm `{}` is not evaluated on `{name}`", arm.id);
                mistakes.add_with_hint(&node.at, message, suggest(name, benchmarks));
                return;
            }
            None if per_benchmark => {
                let message = format!("metric `{}` is measured per benchmark", metric.name);
                mistakes.add_with_hint(&node.at, message, format!("write `{metric}/all`, or name one of them"));
                return;
            }
            _ => {}
        }
    }
}

fn is_pass_at(name: &str) -> bool {
    name.strip_prefix("pass@").is_some_and(|k| k.parse::<u32>().is_ok_and(|k| k > 0))
}

fn read_paper(node: &Node, mistakes: &mut Mistakes) -> Option<PaperClaim> {
    let mut fields = Fields::of(node, "`paper`", mistakes)?;
    let a = fields.optional("a", reader::number);
    let b = fields.optional("b", reader::number);
    let unit = fields.or("unit", String::new(), reader::text);
    let source = fields.required("source", reader::text);
    let verdict = fields.required("verdict", reader::text);
    fields.finish();
    Some(PaperClaim { a, b, unit, source: source?, verdict: verdict? })
}
