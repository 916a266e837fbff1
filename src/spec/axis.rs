//! Axes, their levels, and the arms that they span.

use super::arm::{Arm, ArmId, is_one, mixture_sum, read_arm};
use super::mistake::{At, Mistakes, suggest};
use super::name::Name;
use super::reader;
use super::yaml::{Entry, Node, Value, overlay};
use std::collections::HashMap;

/// A factor of the experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub name: String,
    pub levels: Vec<Level>,
}

/// One value of a factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    pub name: String,
    /// How figures call it.
    pub label: String,
    /// Drawn in grey, and where the axis stays if its `when` does not hold; at most one of an axis.
    pub baseline: bool,
}

impl Axis {
    pub fn level(&self, name: &str) -> Option<&Level> {
        self.levels.iter().find(|level| level.name == name)
    }

    pub fn baseline(&self) -> Option<&Level> {
        self.levels.iter().find(|level| level.baseline)
    }
}

/// Most arms that an experiment may have.
const MAX_ARMS: usize = 100_000;

/// An axis as it was typed.
pub struct TypedAxis {
    pub axis: Axis,
    name: Name,
    /// Of each level: its name, and what it lays over the base.
    overlays: Vec<(Name, Node)>,
}

/// Reads `axes`. Mixtures that do not sum to 1 are compared with those of `base` and of the other levels.
pub fn read_axes(node: &Node, base: Option<&Node>, mistakes: &mut Mistakes) -> Vec<TypedAxis> {
    let Some(entries) = reader::map(node, "`axes`", mistakes) else { return Vec::new() };
    let axes: Vec<TypedAxis> = entries.iter().filter_map(|entry| read_axis(entry, mistakes)).collect();
    for axis in &axes {
        for (index, (level, node)) in axis.overlays.iter().enumerate() {
            read_arm(node, &format!("level `{level}`"), true, mistakes);
            for (mixture, sum) in bad_mixtures(node) {
                let others = axis.overlays.iter().enumerate().filter(|(other, _)| *other != index);
                let message = format!("mixture of level `{level}` sums to {}, not 1", tidy(sum));
                mistakes.add_with_hint(
                    &mixture.at,
                    message,
                    sum_hint(mixture, sum, others.map(|(_, other)| &other.1).chain(base)),
                );
            }
        }
    }
    axes
}

fn read_axis(entry: &Entry, mistakes: &mut Mistakes) -> Option<TypedAxis> {
    let name = entry.key.clone();
    let levels = reader::map(&entry.value, &format!("axis `{name}`"), mistakes)?;
    if !reader::check_name(&name, mistakes) {
        return None;
    }
    if levels.len() < 2 {
        mistakes.add_with_hint(
            &name.at,
            format!(
                "axis `{name}` has {} and so changes nothing",
                if levels.is_empty() { "no level" } else { "only one level" }
            ),
            "put what it sets into `base`, or add a level",
        );
    }
    let mut axis = TypedAxis { axis: Axis { name: name.text.clone(), levels: Vec::new() }, name, overlays: Vec::new() };
    for level in levels {
        if !reader::check_name(&level.key, mistakes) {
            continue;
        }
        let what = format!("level `{}`", level.key);
        // A level that changes nothing may be left empty.
        let entries = match &level.value.value {
            Value::Scalar { plain: true, .. } if level.value.text().is_none() => &[],
            _ => reader::map(&level.value, &what, mistakes)?,
        };
        let find = |key: &str| entries.iter().find(|entry| entry.key.text == key).map(|entry| &entry.value);
        let label = find("label").and_then(|node| reader::text(node, mistakes));
        let baseline = find("baseline").and_then(|node| reader::flag(node, mistakes)).unwrap_or(false);
        if let Some(other) = axis.axis.baseline().filter(|_| baseline) {
            let message = format!("axis `{}` has two baselines, `{}` and `{}`", axis.name, other.name, level.key);
            mistakes.add(&level.key.at, message);
        }
        axis.axis.levels.push(Level {
            name: level.key.text.clone(),
            label: label.unwrap_or_else(|| level.key.text.clone()),
            baseline,
        });
        let own = |entry: &&Entry| !["label", "baseline"].contains(&entry.key.as_str());
        let value = Value::Map(entries.iter().filter(own).cloned().collect());
        axis.overlays.push((level.key.clone(), Node { at: level.value.at.clone(), value }));
    }
    Some(axis)
}

/// The mixtures of an overlay (or of the base) that do not sum to 1, with their sums.
pub fn bad_mixtures(node: &Node) -> Vec<(&Node, f64)> {
    mixtures(node)
        .filter_map(|mixture| Some((mixture, mixture_sum(mixture)?)))
        .filter(|(_, sum)| !is_one(*sum))
        .collect()
}

fn mixtures(node: &Node) -> impl Iterator<Item = &Node> {
    let phases = node.get("midtrain").and_then(Node::entries).unwrap_or_default();
    phases.iter().filter_map(|phase| phase.value.get("mixture"))
}

/// Which share is off: one that the others agree on, and with which the sum would be 1.
fn sum_hint<'n>(mixture: &Node, sum: f64, others: impl Iterator<Item = &'n Node>) -> String {
    let share = |mixture: &Node, corpus: &str| reader::share(mixture.get(corpus)?, &mut Mistakes::default());
    let others: Vec<&Node> = others.flat_map(mixtures).collect();
    for entry in mixture.entries().unwrap_or_default() {
        let Some(own) = share(mixture, &entry.key.text) else { continue };
        let theirs: Vec<f64> = others.iter().filter_map(|other| share(other, &entry.key.text)).collect();
        if theirs.first().is_some_and(|first| theirs.iter().all(|s| s == first) && is_one(sum - own + first)) {
            return format!("the others give `{}` {}, this one {}", entry.key, tidy(theirs[0]), tidy(own));
        }
    }
    let gap = tidy((1.0 - sum).abs());
    format!("{gap} {}", if sum < 1.0 { "is missing" } else { "is too much" })
}

/// A share without rounding noise.
pub fn tidy(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Which levels of which axes: `{corpus: [a, b], family: llama}`. Axes that are not named are free.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Vec<(usize, Vec<usize>)>);

impl Filter {
    pub fn read(node: &Node, what: &str, axes: &[TypedAxis], mistakes: &mut Mistakes) -> Option<Filter> {
        let mut wanted = Vec::new();
        for entry in reader::map(node, what, mistakes)? {
            let Some(axis) = axes.iter().position(|axis| axis.axis.name == entry.key.text) else {
                let names = axes.iter().map(|axis| axis.axis.name.as_str());
                mistakes.add_with_hint(
                    &entry.key.at,
                    format!("{what} names an axis that does not exist: `{}`", entry.key),
                    suggest(&entry.key.text, names),
                );
                continue;
            };
            let mut levels = Vec::new();
            for item in reader::items(&entry.value) {
                let Some(text) = reader::text(item, mistakes) else { continue };
                let known = &axes[axis].axis.levels;
                match known.iter().position(|level| level.name == text) {
                    Some(level) => levels.push(level),
                    None => mistakes.add_with_hint(
                        &item.at,
                        format!("{what} names a level that axis `{}` does not have: `{text}`", entry.key),
                        suggest(&text, known.iter().map(|level| level.name.as_str())),
                    ),
                }
            }
            wanted.push((axis, levels));
        }
        Some(Filter(wanted))
    }

    pub fn matches(&self, levels: &[usize]) -> bool {
        self.0.iter().all(|(axis, wanted)| wanted.contains(&levels[*axis]))
    }

    /// Axis and level names, as in the file.
    pub fn names(&self, axes: &[TypedAxis]) -> Vec<(String, Vec<String>)> {
        let level_names = |axis: &Axis, levels: &[usize]| levels.iter().map(|l| axis.levels[*l].name.clone()).collect();
        self.0
            .iter()
            .map(|(axis, levels)| (axes[*axis].axis.name.clone(), level_names(&axes[*axis].axis, levels)))
            .collect()
    }
}

/// How axes combine: all are crossed, except that the axes of `zip` advance together; then `when`, `include` and `exclude`
/// thin the arms out.
pub struct Combination<'n> {
    pub zip: Option<&'n Node>,
    pub when: Option<&'n Node>,
    pub include: Option<&'n Node>,
    pub exclude: Option<&'n Node>,
}

/// The level of each axis, for every arm. `at` is where to report that there is none.
pub fn combine(axes: &[TypedAxis], how: &Combination, at: &At, mistakes: &mut Mistakes) -> Vec<Vec<usize>> {
    let zipped = how.zip.map(|node| read_zip(node, axes, mistakes)).unwrap_or_default();
    // Axes that advance together form one factor at the place of the first.
    let mut factors: Vec<Vec<usize>> = Vec::new();
    for axis in 0..axes.len() {
        match zipped.iter().position(|z| *z == axis) {
            Some(0) => factors.push(zipped.clone()),
            Some(_) => {}
            None => factors.push(vec![axis]),
        }
    }
    let sizes: Vec<usize> = factors.iter().map(|factor| axes[factor[0]].axis.levels.len()).collect();
    let total = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size)).unwrap_or(usize::MAX);
    if total > MAX_ARMS {
        mistakes.add(at, format!("the axes span {total} arms; {MAX_ARMS} are the most"));
        return Vec::new();
    }
    let mut arms: Vec<Vec<usize>> = (0..total)
        .map(|mut index| {
            let mut levels = vec![0; axes.len()];
            for (factor, size) in factors.iter().zip(&sizes).rev() {
                factor.iter().for_each(|axis| levels[*axis] = index % size);
                index /= size;
            }
            levels
        })
        .collect();
    for entry in how.when.and_then(|node| reader::map(node, "`when`", mistakes)).unwrap_or_default() {
        let what = format!("`when` of axis `{}`", entry.key);
        let axis = axes.iter().position(|axis| axis.axis.name == entry.key.text);
        let filter = Filter::read(&entry.value, &what, axes, mistakes);
        let Some(axis) = axis else {
            let names = axes.iter().map(|axis| axis.axis.name.as_str());
            let message = format!("`when` names an axis that does not exist: `{}`", entry.key);
            mistakes.add_with_hint(&entry.key.at, message, suggest(&entry.key.text, names));
            continue;
        };
        let Some(baseline) = axes[axis].axis.levels.iter().position(|level| level.baseline) else {
            let message =
                format!("axis `{}` has a condition but no baseline to stay at where it does not hold", entry.key);
            mistakes.add_with_hint(&entry.key.at, message, "give one of its levels `baseline: true`");
            continue;
        };
        if let Some(filter) = filter {
            arms.retain(|levels| levels[axis] == baseline || filter.matches(levels));
        }
    }
    if let Some(node) = how.include {
        let filters: Vec<Filter> =
            reader::items(node).iter().filter_map(|item| Filter::read(item, "`include`", axes, mistakes)).collect();
        arms.retain(|levels| filters.iter().any(|filter| filter.matches(levels)));
    }
    for item in how.exclude.map(reader::items).unwrap_or_default() {
        let Some(filter) = Filter::read(item, "`exclude`", axes, mistakes) else { continue };
        let before = arms.len();
        arms.retain(|levels| !filter.matches(levels));
        if arms.len() == before && mistakes.is_empty() {
            mistakes.add(&item.at, "this excludes no arm");
        }
    }
    if arms.is_empty() && mistakes.is_empty() {
        mistakes.add(at, "no arm is left: `when`, `include` and `exclude` rule all of them out");
    }
    arms
}

fn read_zip(node: &Node, axes: &[TypedAxis], mistakes: &mut Mistakes) -> Vec<usize> {
    let mut zipped: Vec<usize> = Vec::new();
    for item in reader::items(node) {
        let Some(text) = reader::text(item, mistakes) else { continue };
        match axes.iter().position(|axis| axis.axis.name == text) {
            Some(axis) if zipped.contains(&axis) => mistakes.add(&item.at, format!("axis `{text}` is zipped twice")),
            Some(axis) => {
                let (first, own) = (*zipped.first().unwrap_or(&axis), axes[axis].axis.levels.len());
                let expected = axes[first].axis.levels.len();
                if own != expected {
                    let message = format!(
                        "zipped axes have equally many levels, but `{}` has {expected} and `{text}` {own}",
                        axes[first].axis.name
                    );
                    mistakes.add(&item.at, message);
                } else {
                    zipped.push(axis);
                }
            }
            None => {
                let names = axes.iter().map(|axis| axis.axis.name.as_str());
                let message = format!("`zip` names an axis that does not exist: `{text}`");
                mistakes.add_with_hint(&item.at, message, suggest(&text, names));
            }
        }
    }
    zipped.sort();
    zipped
}

/// The arms: `base`, and over it the overlay of each axis' level, in the order of the axes. Arms in which something is
/// wrong are left out; the second list tells all of them apart, right or wrong.
pub fn resolve(
    base: &Node,
    axes: &[TypedAxis],
    combinations: &[Vec<usize>],
    mistakes: &mut Mistakes,
) -> (Vec<Arm>, Vec<String>) {
    let mut arms = Vec::with_capacity(combinations.len());
    let mut contents = Vec::with_capacity(combinations.len());
    // What the leading axes give is kept: neighbours in the list differ in the last ones only.
    let mut partial = vec![base.clone()];
    let mut previous: &[usize] = &[];
    for levels in combinations {
        let shared = levels.iter().zip(previous).take_while(|(a, b)| a == b).count();
        partial.truncate(shared + 1);
        for axis in shared..axes.len() {
            partial.push(overlay(&partial[axis], &axes[axis].overlays[levels[axis]].1));
        }
        previous = levels;
        let node = &partial[axes.len()];
        let names = level_names(axes, levels);
        let id = ArmId::new(&names);
        let mut own = Mistakes::default();
        let spec = read_arm(node, &format!("arm `{id}`"), false, &mut own);
        match spec.filter(|_| own.is_empty()) {
            Some(spec) => {
                contents.push(format!("{spec:?}"));
                arms.push(Arm { id, levels: names, spec });
            }
            None => contents.push(content(node)),
        }
        mistakes.add_new(own);
        // One arm after another would repeat the same mistake with another name.
        if mistakes.len() > 50 {
            break;
        }
    }
    (arms, contents)
}

/// Axis and level names of one combination.
pub fn level_names(axes: &[TypedAxis], levels: &[usize]) -> Vec<(String, String)> {
    let pairs = axes.iter().zip(levels);
    pairs.map(|(axis, level)| (axis.axis.name.clone(), axis.axis.levels[*level].name.clone())).collect()
}

/// Reports levels that do the same, axes without effect, and arms that are the same experiment twice.
pub fn check_effects(axes: &[TypedAxis], combinations: &[Vec<usize>], contents: &[String], mistakes: &mut Mistakes) {
    if contents.len() != combinations.len() {
        return;
    }
    let mut ids: HashMap<&str, usize> = HashMap::new();
    let mut twins = Vec::new();
    let mut specs = Vec::with_capacity(contents.len());
    for (index, content) in contents.iter().enumerate() {
        let first = *ids.entry(content).or_insert(index);
        specs.push(first);
        if first != index {
            twins.push((first, index));
        }
    }
    let before = mistakes.len();
    for (position, axis) in axes.iter().enumerate() {
        check_axis(position, axis, combinations, &specs, mistakes);
    }
    if mistakes.len() > before {
        return;
    }
    for (first, second) in twins.into_iter().take(5) {
        let differing = (0..axes.len()).rev().find(|axis| combinations[first][*axis] != combinations[second][*axis]);
        let Some(axis) = differing else { continue };
        let (name, _) = &axes[axis].overlays[combinations[second][axis]];
        let id = |arm: usize| ArmId::new(&level_names(axes, &combinations[arm]));
        mistakes.add_with_hint(
            &name.at,
            format!("arms `{}` and `{}` are the same experiment", id(first), id(second)),
            format!(
                "drop one with `exclude`, or let axis `{}` vary only `when` it has an effect",
                axes[axis].axis.name
            ),
        );
    }
}

fn check_axis(
    position: usize,
    axis: &TypedAxis,
    combinations: &[Vec<usize>],
    specs: &[usize],
    mistakes: &mut Mistakes,
) {
    let n = axis.overlays.len();
    let mut groups: HashMap<Vec<usize>, Vec<(usize, usize)>> = HashMap::new();
    for (levels, spec) in combinations.iter().zip(specs) {
        let mut others = levels.clone();
        let own = std::mem::replace(&mut others[position], 0);
        groups.entry(others).or_default().push((own, *spec));
    }
    let (mut met, mut differ) = (vec![false; n * n], vec![false; n * n]);
    for members in groups.values() {
        for (a, spec_a) in members {
            for (b, spec_b) in members.iter().filter(|(b, _)| a < b) {
                met[a * n + b] = true;
                differ[a * n + b] |= spec_a != spec_b;
            }
        }
    }
    // Levels that never meet in otherwise equal arms (zipped axes) are compared as typed.
    let same = |a: usize, b: usize| match met[a * n + b] {
        true => !differ[a * n + b],
        false => content(&axis.overlays[a].1) == content(&axis.overlays[b].1),
    };
    let pairs: Vec<(usize, usize)> = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect();
    if n >= 2 && pairs.iter().all(|(a, b)| same(*a, *b)) {
        let hint = "its levels all give the same arms; is a key set again by a later axis?";
        mistakes.add_with_hint(&axis.name.at, format!("axis `{}` changes nothing", axis.name), hint);
        return;
    }
    for (a, b) in pairs {
        if same(a, b) {
            let (first, second) = (&axis.overlays[a].0, &axis.overlays[b].0);
            mistakes.add(&second.at, format!("levels `{first}` and `{second}` of axis `{}` are equal", axis.name));
        }
    }
}

/// What a tree says, wherever it stands.
fn content(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => format!("{text:?}"),
        Value::List(items) => format!("{:?}", items.iter().map(content).collect::<Vec<_>>()),
        Value::Map(entries) => {
            let mut all: Vec<_> = entries.iter().map(|entry| (&entry.key.text, content(&entry.value))).collect();
            all.sort();
            format!("{all:?}")
        }
    }
}
