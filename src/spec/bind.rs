//! What a name stands for in a lab: families, corpora, prompts, benchmarks, templates.

use super::arm::{PhaseSchedule, is_one, mixture_sum, read_mixture, read_schedule};
use super::axis::tidy;
use super::mistake::Mistakes;
use super::name::Name;
use super::place::{Place, Root};
use super::reader::{self, Fields};
use super::settings::{read_difficulty, read_optimizer};
use super::yaml::{Entry, Node, Value};
use crate::recipe::corpus::{BadLines, Qa, Render, Solution, Style, Web, WorldCorpus};
use crate::recipe::shape::{Architecture, RopeScaling};
use crate::recipe::template::{Begin, Extract};
use crate::recipe::world::Split;
use crate::recipe::{ModelShape, Optimizer, ProblemSet, Template, Tokens, World};

/// How a question and its answer become one text; `data::source::Format` says what each means.
pub const FORMATS: [(&str, &str); 5] = [
    ("plain", "plain"),
    ("question-answer", "question-answer"),
    ("user-assistant", "user-assistant"),
    ("think", "think"),
    ("think-tags", "think-tags"),
];

/// How a base model comes to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    Pretrain(Box<Pretrain>),
    Checkpoint(Box<Checkpoint>),
}

/// Weights that exist already: a Hugging Face folder or a GGUF file, with their tokenizer.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub place: Place,
    /// Stands in for the tokenizer that lies with the weights.
    pub tokenizer: Option<Place>,
    /// What the weights must be, so that a plan has a price before they are here.
    pub shape: Option<ModelShape>,
}

/// What a corpus is made from.
#[derive(Debug, Clone, PartialEq)]
pub enum CorpusBinding {
    World(WorldCorpus),
    Text(TextBinding),
}

/// Text files. Which tokenizer makes them a corpus is a matter of the family that reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct TextBinding {
    pub files: Place,
    pub render: Render,
    pub bad_lines: BadLines,
    /// About how many tokens there are, for prices before they are counted.
    pub tokens: Option<Tokens>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PromptsBinding {
    World(ProblemSet),
    Dataset { place: Place, max_prompt_tokens: Option<usize> },
}

#[derive(Debug, Clone, PartialEq)]
pub enum ItemsBinding {
    /// The first `count` problems of a set.
    World { problems: ProblemSet, count: usize },
    /// The first `limit` questions of a file, or all.
    Dataset { place: Place, limit: Option<usize> },
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
    pub items: ItemsBinding,
}

pub fn read_family(
    node: &Node,
    what: &str,
    world: Option<&World>,
    root: &Root,
    mistakes: &mut Mistakes,
) -> Option<Family> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let checkpoint = fields.optional("checkpoint", |node, m| read_checkpoint(node, what, root, m));
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
    pretrain.map(Family::Pretrain).or(checkpoint.map(|checkpoint| Family::Checkpoint(Box::new(checkpoint))))
}

/// A path, or `{path: …, sha256: …, tokenizer: …, shape: …}`.
fn read_checkpoint(node: &Node, what: &str, root: &Root, mistakes: &mut Mistakes) -> Option<Checkpoint> {
    if let Value::Scalar { .. } = node.value {
        return Some(Checkpoint { place: root.place(node, what, mistakes)?, tokenizer: None, shape: None });
    }
    let mut fields = Fields::of(node, format!("`checkpoint` of {what}"), mistakes)?;
    fields.node("path");
    fields.node("sha256");
    let tokenizer = fields.optional("tokenizer", |node, m| root.place(node, "`tokenizer`", m));
    let shape = fields.optional("shape", |node, m| read_shape(node, None, m));
    fields.finish();
    let mut own = node.clone();
    if let Value::Map(entries) = &mut own.value {
        entries.retain(|entry| ["path", "sha256"].contains(&entry.key.as_str()));
    }
    Some(Checkpoint { place: root.place(&own, &format!("`checkpoint` of {what}"), mistakes)?, tokenizer, shape })
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
    // `~` takes the scaling of a lab that is extended away.
    let rope_scaling = fields.node("rope_scaling").filter(|node| !node.is_nothing());
    let rope_scaling = rope_scaling.and_then(|node| read_rope_scaling(node, fields.mistakes()));
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
    root: &Root,
    mistakes: &mut Mistakes,
) -> Option<CorpusBinding> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let text = fields.optional("text", |node, m| read_text(node, what, root, m));
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
        return Some(CorpusBinding::Text(text));
    }
    let world = need_world(world, node, what, mistakes)?;
    Some(CorpusBinding::World(WorldCorpus { world, tokens: size?, stream: stream?, style: style? }))
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
                let recheck = fields.or("recheck", 0.0, reader::share);
                fields.finish();
                Some(Solution::Long { error, ramble, recheck })
            });
            fields.finish();
            long
        }
    });
    let prompt = fields.or("prompt", "plain", |node, m| {
        reader::choice(&[("plain", "plain"), ("chat", "chat"), ("inst", "inst")], node, m)
    });
    let wrong = fields.or("wrong", 0.0, reader::share);
    let omitted = fields.or("omitted", 0.0, reader::share);
    fields.finish();
    if matches!(format, Some(Solution::Long { .. })) && wrong + omitted > 0.0 {
        mistakes.add(&node.at, "`wrong` and `omitted` are knobs of short solutions; long ones have `error`");
    }
    Some(Qa { format: format?, prompt: prompt.to_string(), wrong, omitted })
}

fn read_text(node: &Node, what: &str, root: &Root, mistakes: &mut Mistakes) -> Option<TextBinding> {
    let mut fields = Fields::of(node, format!("`text` of {what}"), mistakes)?;
    let files = fields.required("files", |node, m| root.place(node, "`files`", m));
    let column = fields.optional("column", reader::text);
    let qa = fields.optional("qa", |node, m| {
        let mut fields = Fields::of(node, "`qa`", m)?;
        let question = fields.required("question", reader::text);
        let answer = fields.required("answer", reader::text);
        let format = fields.required("format", |node, m| reader::choice(&FORMATS, node, m)).map(str::to_string);
        fields.finish();
        Some(Render::Qa { question: question?, answer: answer?, format: format? })
    });
    let lines = [("fail", BadLines::Fail), ("skip", BadLines::Skip)];
    let bad_lines = fields.or("bad_lines", BadLines::Fail, |node, m| reader::choice(&lines, node, m));
    let tokens = fields.optional("tokens", reader::tokens);
    fields.finish();
    if node.get("column").is_some() && node.get("qa").is_some() {
        mistakes.add(&node.at, "a text is read from one `column` or from a `qa` pair, not both");
    }
    let render = qa.unwrap_or(Render::Text { column: column.unwrap_or_else(|| "text".to_string()) });
    Some(TextBinding { files: files?, render, bad_lines, tokens })
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
    root: &Root,
    mistakes: &mut Mistakes,
) -> Option<PromptsBinding> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let prompts = match node.get("dataset") {
        Some(_) => {
            let place = fields.required("dataset", |node, m| root.place(node, "`dataset`", m));
            let max_prompt_tokens = fields.optional("max_prompt_tokens", reader::size);
            place.map(|place| PromptsBinding::Dataset { place, max_prompt_tokens })
        }
        None => read_problems(&mut fields, node, what, world, Split::Training).map(PromptsBinding::World),
    };
    fields.finish();
    prompts
}

pub fn read_benchmark(
    node: &Node,
    what: &str,
    world: Option<&World>,
    root: &Root,
    mistakes: &mut Mistakes,
) -> Option<BenchmarkBinding> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let label = fields.or("label", String::new(), reader::text);
    let items = match node.get("dataset") {
        Some(_) => {
            let place = fields.required("dataset", |node, m| root.place(node, "`dataset`", m));
            let limit = fields.optional("limit", reader::size);
            place.map(|place| ItemsBinding::Dataset { place, limit })
        }
        None => {
            let problems = read_problems(&mut fields, node, what, world, Split::HeldOut);
            let count = fields.required("count", reader::size);
            problems.zip(count).map(|(problems, count)| ItemsBinding::World { problems, count })
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
        ("final-answer", Extract::FinalAnswer),
        ("letter", Extract::Letter),
    ];
    let mut fields = Fields::of(node, what, mistakes)?;
    let before = fields.required("before", reader::verbatim);
    let after = fields.required("after", reader::verbatim);
    let extract = fields.required("extract", |node, m| reader::choice(&extracts, node, m));
    let stop = fields.or("stop", Vec::new(), |node, m| {
        Some(reader::items(node).iter().filter_map(|item| reader::verbatim(item, m)).collect())
    });
    let begins = [("document", Begin::Document), ("tokenizer", Begin::Tokenizer), ("nothing", Begin::Nothing)];
    let begin = fields.or("begin", Begin::Document, |node, m| reader::choice(&begins, node, m));
    let special_tokens = fields.or("special_tokens", false, reader::flag);
    fields.finish();
    Some(Template { before: before?, after: after?, extract: extract?, stop, begin, special_tokens })
}
