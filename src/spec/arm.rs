//! What one arm does, in the paper's words: a family, mid-training phases, RL, benchmarks.
//!
//! The same reader serves `base`, the overlay of a level (where anything may be missing) and a resolved arm (where
//! nothing may be).

use super::mistake::Mistakes;
use super::name::Name;
use super::reader::{self, Fields};
use super::yaml::{Node, Value};
use crate::recipe::{DecayCurve, Schedule, Steps, Tokens};

/// One level of every axis, and everything that follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    pub id: ArmId,
    /// Axis and level, in the order of the axes in the file.
    pub levels: Vec<(String, String)>,
    pub spec: ArmSpec,
}

/// `family=llama,corpus=none`; `base` where there are no axes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArmId(String);

impl ArmId {
    pub fn new(levels: &[(String, String)]) -> ArmId {
        if levels.is_empty() {
            return ArmId("base".to_string());
        }
        let parts: Vec<String> = levels.iter().map(|(axis, level)| format!("{axis}={level}")).collect();
        ArmId(parts.join(","))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ArmId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An arm, resolved. Names are bound by a lab; amounts are the paper's and are scaled by a lab.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmSpec {
    pub family: Name,
    /// In order; none means that RL starts from the base model.
    pub midtrain: Vec<Phase>,
    pub rl: Option<RlSpec>,
    pub benchmarks: Vec<Name>,
}

/// One mid-training phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// The stage's name in curves and metrics. It is no part of what is made.
    pub name: String,
    /// Corpora and their shares of the budget, which sum to 1.
    pub mixture: Vec<(Name, f64)>,
    pub budget: Tokens,
    pub schedule: PhaseSchedule,
    /// The peak learning rate as a multiple of the lab's.
    pub peak: f64,
}

/// A schedule whose warm-up may be left to the lab.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseSchedule {
    /// Its warm-up is 0 where `warmup` is not given.
    shape: Schedule,
    warmup: Option<f64>,
}

impl PhaseSchedule {
    /// The schedule, with the lab's warm-up (a share of the phase) unless the file gives its own. A decay has none.
    pub fn resolve(&self, lab_warmup: f64) -> Schedule {
        let warmup = self.warmup.unwrap_or(lab_warmup);
        match self.shape {
            Schedule::Constant { .. } => Schedule::Constant { warmup },
            Schedule::Cosine { floor, .. } => Schedule::Cosine { warmup, floor },
            Schedule::WarmupStableDecay { decay, curve, floor, .. } => {
                Schedule::WarmupStableDecay { warmup: warmup.min(1.0 - decay), decay, curve, floor }
            }
            decay @ Schedule::Decay { .. } => decay,
        }
    }
}

/// Reinforcement learning.
#[derive(Debug, Clone, PartialEq)]
pub struct RlSpec {
    pub prompts: Name,
    pub template: Name,
    /// Rollout steps, in the paper's count.
    pub steps: Steps,
    /// Longest response from a rollout step on; the first entry is at step 0.
    pub max_response: Vec<(Steps, Tokens)>,
}

/// Names of stages that are taken.
pub(super) const RESERVED: [&str; 7] = ["base", "rl", "rl0", "gain", "peak", "eval", "corpus"];

/// Reads an arm; `what` names it in messages. With `partial`, keys may be missing (and there is nothing to return).
pub fn read_arm(node: &Node, what: &str, partial: bool, mistakes: &mut Mistakes) -> Option<ArmSpec> {
    let mut fields = Fields::new(node, what, partial, mistakes)?;
    let family = fields.required("family", reader::name);
    let midtrain = fields.or("midtrain", Vec::new(), |node, m| read_phases(node, what, partial, m));
    let rl = fields.optional("rl", |node, m| match is_none(node) {
        true => Some(None),
        false => read_rl(node, what, partial, m).map(Some),
    });
    let benchmarks = fields.required("benchmarks", read_benchmarks);
    fields.finish();
    Some(ArmSpec { family: family?, midtrain, rl: rl.flatten(), benchmarks: benchmarks? })
}

fn is_none(node: &Node) -> bool {
    node.text() == Some("none")
}

fn read_phases(node: &Node, what: &str, partial: bool, mistakes: &mut Mistakes) -> Option<Vec<Phase>> {
    if is_none(node) {
        return Some(Vec::new());
    }
    let what_map = "`midtrain` is `none` or a map of phases: it";
    let mut phases = Vec::new();
    for entry in reader::map(node, what_map, mistakes)? {
        if !reader::check_name(&entry.key, mistakes) || is_none(&entry.value) {
            continue;
        }
        if RESERVED.contains(&entry.key.as_str()) {
            mistakes.add_with_hint(
                &entry.key.at,
                format!("a phase can't be called `{}`: that is another stage's name", entry.key),
                "name it after its data or its part, like `web`, `stable` or `decay`",
            );
            continue;
        }
        phases.extend(read_phase(&entry.key, &entry.value, what, partial, mistakes));
    }
    Some(phases)
}

fn read_phase(name: &Name, node: &Node, what: &str, partial: bool, mistakes: &mut Mistakes) -> Option<Phase> {
    let what = format!("phase `{name}` of {what}");
    let mut fields = Fields::new(node, what.as_str(), partial, mistakes)?;
    let mixture = fields.required("mixture", |node, m| read_mixture(node, &what, m));
    let budget = fields.required("budget", reader::tokens);
    let schedule = fields.required("schedule", read_schedule);
    let peak = fields.or("peak", 1.0, |node, m| {
        let peak = reader::share(node, m)?;
        if peak == 0.0 {
            m.add(&node.at, "a peak learning rate of 0 trains nothing");
        }
        Some(peak)
    });
    fields.finish();
    Some(Phase { name: name.text.clone(), mixture: mixture?, budget: budget?, schedule: schedule?, peak })
}

/// Shares are read here; that they sum to 1 is checked where the level's name is known, by [`mixture_sum`].
pub fn read_mixture(node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<Vec<(Name, f64)>> {
    let mut mixture = Vec::new();
    for entry in reader::map(node, &format!("the mixture of {what}"), mistakes)? {
        if !reader::check_name(&entry.key, mistakes) {
            continue;
        }
        if let Some(share) = reader::share(&entry.value, mistakes) {
            if share == 0.0 {
                mistakes.add_with_hint(
                    &entry.value.at,
                    format!("corpus `{}` has a share of 0", entry.key),
                    "leave the corpus out",
                );
            }
            mixture.push((entry.key.clone(), share));
        }
    }
    Some(mixture)
}

/// The sum of a mixture's shares if all of them can be read.
pub fn mixture_sum(node: &Node) -> Option<f64> {
    let mut ignored = Mistakes::default();
    let shares: Option<Vec<f64>> =
        node.entries()?.iter().map(|entry| reader::share(&entry.value, &mut ignored)).collect();
    Some(shares?.iter().sum())
}

/// Whether a sum of shares is 1, up to rounding.
pub fn is_one(sum: f64) -> bool {
    (sum - 1.0).abs() < 1e-9
}

/// `cosine`, `constant`, `decay`, or one of them with its settings: `{cosine: {floor: 10%, warmup: 1%}}`.
pub fn read_schedule(node: &Node, mistakes: &mut Mistakes) -> Option<PhaseSchedule> {
    const KINDS: [(&str, u8); 4] = [("cosine", 0), ("constant", 1), ("decay", 2), ("warmup-stable-decay", 3)];
    let empty = Node { at: node.at.clone(), value: Value::Map(Vec::new()) };
    let (kind, settings) = match &node.value {
        Value::Map(entries) if entries.len() == 1 => {
            let name = &entries[0].key;
            let value = Value::Scalar { text: name.text.clone(), plain: false };
            (Node { at: name.at.clone(), value }, &entries[0].value)
        }
        Value::Scalar { .. } => (node.clone(), &empty),
        _ => {
            mistakes.add_with_hint(
                &node.at,
                format!("expected one schedule, found {}", node.describe()),
                "write `cosine`, or `{cosine: {floor: 10%}}`",
            );
            return None;
        }
    };
    let name = kind.text().unwrap_or_default().to_string();
    let kind = reader::choice(&KINDS, &kind, mistakes)?;
    let mut fields = Fields::of(settings, format!("schedule `{name}`"), mistakes)?;
    let warmup = if kind == 2 { None } else { fields.optional("warmup", reader::share) };
    let floor = if kind == 1 { 0.0 } else { fields.or("floor", 0.1, reader::share) };
    let curve = match kind {
        2 => fields.or("curve", DecayCurve::Cosine, read_curve),
        3 => fields.or("curve", DecayCurve::Linear, read_curve),
        _ => DecayCurve::Cosine,
    };
    let decay = if kind == 3 { fields.required("decay", reader::share) } else { Some(0.0) };
    fields.finish();
    let decay = decay?;
    if kind == 3 && (decay == 0.0 || decay + warmup.unwrap_or(0.0) > 1.0) {
        let message = match decay == 0.0 {
            true => "a decay over 0% of the phase is none".to_string(),
            false => format!("warm-up and decay take more than the whole phase: {} + {decay}", warmup.unwrap_or(0.0)),
        };
        mistakes.add(&settings.at, message);
        return None;
    }
    let shape = match kind {
        0 => Schedule::Cosine { warmup: 0.0, floor },
        1 => Schedule::Constant { warmup: 0.0 },
        2 => Schedule::Decay { curve, floor },
        _ => Schedule::WarmupStableDecay { warmup: 0.0, decay, curve, floor },
    };
    Some(PhaseSchedule { shape, warmup })
}

fn read_curve(node: &Node, mistakes: &mut Mistakes) -> Option<DecayCurve> {
    let curves =
        [("cosine", DecayCurve::Cosine), ("linear", DecayCurve::Linear), ("one-minus-sqrt", DecayCurve::OneMinusSqrt)];
    reader::choice(&curves, node, mistakes)
}

fn read_rl(node: &Node, what: &str, partial: bool, mistakes: &mut Mistakes) -> Option<RlSpec> {
    let mut fields = Fields::new(node, format!("`rl` of {what}"), partial, mistakes)?;
    let prompts = fields.required("prompts", reader::name);
    let template = fields.required("template", reader::name);
    let steps = fields.or("steps", Steps(200), reader::steps);
    let max_response = fields.required("max_response", read_max_response);
    fields.finish();
    Some(RlSpec { prompts: prompts?, template: template?, steps, max_response: max_response? })
}

/// `4096 tokens`, or a stair `{0: 2048 tokens, 100: 4096 tokens}`.
fn read_max_response(node: &Node, mistakes: &mut Mistakes) -> Option<Vec<(Steps, Tokens)>> {
    let Value::Map(entries) = &node.value else {
        return Some(vec![(Steps(0), reader::tokens(node, mistakes)?)]);
    };
    let mut stair: Vec<(Steps, Tokens)> = Vec::new();
    for entry in entries {
        let Ok(from) = entry.key.text.parse() else {
            mistakes.add(&entry.key.at, format!("expected a rollout step, found `{}`", entry.key));
            continue;
        };
        let expected = if stair.is_empty() { from == 0 } else { stair.last().is_some_and(|(last, _)| last.0 < from) };
        if !expected {
            mistakes.add(&entry.key.at, "a length schedule starts at step 0, and its steps rise");
        }
        if let Some(tokens) = reader::tokens(&entry.value, mistakes) {
            stair.push((Steps(from), tokens));
        }
    }
    if entries.is_empty() {
        mistakes.add(&node.at, "a length schedule starts at step 0, and its steps rise");
    }
    Some(stair)
}

fn read_benchmarks(node: &Node, mistakes: &mut Mistakes) -> Option<Vec<Name>> {
    let mut names: Vec<Name> = Vec::new();
    for item in reader::items(node) {
        let Some(name) = reader::name(item, mistakes) else { continue };
        if name.text == "all" {
            mistakes.add(&name.at, "a benchmark can't be called `all`: that is the mean over all of them");
        } else if names.contains(&name) {
            mistakes.add(&name.at, format!("benchmark `{name}` is listed twice"));
        } else {
            names.push(name);
        }
    }
    if reader::items(node).is_empty() {
        mistakes.add(&node.at, "at least one benchmark is needed");
    }
    Some(names)
}
