//! A lab binds the names of an experiment to things that exist: a family to a shape and its pre-training (or to a
//! checkpoint), a corpus to a generator (or to files), a benchmark to questions. It also says how large the paper's
//! amounts are here.
//!
//! Some labs are built in, so that `--lab proxy` works in any directory; a path to a file of one's own works as well. A
//! lab may extend another and name only what differs. Where outside data lies (checkpoints, texts, questions) is a
//! [`super::place::Place`]; a path is no identity, so what lies there becomes a digest before anything is lowered.

use super::bind::{
    BenchmarkBinding, CorpusBinding, Family, PromptsBinding, read_benchmark, read_corpus, read_family, read_prompts,
    read_template,
};
use super::experiment::{read_seeds, stem};
use super::mistake::{Mistakes, Source, nearest, one_of, suggest};
use super::name::Name;
use super::place::{Root, without_dots};
use super::reader::{self, Fields};
use super::settings::{
    Device, EvalSettings, Midtrain, RlSettings, Scale, Training, read_device, read_eval, read_midtrain, read_rl,
    read_scale, read_training, read_world,
};
use super::yaml::{Node, Value, overlay, parse};
use crate::recipe::{Seed, Template, Tokens, World};
use crate::text;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The labs that are part of the program.
const BUILT_IN: [(&str, &str); 10] = [
    ("smoke", include_str!("../../experiments/labs/smoke.yaml")),
    ("proxy", include_str!("../../experiments/labs/proxy.yaml")),
    ("study", include_str!("../../experiments/labs/study.yaml")),
    ("deep", include_str!("../../experiments/labs/deep.yaml")),
    ("deeper", include_str!("../../experiments/labs/deeper.yaml")),
    ("longer", include_str!("../../experiments/labs/longer.yaml")),
    ("smollm2-135m", include_str!("../../experiments/labs/smollm2-135m.yaml")),
    ("llama-3.2-1b", include_str!("../../experiments/labs/llama-3.2-1b.yaml")),
    ("qwen2.5-1.5b", include_str!("../../experiments/labs/qwen2.5-1.5b.yaml")),
    ("llama-3.2-3b", include_str!("../../experiments/labs/llama-3.2-3b.yaml")),
];

/// The folder of results made elsewhere stands where a lab's name stands for others.
pub const IMPORTED: &str = "imported";

/// How many labs may extend one another.
const MAX_CHAIN: usize = 8;

#[derive(Debug, Clone)]
pub struct Lab {
    pub name: String,
    pub about: String,
    pub seeds: Vec<Seed>,
    /// A run stops cleanly after this many hours unless it is told otherwise.
    pub max_hours: Option<f64>,
    /// What plans price GPU hours and memory on.
    pub device: Option<Device>,
    pub scale: Scale,
    pub families: BTreeMap<String, Family>,
    pub corpora: BTreeMap<String, CorpusBinding>,
    pub prompts: BTreeMap<String, PromptsBinding>,
    pub benchmarks: BTreeMap<String, BenchmarkBinding>,
    pub templates: BTreeMap<String, Template>,
    pub training: Training,
    pub midtrain: Midtrain,
    pub rl: RlSettings,
    pub eval: EvalSettings,
    pub source: Arc<Source>,
}

impl Lab {
    /// A built-in lab by name, or a file by path.
    pub fn load(name_or_path: &str) -> Result<Lab, LabError> {
        let source = match built_in(name_or_path) {
            Some(source) => source,
            None => {
                let looks_like_path = name_or_path.contains(['/', '\\', '.']);
                if !looks_like_path {
                    return Err(LabError::Unknown { name: name_or_path.to_string(), hint: known_labs(name_or_path) });
                }
                read_source(Path::new(name_or_path))
                    .map_err(|source| LabError::Read { path: name_or_path.to_string(), source })?
            }
        };
        Ok(Lab::parse(&source)?)
    }

    /// Reads a lab, and those that it extends.
    pub fn parse(source: &Arc<Source>) -> Result<Lab, Mistakes> {
        let mut mistakes = Mistakes::default();
        let lab = chain(source, &mut vec![], &mut mistakes).and_then(|node| read(&node, source, &mut mistakes));
        mistakes.or(lab)
    }

    /// Names of the built-in labs.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("there is no lab `{name}`: {hint}")]
    Unknown { name: String, hint: String },
    #[error("failed to read the lab {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

fn built_in(name: &str) -> Option<Arc<Source>> {
    let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(format!("labs/{name}.yaml (built in)"), *text))
}

fn known_labs(typed: &str) -> String {
    let hint = match nearest(typed, Lab::built_in()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => one_of(Lab::built_in()),
    };
    format!("{hint} (or give a path to a file)")
}

fn read_source(path: &Path) -> std::io::Result<Arc<Source>> {
    Ok(Source::new(path.display().to_string(), text::read(path)?))
}

/// The tree of a lab laid over the tree of the lab it extends. `below` are the labs that led here.
fn chain(source: &Arc<Source>, below: &mut Vec<Arc<Source>>, mistakes: &mut Mistakes) -> Option<Node> {
    let node = parse(source, mistakes)?;
    let Some(parent) = node.get("extends") else { return Some(node) };
    let name = reader::text(parent, mistakes)?;
    let beside = without_dots(&Path::new(&source.name).parent().unwrap_or(Path::new("")).join(&name));
    below.push(source.clone());
    let built_in = built_in(&name);
    let own = built_in.is_none();
    match built_in.map_or_else(|| read_source(&beside), Ok) {
        Ok(parent_source) => {
            if let Some(circle) = circle(below, &parent_source).filter(|_| own) {
                let hint = "one of them must stand on its own, or extend a lab that does";
                mistakes.add_with_hint(&parent.at, format!("labs extend one another in a circle: {circle}"), hint);
                return None;
            }
            if below.len() > MAX_CHAIN {
                mistakes.add(&parent.at, format!("more than {MAX_CHAIN} labs extend one another"));
                return None;
            }
            let mut base = chain(&parent_source, below, mistakes)?;
            // A lab has a name and a description of its own: results of two labs never share a folder.
            if let Value::Map(entries) = &mut base.value {
                entries.retain(|entry| !["lab", "about"].contains(&entry.key.as_str()));
            }
            Some(overlay(&base, &node))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let message = format!("`{name}` is neither a built-in lab nor a file at {}", beside.display());
            mistakes.add_with_hint(&parent.at, message, known_labs(&name));
            None
        }
        Err(error) => {
            mistakes.add(&parent.at, format!("failed to read the lab {}: {error}", beside.display()));
            None
        }
    }
}

/// `a.yaml -> b.yaml -> a.yaml`, if `next` is among the labs that led to it. A file is itself however it is called.
fn circle(below: &[Arc<Source>], next: &Source) -> Option<String> {
    let place = |source: &Source| std::fs::canonicalize(&source.name).unwrap_or_else(|_| PathBuf::from(&source.name));
    let first = below.iter().position(|source| place(source) == place(next))?;
    let name = |source: &Source| without_dots(Path::new(&source.name)).display().to_string();
    let names: Vec<String> = below[first..].iter().map(|source| name(source)).chain([name(&below[first])]).collect();
    Some(names.join(" -> "))
}

fn read(node: &Node, source: &Arc<Source>, mistakes: &mut Mistakes) -> Option<Lab> {
    let root = Root::of(node, mistakes);
    let root = &root;
    let mut fields = Fields::of(node, "the lab", mistakes)?;
    fields.node("extends");
    fields.node("root");
    let name = fields.optional("lab", |node, m| {
        let name = reader::name(node, m)?;
        if name.as_str() == IMPORTED {
            m.add(&name.at, format!("`{IMPORTED}` is where results made elsewhere lie; give the lab another name"));
        }
        Some(name)
    });
    let name = name.map_or_else(|| stem(&source.name), |name| name.text);
    let about = fields.or("about", String::new(), reader::text);
    let seeds = fields.or("seeds", vec![Seed(0)], read_seeds);
    let max_hours = fields.optional("limits", |node, m| {
        let mut fields = Fields::of(node, "`limits`", m)?;
        let hours = fields.optional("max_hours", |node, m| reader::positive(node, false, m));
        fields.finish();
        hours
    });
    let device = fields.node("device").filter(|node| !node.is_nothing());
    let device = device.and_then(|node| read_device(node, fields.mistakes()));
    let scale = fields.required("scale", read_scale);
    let world = fields.optional("world", read_world);
    // One that can't be read fails the lab; with another in its place, what uses it is not said to lack it.
    let stands_in =
        || World { max_number: 99, max_change: 1, changes_per_event: 1, doubles: 0.0, corpus_difficulty: vec![1.0] };
    let world = world.or_else(|| node.get("world").map(|_| stands_in()));
    let world = world.as_ref();
    let training = fields.required("training", read_training);
    let midtrain = fields.required("midtrain", read_midtrain);
    let rl = fields.required("rl", read_rl);
    let eval = fields.required("eval", read_eval);
    let size = fields.optional("corpus_size", reader::tokens).or(node.get("corpus_size").map(|_| Tokens(1)));
    let corpora = fields.required("corpora", |node, m| {
        bindings(node, "corpus", m, |node, what, m| read_corpus(node, what, world, size, root, m))
    });
    let families = fields.required("families", |node, m| {
        bindings(node, "family", m, |node, what, m| read_family(node, what, world, root, m))
    });
    let prompts = fields.required("prompts", |node, m| {
        bindings(node, "prompts", m, |node, what, m| read_prompts(node, what, world, root, m))
    });
    let benchmarks = fields.required("benchmarks", |node, m| {
        bindings(node, "benchmark", m, |node, what, m| read_benchmark(node, what, world, root, m))
    });
    let templates = fields.required("templates", |node, m| bindings(node, "template", m, read_template));
    fields.finish();
    let lab = Lab {
        name,
        about,
        seeds,
        max_hours,
        device,
        scale: scale?,
        families: families?,
        corpora: corpora?,
        prompts: prompts?,
        benchmarks: benchmarks?,
        templates: templates?,
        training: training?,
        midtrain: midtrain?,
        rl: rl?,
        eval: eval?,
        source: source.clone(),
    };
    check_names(&lab, node, mistakes);
    Some(lab)
}

/// Names that the lab itself uses must be bound in it. Of one that is bound to what can't be read, that is told already.
fn check_names(lab: &Lab, node: &Node, mistakes: &mut Mistakes) {
    let unreadable = |list: &str, name: &str, bound: bool| {
        !bound && node.get(list).is_some_and(|entries| entries.get(name).is_some())
    };
    let no_corpus = |corpus: &Name| unreadable("corpora", corpus.as_str(), lab.corpora.contains_key(corpus.as_str()));
    for (name, family) in &lab.families {
        let Family::Pretrain(pretrain) = family else { continue };
        for (corpus, _) in pretrain.mixture.iter().filter(|(corpus, _)| !no_corpus(corpus)) {
            known(corpus, &format!("family `{name}` is trained on"), &lab.corpora, mistakes);
        }
    }
    let template = &lab.eval.template;
    if !unreadable("templates", template.as_str(), lab.templates.contains_key(template.as_str())) {
        known(template, "evaluation uses template", &lab.templates, mistakes);
    }
    if let Some((corpus, _)) = lab.training.held_out.as_ref().filter(|(corpus, _)| !no_corpus(corpus)) {
        known(corpus, "training holds out corpus", &lab.corpora, mistakes);
    }
}

/// Reports a name that `bound` does not hold.
pub fn known<T>(name: &Name, what: &str, bound: &BTreeMap<String, T>, mistakes: &mut Mistakes) -> bool {
    let ok = bound.contains_key(name.as_str());
    if !ok {
        let message = format!("{what} `{name}`, which this lab does not bind");
        mistakes.add_with_hint(&name.at, message, suggest(name.as_str(), bound.keys().map(String::as_str)));
    }
    ok
}

fn bindings<T>(
    node: &Node,
    kind: &str,
    mistakes: &mut Mistakes,
    mut read: impl FnMut(&Node, &str, &mut Mistakes) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let mut bound = BTreeMap::new();
    for entry in reader::map(node, &format!("the lab's list of {kind} names"), mistakes)? {
        if !reader::check_name(&entry.key, mistakes) {
            continue;
        }
        if let Some(value) = read(&entry.value, &format!("{kind} `{}`", entry.key), mistakes) {
            bound.insert(entry.key.text.clone(), value);
        }
    }
    Some(bound)
}
