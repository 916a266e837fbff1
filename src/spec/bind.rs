//! What a name stands for in a lab: families, corpora, prompts, benchmarks, templates.

use super::arm::{PhaseSchedule, is_one, mixture_sum, read_mixture, read_schedule};
use super::axis::tidy;
use super::mistake::Mistakes;
use super::name::Name;
use super::reader::{self, Fields};
use super::settings::{read_difficulty, read_optimizer};
use super::yaml::{Entry, Node, Value};
use crate::recipe::corpus::{BadLines, Qa, Render, Solution, Style, TextCorpus, Web, WorldCorpus};
use crate::recipe::eval::Items;
use crate::recipe::rl::Prompts;
use crate::recipe::shape::{Architecture, RopeScaling};
use crate::recipe::template::Extract;
use crate::recipe::world::Split;
use crate::recipe::{CorpusRecipe, Key, ModelShape, Optimizer, ProblemSet, Template, Tokens, World};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a base model comes to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    Pretrain(Box<Pretrain>),
    /// A checkpoint folder, by content.
    Checkpoint(Key),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pretrain {
    pub shape: ModelShape,
    pub embedding_std: f64,
    pub matrix_std: f64,
    pub mixture: Vec<(Name, f64)>,
    /// Not scaled: this is the lab's own.
    pub budget: Tokens,
    pub schedule: PhaseSchedule,
    pub optimizer: Optimizer,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkBinding {
    /// What it stands for, with its chance level.
    pub label: String,
    pub items: Items,
}

pub fn read_family(
    node: &Node,
    what: &str,
    world: Option<&World>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<Family> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let checkpoint = fields.optional("checkpoint", |node, m| read_place(node, "`checkpoint`", places, m));
    let pretrain = fields.optional("pretrain", |node, m| {
        let mut fields = Fields::of(node, format!("`pretrain` of {what}"), m)?;
        let shape = fields.required("shape", |node, m| read_shape(node, world, m));
        let embedding_std = fields.or("embedding_std", 0.02, |node, m| reader::positive(node, false, m));
        let matrix_std = fields.or("matrix_std", 0.02, |node, m| reader::positive(node, false, m));
        let mixture = fields.required("mixture", |node, m| {
            if let Some(sum) = mixture_sum(node).filter(|sum| !is_one(*sum)) {
                m.add(&node.at, format!("mixture of {what} sums to {}, not 1", tidy(sum)));
            }
            read_mixture(node, what, m)
        });
        let budget = fields.required("budget", reader::tokens);
        let schedule = fields.required("schedule", read_schedule);
        let optimizer = fields.required("optimizer", read_optimizer);
        fields.finish();
        Some(Box::new(Pretrain {
            shape: shape?,
            embedding_std,
            matrix_std,
            mixture: mixture?,
            budget: budget?,
            schedule: schedule?,
            optimizer: optimizer?,
        }))
    });
    fields.finish();
    if node.get("checkpoint").is_some() == node.get("pretrain").is_some() {
        mistakes.add(&node.at, format!("{what} has either a `checkpoint` or a `pretrain`"));
    }
    pretrain.map(Family::Pretrain).or(checkpoint.map(Family::Checkpoint))
}

fn read_shape(node: &Node, world: Option<&World>, mistakes: &mut Mistakes) -> Option<ModelShape> {
    let architectures =
        [("llama", Architecture::Llama), ("qwen2", Architecture::Qwen2), ("qwen3", Architecture::Qwen3)];
    let mut fields = Fields::of(node, "`shape`", mistakes)?;
    let architecture = fields.required("architecture", |node, m| reader::choice(&architectures, node, m));
    let vocab = match (fields.optional("vocab", reader::size), world) {
        (Some(vocab), _) => Some(vocab),
        (None, Some(world)) => Some(world.vocab()),
        (None, None) => fields.required("vocab", reader::size),
    };
    let hidden = fields.required("hidden", reader::size);
    let layers = fields.required("layers", reader::size);
    let heads = fields.required("heads", reader::size);
    let kv_heads = fields.optional("kv_heads", reader::size);
    let head_dim = fields.optional("head_dim", reader::size);
    let ffn = fields.required("ffn", reader::size);
    let rope_theta = fields.or("rope_theta", 1e4, |node, m| reader::positive(node, false, m));
    let rope_scaling = fields.optional("rope_scaling", read_rope_scaling);
    let norm_eps = fields.or("norm_eps", 1e-5, |node, m| reader::positive(node, false, m));
    let tied = fields.or("tied", true, reader::flag);
    fields.finish();
    let (hidden, heads) = (hidden?, heads?);
    let kv_heads = kv_heads.unwrap_or(heads);
    let head_dim = head_dim.unwrap_or(hidden / heads);
    if heads % kv_heads != 0 {
        mistakes.add(&node.at, format!("{heads} heads can't share {kv_heads} key-value heads evenly"));
    }
    if head_dim == 0 || head_dim % 2 == 1 {
        mistakes.add(&node.at, format!("rotary positions need heads of even width, and these have {head_dim}"));
    }
    Some(ModelShape {
        architecture: architecture?,
        vocab: vocab?,
        hidden,
        layers: layers?,
        heads,
        kv_heads,
        head_dim,
        ffn: ffn?,
        rope_theta,
        rope_scaling,
        norm_eps,
        tied,
    })
}

fn read_rope_scaling(node: &Node, mistakes: &mut Mistakes) -> Option<RopeScaling> {
    let mut fields = Fields::of(node, "`rope_scaling`", mistakes)?;
    let factor = fields.required("factor", |node, m| reader::positive(node, false, m));
    let low = fields.required("low_freq_factor", |node, m| reader::positive(node, false, m));
    let high = fields.required("high_freq_factor", |node, m| reader::positive(node, false, m));
    let original = fields.required("original_max_position_embeddings", reader::size);
    fields.finish();
    Some(RopeScaling {
        factor: factor?,
        low_freq_factor: low?,
        high_freq_factor: high?,
        original_max_position_embeddings: original?,
    })
}

pub fn read_corpus(
    node: &Node,
    what: &str,
    world: Option<&World>,
    usual_size: Option<Tokens>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<CorpusRecipe> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let text = fields.optional("text", |node, m| read_text(node, what, places, m));
    let style = fields.optional("style", read_style);
    let is_world = node.get("style").is_some();
    let size = match usual_size.filter(|_| is_world) {
        Some(usual) => Some(fields.or("size", usual, reader::tokens)),
        None if is_world => fields.required("size", reader::tokens),
        None => None,
    };
    let stream = if is_world { fields.required("stream", |node, m| reader::count(node, 0, m)) } else { None };
    fields.finish();
    if is_world == node.get("text").is_some() {
        mistakes.add(&node.at, format!("{what} has either a `style` (generated) or a `text` (files)"));
        return None;
    }
    if let Some(text) = text {
        return Some(CorpusRecipe::Text(text));
    }
    let world = need_world(world, node, what, mistakes)?;
    Some(CorpusRecipe::World(WorldCorpus { world, tokens: size?, stream: stream?, style: style? }))
}

fn need_world(world: Option<&World>, node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<World> {
    if world.is_none() {
        mistakes.add(&node.at, format!("{what} is generated, and the lab has no (correct) `world`"));
    }
    world.cloned()
}

/// `general`, `echo`, `instruction`, `{web: {…}}` or `{qa: {…}}`.
fn read_style(node: &Node, mistakes: &mut Mistakes) -> Option<Style> {
    if let Value::Map(entries) = &node.value {
        let [Entry { key, value }] = entries.as_slice() else {
            mistakes.add(&node.at, "a style is one of `general`, `echo`, `instruction`, `web: {…}`, `qa: {…}`");
            return None;
        };
        return match key.as_str() {
            "web" => read_web(value, mistakes).map(Style::Web),
            "qa" => read_qa(value, mistakes).map(Style::Qa),
            other => {
                let hint = super::mistake::suggest(other, ["web", "qa"]);
                mistakes.add_with_hint(&key.at, format!("there is no style `{other}` with knobs"), hint);
                None
            }
        };
    }
    let styles = [("general", Style::General), ("echo", Style::Echo), ("instruction", Style::Instruction)];
    reader::choice(&styles, node, mistakes)
}

fn read_web(node: &Node, mistakes: &mut Mistakes) -> Option<Web> {
    let mut fields = Fields::of(node, "style `web`", mistakes)?;
    let web = Web {
        notes: fields.or("notes", 0.0, reader::share),
        interleaved: fields.or("interleaved", 0.0, reader::share),
        forum: fields.or("forum", 0.0, reader::share),
        chatter: fields.or("chatter", 0.0, reader::share),
        wrong: fields.or("wrong", 0.0, reader::share),
        omitted: fields.or("omitted", 0.0, reader::share),
        truncated: fields.or("truncated", 0.0, reader::share),
        junk: fields.or("junk", 0.0, reader::share),
    };
    fields.finish();
    let items = web.notes + web.interleaved + web.forum;
    if items > 1.0 + 1e-9 {
        mistakes.add(
            &node.at,
            format!("`notes`, `interleaved` and `forum` are shares of items and sum to {}", tidy(items)),
        );
    }
    Some(web)
}

fn read_qa(node: &Node, mistakes: &mut Mistakes) -> Option<Qa> {
    let mut fields = Fields::of(node, "style `qa`", mistakes)?;
    let format = fields.required("solution", |node, m| match &node.value {
        Value::Scalar { .. } => reader::choice(&[("short", Solution::Short)], node, m),
        _ => {
            let mut fields = Fields::of(node, "`solution`", m)?;
            let long = fields.required("long", |node, m| {
                let mut fields = Fields::of(node, "solution `long`", m)?;
                let error = fields.or("error", 0.0, reader::share);
                let ramble = fields.or("ramble", 0.0, reader::share);
                fields.finish();
                Some(Solution::Long { error, ramble })
            });
            fields.finish();
            long
        }
    });
    let prompt = fields.or("prompt", "plain", |node, m| {
        reader::choice(&[("plain", "plain"), ("chat", "chat"), ("inst", "inst")], node, m)
    });
    fields.finish();
    Some(Qa { format: format?, prompt: prompt.to_string() })
}

fn read_text(
    node: &Node,
    what: &str,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<TextCorpus> {
    let mut fields = Fields::of(node, format!("`text` of {what}"), mistakes)?;
    let content = fields.required("files", |node, m| read_place(node, "`files`", places, m));
    let tokenizer = fields.required("tokenizer", |node, m| read_place(node, "`tokenizer`", places, m));
    let column = fields.optional("column", reader::text);
    let qa = fields.optional("qa", |node, m| {
        let mut fields = Fields::of(node, "`qa`", m)?;
        let question = fields.required("question", reader::text);
        let answer = fields.required("answer", reader::text);
        let format = fields.required("format", reader::text);
        fields.finish();
        Some(Render::Qa { question: question?, answer: answer?, format: format? })
    });
    let lines = [("fail", BadLines::Fail), ("skip", BadLines::Skip)];
    let bad_lines = fields.or("bad_lines", BadLines::Fail, |node, m| reader::choice(&lines, node, m));
    fields.finish();
    if node.get("column").is_some() && node.get("qa").is_some() {
        mistakes.add(&node.at, "a text is read from one `column` or from a `qa` pair, not both");
    }
    let render = qa.unwrap_or(Render::Text { column: column.unwrap_or_else(|| "text".to_string()) });
    Some(TextCorpus { content: content?, tokenizer: tokenizer?, render, bad_lines })
}

/// `{path: …, sha256: …}`: where it lies, and what it is.
fn read_place(node: &Node, what: &str, places: &mut BTreeMap<Key, PathBuf>, mistakes: &mut Mistakes) -> Option<Key> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let path = fields.required("path", reader::text);
    let key = fields.required("sha256", |node, m| {
        let text = reader::text(node, m)?;
        text.parse::<Key>().map_err(|message| m.add(&node.at, message)).ok()
    });
    fields.finish();
    // A path is relative to the lab's file.
    let folder = Path::new(&node.at.source.name).parent().map(Path::to_path_buf).unwrap_or_default();
    places.insert(key?, folder.join(path?));
    key
}

fn read_problems(
    fields: &mut Fields,
    node: &Node,
    what: &str,
    world: Option<&World>,
    split: Split,
) -> Option<ProblemSet> {
    let difficulty = fields.required("difficulty", read_difficulty);
    let stream = fields.required("stream", |node, m| reader::count(node, 0, m));
    let world = need_world(world, node, what, fields.mistakes());
    Some(ProblemSet { world: world?, difficulty: difficulty?, split, stream: stream? })
}

pub fn read_prompts(
    node: &Node,
    what: &str,
    world: Option<&World>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<Prompts> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let prompts = match node.get("dataset") {
        Some(_) => fields
            .required("dataset", |node, m| read_place(node, "`dataset`", places, m))
            .map(|content| Prompts::Dataset { content }),
        None => read_problems(&mut fields, node, what, world, Split::Training).map(Prompts::World),
    };
    fields.finish();
    prompts
}

pub fn read_benchmark(
    node: &Node,
    what: &str,
    world: Option<&World>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<BenchmarkBinding> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let label = fields.or("label", String::new(), reader::text);
    let items = match node.get("dataset") {
        Some(_) => fields
            .required("dataset", |node, m| read_place(node, "`dataset`", places, m))
            .map(|content| Items::Dataset { content }),
        None => {
            let problems = read_problems(&mut fields, node, what, world, Split::HeldOut);
            let count = fields.required("count", reader::size);
            problems.zip(count).map(|(problems, count)| Items::World { problems, count })
        }
    };
    fields.finish();
    Some(BenchmarkBinding { label, items: items? })
}

pub fn read_template(node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<Template> {
    let extracts = [
        ("last-boxed", Extract::LastBoxed),
        ("last-answer-is", Extract::LastAnswerIs),
        ("hashes", Extract::Hashes),
        ("minerva", Extract::Minerva),
        ("last-number", Extract::LastNumber),
        ("letter", Extract::Letter),
    ];
    let mut fields = Fields::of(node, what, mistakes)?;
    let before = fields.required("before", reader::verbatim);
    let after = fields.required("after", reader::verbatim);
    let extract = fields.required("extract", |node, m| reader::choice(&extracts, node, m));
    let stop = fields.or("stop", Vec::new(), |node, m| {
        Some(reader::items(node).iter().filter_map(|item| reader::verbatim(item, m)).collect())
    });
    fields.finish();
    Some(Template { before: before?, after: after?, extract: extract?, stop })
}
