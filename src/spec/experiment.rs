//! An experiment: one question, the arms that answer it, and the claims made beforehand.
//!
//! What was typed (a base, overlays, axes) does not survive reading: an [`Experiment`] holds resolved arms only, and
//! exists only if nothing was wrong.

use super::arm::{Arm, ArmId, read_arm};
use super::axis::{Axis, Combination, bad_mixtures, check_effects, combine, level_names, read_axes, resolve, tidy};
use super::claim::{Claim, read_claims};
use super::mistake::{At, Mistakes, Source, suggest};
use super::reader::{self, Fields};
use super::yaml::{Node, Value, parse};
use crate::recipe::Seed;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Experiment {
    pub name: String,
    pub question: String,
    /// Which result would make us think otherwise; written before the run.
    pub change_our_mind: Option<String>,
    /// How this experiment departs from the paper's.
    pub notes: Option<String>,
    pub paper: Option<Paper>,
    pub axes: Vec<Axis>,
    pub arms: Vec<Arm>,
    /// Seeds that the file insists on; otherwise the lab decides.
    pub seeds: Option<Vec<Seed>>,
    pub claims: Vec<Claim>,
    pub source: Arc<Source>,
}

/// Where the paper asks the same question.
#[derive(Debug, Clone, PartialEq)]
pub struct Paper {
    pub section: Option<String>,
    pub figure: Option<String>,
    pub table: Option<String>,
    pub finding: String,
}

/// One arm under one seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial<'a> {
    pub arm: &'a Arm,
    pub seed: Seed,
}

impl Experiment {
    /// Reads an experiment file. Every mistake in it is reported at once.
    pub fn parse(source: &Arc<Source>) -> Result<Experiment, Mistakes> {
        let mut mistakes = Mistakes::default();
        let experiment = parse(source, &mut mistakes).and_then(|node| read(&node, source, &mut mistakes));
        mistakes.or(experiment)
    }

    pub fn axis(&self, name: &str) -> Option<&Axis> {
        self.axes.iter().find(|axis| axis.name == name)
    }

    pub fn arm(&self, id: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.id.as_str() == id)
    }

    /// Every arm under every seed, in the order of the arms.
    pub fn trials<'a>(&'a self, seeds: &'a [Seed]) -> impl Iterator<Item = Trial<'a>> {
        self.arms.iter().flat_map(move |arm| seeds.iter().map(move |seed| Trial { arm, seed: *seed }))
    }

    /// Keeps the arms that have one of the given levels on each axis given (`--only family=llama --only corpus=none`).
    /// An unknown axis or level fails with a sentence that says which there are. Claims stay: they may be left without
    /// results.
    pub fn keep_only(&mut self, levels: &[(String, String)]) -> Result<(), String> {
        for (axis, level) in levels {
            let Some(known) = self.axis(axis) else {
                let hint = suggest(axis, self.axes.iter().map(|axis| axis.name.as_str()));
                return Err(format!("experiment `{}` has no axis `{axis}`: {hint}", self.name));
            };
            if known.level(level).is_none() {
                let hint = suggest(level, known.levels.iter().map(|level| level.name.as_str()));
                return Err(format!("axis `{axis}` has no level `{level}`: {hint}"));
            }
        }
        self.arms.retain(|arm| {
            arm.levels.iter().all(|(axis, own)| {
                let mut wanted = levels.iter().filter(|(name, _)| name == axis).peekable();
                wanted.peek().is_none() || wanted.any(|(_, level)| level == own)
            })
        });
        match self.arms.is_empty() {
            true => Err(format!("no arm of experiment `{}` has all of these levels", self.name)),
            false => Ok(()),
        }
    }
}

fn read(node: &Node, source: &Arc<Source>, mistakes: &mut Mistakes) -> Option<Experiment> {
    let mut fields = Fields::of(node, "the experiment", mistakes)?;
    let name = fields.optional("experiment", reader::name).map_or_else(|| stem(&source.name), |name| name.text);
    let question = fields.required("question", reader::text);
    let change_our_mind = fields.optional("change_our_mind", reader::text);
    let notes = fields.optional("notes", reader::text);
    let paper = fields.optional("paper", read_paper);
    let empty = Node { at: At::top(source), value: Value::Map(Vec::new()) };
    let base = fields.required("base", |node, _| Some(node));
    let axes_node = fields.node("axes").unwrap_or(&empty);
    let axes = read_axes(axes_node, base, fields.mistakes());
    if let Some(base) = base {
        read_arm(base, "`base`", true, fields.mistakes());
        for (mixture, sum) in bad_mixtures(base) {
            fields.mistakes().add(&mixture.at, format!("mixture of `base` sums to {}, not 1", tidy(sum)));
        }
    }
    let how = Combination {
        zip: fields.node("zip"),
        when: fields.node("when"),
        include: fields.node("include"),
        exclude: fields.node("exclude"),
    };
    let combinations = combine(&axes, &how, &axes_node.at, fields.mistakes());
    let (arms, contents) = match base {
        Some(base) => resolve(base, &axes, &combinations, fields.mistakes()),
        None => Default::default(),
    };
    check_effects(&axes, &combinations, &contents, fields.mistakes());
    let ids: Vec<(ArmId, Vec<usize>)> =
        combinations.into_iter().map(|levels| (ArmId::new(&level_names(&axes, &levels)), levels)).collect();
    let seeds = fields.optional("seeds", read_seeds);
    let claims = fields.or("claims", Vec::new(), |node, m| Some(read_claims(node, &axes, &ids, &arms, m)));
    fields.finish();
    Some(Experiment {
        name,
        question: question?,
        change_our_mind,
        notes,
        paper,
        axes: axes.into_iter().map(|typed| typed.axis).collect(),
        arms,
        seeds,
        claims,
        source: source.clone(),
    })
}

/// `experiments/corpus.yaml` → `corpus`.
pub fn stem(path: &str) -> String {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.split(['.', ' ']).next().filter(|stem| !stem.is_empty()).unwrap_or("experiment").to_string()
}

fn read_paper(node: &Node, mistakes: &mut Mistakes) -> Option<Paper> {
    let mut fields = Fields::of(node, "`paper`", mistakes)?;
    let section = fields.optional("section", reader::text);
    let figure = fields.optional("figure", reader::text);
    let table = fields.optional("table", reader::text);
    let finding = fields.required("finding", reader::text);
    fields.finish();
    Some(Paper { section, figure, table, finding: finding? })
}

/// More seeds than this are a slip of the keyboard.
pub const MOST_SEEDS: u64 = 1000;

/// A number of seeds (`2` is 0 and 1), or a list of them.
pub fn read_seeds(node: &Node, mistakes: &mut Mistakes) -> Option<Vec<Seed>> {
    let Value::List(items) = &node.value else {
        let count = reader::count(node, 1, mistakes)?;
        if count > MOST_SEEDS {
            mistakes.add(&node.at, format!("{count} seeds are more than anybody waits for; {MOST_SEEDS} are the most"));
            return None;
        }
        return Some((0..count).map(Seed).collect());
    };
    let mut seeds: Vec<Seed> = Vec::new();
    for item in items {
        let Some(seed) = reader::count(item, 0, mistakes).map(Seed) else { continue };
        if seeds.contains(&seed) {
            mistakes.add(&item.at, format!("seed {} is listed twice", seed.0));
        }
        seeds.push(seed);
    }
    if items.is_empty() {
        mistakes.add(&node.at, "at least one seed is needed");
    }
    Some(seeds)
}
