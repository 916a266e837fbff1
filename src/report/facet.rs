//! Arms in groups that are drawn apart, as the paper draws its twelve decay arms in three blocks.
//!
//! More than a handful of curves in one panel cannot be told apart, whatever their colours. Then arms are grouped by the axis with
//! the fewest levels (a family, a size), or, where one axis holds them all, by the stem of its levels (`openr1-10`,
//! `openr1-20`, … are `openr1`). Blocks share their scales, so that they can still be compared.

use crate::report::{ArmInput, ExperimentInput, text};

/// Arms that are drawn in the same panels.
#[derive(Debug, Clone, PartialEq)]
pub struct Facet {
    /// Empty if it is the only one.
    pub title: String,
    /// Indices of the arms.
    pub arms: Vec<usize>,
    /// What each is called within the facet, where the title need not be repeated.
    pub labels: Vec<String>,
}

/// What the arms are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split<'a> {
    Whole,
    Axis(&'a str),
    Stem,
}

/// The most arms that share a panel if they can be grouped.
const TOGETHER: usize = 5;
/// The most arms of a group for an axis to be worth grouping by.
const GROUP: usize = 8;

pub fn split(arms: &[ArmInput]) -> Split<'_> {
    if arms.len() <= TOGETHER {
        return Split::Whole;
    }
    let mut best: Option<(&str, usize)> = None;
    for (axis, _) in &arms[0].levels {
        let groups = grouped(arms, |arm| arm.level(axis).unwrap_or_default());
        let largest = groups.iter().map(|(_, members)| members.len()).max().unwrap_or(0);
        if groups.len() > 1 && (2..=GROUP).contains(&largest) && best.is_none_or(|(_, levels)| groups.len() < levels) {
            best = Some((axis, groups.len()));
        }
    }
    if let Some((axis, _)) = best {
        return Split::Axis(axis);
    }
    let stems = grouped(arms, stem);
    let worth = (2..=6).contains(&stems.len()) && stems.iter().all(|(_, m)| (2..=GROUP).contains(&m.len()));
    if worth { Split::Stem } else { Split::Whole }
}

/// Keys in order of appearance, each with its arms.
pub fn groups(arms: &[ArmInput]) -> Vec<(&str, Vec<usize>)> {
    match split(arms) {
        Split::Whole => vec![("", (0..arms.len()).collect())],
        Split::Axis(axis) => grouped(arms, |arm| arm.level(axis).unwrap_or_default()),
        Split::Stem => grouped(arms, stem),
    }
}

pub fn facets(input: &ExperimentInput) -> Vec<Facet> {
    let how = split(&input.arms);
    let label = |axis: &str, level: &str| -> String {
        let known = input.axes.iter().find(|a| a.name == axis);
        let found = known.and_then(|a| a.levels.iter().find(|(name, _)| name == level));
        found.map_or_else(|| level.to_string(), |(_, label)| label.clone())
    };
    let facet = |(key, arms): (&str, Vec<usize>)| {
        let own = |&arm: &usize| input.arms[arm].label.clone();
        let labels: Vec<String> = match how {
            Split::Axis(axis) => arms
                .iter()
                .map(|arm| {
                    let others = input.arms[*arm].levels.iter().filter(|(name, _)| name != axis);
                    let others: Vec<String> = others.map(|(axis, level)| label(axis, level)).collect();
                    if others.is_empty() || input.axes.is_empty() { own(arm) } else { others.join(" · ") }
                })
                .collect(),
            _ => arms.iter().map(own).collect(),
        };
        // Runs that no experiment file names are told apart within their block.
        let labels = match input.axes.is_empty() {
            true => text::without_shared_ends(&labels.iter().map(String::as_str).collect::<Vec<_>>()),
            false => labels,
        };
        let title = match how {
            Split::Whole => String::new(),
            Split::Axis(axis) => label(axis, key),
            Split::Stem => shared(&labels).unwrap_or(key).to_string(),
        };
        Facet { title, arms, labels }
    };
    groups(&input.arms).into_iter().map(facet).collect()
}

fn grouped<'a>(arms: &'a [ArmInput], key: impl Fn(&'a ArmInput) -> &'a str) -> Vec<(&'a str, Vec<usize>)> {
    let mut groups: Vec<(&str, Vec<usize>)> = vec![];
    for (index, arm) in arms.iter().enumerate() {
        let key = key(arm);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(index),
            None => groups.push((key, vec![index])),
        }
    }
    groups
}

/// The last level's name without the number at its end.
fn stem(arm: &ArmInput) -> &str {
    let name = arm.levels.last().map_or("", |(_, level)| level.as_str());
    match name.rsplit_once(['-', '_']) {
        Some((stem, end)) if end.starts_with(|c: char| c.is_ascii_digit()) => stem,
        _ => name,
    }
}

/// The words that all labels begin with.
fn shared(labels: &[String]) -> Option<&str> {
    let first = labels.first()?;
    let mut length = first.len();
    for label in labels {
        let same = first.char_indices().zip(label.chars()).take_while(|((_, a), b)| a == b).last();
        length = length.min(same.map_or(0, |((at, c), _)| at + c.len_utf8()));
    }
    let text = first[..length].trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::AxisInput;

    fn arm(levels: &[(&str, &str)], label: &str) -> ArmInput {
        let levels = levels.iter().map(|(a, l)| (a.to_string(), l.to_string())).collect();
        ArmInput { id: label.into(), levels, label: label.into(), baseline: false }
    }

    #[test]
    fn two_axes_are_split_by_the_one_with_fewer_levels_and_labels_leave_it_out() {
        let mut input = ExperimentInput::default();
        for family in ["llama", "qwen"] {
            for corpus in ["none", "web", "max"] {
                input.arms.push(arm(&[("family", family), ("corpus", corpus)], &format!("{family} · {corpus}")));
            }
        }
        input.axes.push(AxisInput { name: "family".into(), levels: vec![("llama".into(), "Llama".into())] });
        assert_eq!(split(&input.arms), Split::Axis("family"));
        let facets = facets(&input);
        assert_eq!((facets[0].title.as_str(), facets[1].title.as_str()), ("Llama", "qwen"));
        assert_eq!((&facets[1].arms[..], facets[1].labels[2].as_str()), (&[3, 4, 5][..], "max"));
    }

    #[test]
    fn shares_of_one_source_belong_together() {
        let mut input = ExperimentInput::default();
        for source in ["OpenR1", "OMI2", "Mega QA"] {
            for share in [10, 20, 30, 40] {
                let level = format!("{}-{share}", source.to_lowercase());
                input.arms.push(arm(&[("qa", &level)], &format!("{source} {share}%")));
            }
        }
        assert_eq!(split(&input.arms), Split::Stem);
        let titles: Vec<String> = facets(&input).into_iter().map(|facet| facet.title).collect();
        assert_eq!(titles, ["OpenR1", "OMI2", "Mega QA"]);
    }

    #[test]
    fn few_arms_and_unrelated_ones_stay_together() {
        let few: Vec<ArmInput> = (0..5).map(|i| arm(&[("a", &i.to_string())], "x")).collect();
        let many: Vec<ArmInput> = (0..9).map(|i| arm(&[("a", &format!("level{i}"))], "x")).collect();
        assert_eq!((split(&few), split(&many), split(&[])), (Split::Whole, Split::Whole, Split::Whole));
    }
}
