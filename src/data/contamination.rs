//! Which benchmark items occur in a corpus.
//!
//! Texts are compared as sequences of lower-case words without punctuation. An item is hit by a document that shares `n`
//! words in a row with it (13, as in the GPT-3 paper); items shorter than that are looked for as wholes. Matches are
//! exact: hashes only find candidates, so nothing is reported that is not there. Runs of words that several items of a
//! benchmark share are phrases of the benchmark ("write your answer as a common fraction"), no evidence, and don't count.
//!
//! A single shared run is weak evidence; the share of an item's runs found in one document tells a quotation from a
//! phrase, and the examples let a person judge. What to do about it is not decided here.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Words in a row that count as an occurrence.
pub const DEFAULT_WORDS: usize = crate::recipe::contamination::WORDS;
/// Items with fewer words are too common to look for.
const FEWEST_WORDS: usize = 8;
/// A run that this many items share is a phrase of the benchmark.
const PHRASE: usize = 3;
/// Kept of each item.
const EXAMPLES: usize = 3;

/// Text to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub id: String,
    pub text: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contamination {
    /// Words in a row.
    pub words: usize,
    pub documents: u64,
    /// Documents that hit at least one item.
    pub hits: u64,
    /// Items looked for.
    pub items: usize,
    /// Items too short to look for, or made of phrases that others share.
    pub unchecked: Vec<String>,
    /// Items that were hit, the most covered first.
    pub found: Vec<Found>,
}

/// An item that occurs in the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub id: String,
    /// Documents that share a run of words with it.
    pub documents: u64,
    /// The largest share of its runs found in one document, in 0..=1.
    pub coverage: f64,
    /// The documents that cover most, at most three.
    pub examples: Vec<Example>,
}

/// Where an item occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The document's place in the order in which documents were given.
    pub document: u64,
    pub coverage: f64,
    /// The first words that the document shares with the item, normalised.
    pub words: String,
}

impl Contamination {
    /// Items covered at least this far by one document.
    pub fn covered(&self, coverage: f64) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |found| found.coverage >= coverage)
    }
}

/// The occurrences of probes in documents. A pure function: the same texts give the same answer.
pub fn contamination<'a>(
    probes: &[Probe],
    documents: impl IntoIterator<Item = &'a str>,
    words: usize,
) -> Contamination {
    let mut scanner = Scanner::new(probes, words);
    documents.into_iter().for_each(|document| scanner.scan(document));
    scanner.finish()
}

/// One run of words of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    item: usize,
    start: usize,
}

#[derive(Debug)]
struct Item {
    id: String,
    words: Vec<String>,
    /// Words in each of its runs.
    length: usize,
    /// Runs that count.
    runs: usize,
    documents: u64,
    examples: Vec<Example>,
}

/// Looks through documents one by one; memory depends on the probes alone.
#[derive(Debug)]
pub struct Scanner {
    words: usize,
    items: Vec<Item>,
    /// Runs by length and hash.
    runs: BTreeMap<usize, HashMap<u64, Vec<Run>>>,
    documents: u64,
    hits: u64,
}

impl Scanner {
    /// Looks for runs of `words` words.
    pub fn new(probes: &[Probe], words: usize) -> Scanner {
        let mut items: Vec<Item> = probes
            .iter()
            .map(|probe| {
                let text = normalised(&probe.text);
                let length = words.min(text.len());
                Item { id: probe.id.clone(), words: text, length, runs: 0, documents: 0, examples: Vec::new() }
            })
            .collect();
        let mut owners: BTreeMap<&[String], BTreeSet<usize>> = BTreeMap::new();
        let mut all = Vec::new();
        for (index, item) in items.iter().enumerate().filter(|(_, item)| item.length >= FEWEST_WORDS.min(words).max(1))
        {
            for (start, run) in item.words.windows(item.length).enumerate() {
                owners.entry(run).or_default().insert(index);
                all.push((run, Run { item: index, start }));
            }
        }
        let mut runs: BTreeMap<usize, HashMap<u64, Vec<Run>>> = BTreeMap::new();
        let mut counts = vec![0; items.len()];
        for (text, run) in all {
            if owners[text].len() < PHRASE {
                counts[run.item] += 1;
                let hash = text.iter().fold(0, |hash, word| combine(hash, hash_of(word)));
                runs.entry(text.len()).or_default().entry(hash).or_default().push(run);
            }
        }
        items.iter_mut().zip(counts).for_each(|(item, count)| item.runs = count);
        Scanner { words, items, runs, documents: 0, hits: 0 }
    }

    /// Looks through the next document.
    pub fn scan(&mut self, document: &str) {
        let words = normalised(document);
        let hashes: Vec<u64> = words.iter().map(|word| hash_of(word)).collect();
        // For each item, the starts of its runs that occur here.
        let mut matched: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (length, runs) in &self.runs {
            // The hash of a window follows from that of the one before.
            let oldest = (1..*length).fold(1u64, |power, _| power.wrapping_mul(BASE));
            let mut hash = 0;
            for end in 0..words.len() {
                if end >= *length {
                    hash = hash_without(hash, hashes[end - length], oldest);
                }
                hash = combine(hash, hashes[end]);
                if end + 1 < *length {
                    continue;
                }
                let window = &words[end + 1 - length..=end];
                for run in runs.get(&hash).into_iter().flatten() {
                    if self.items[run.item].words[run.start..run.start + length] == *window {
                        matched.entry(run.item).or_default().insert(run.start);
                    }
                }
            }
        }
        self.hits += u64::from(!matched.is_empty());
        for (item, starts) in matched {
            let item = &mut self.items[item];
            item.documents += 1;
            let first = *starts.first().expect("a matched item has a run");
            let coverage = starts.len() as f64 / item.runs as f64;
            let words = item.words[first..first + item.length].join(" ");
            item.examples.push(Example { document: self.documents, coverage, words });
            // The sort is stable, so that of two documents that cover as much the earlier stays.
            item.examples.sort_by(|a, b| b.coverage.total_cmp(&a.coverage));
            item.examples.truncate(EXAMPLES);
        }
        self.documents += 1;
    }

    /// What was found in all documents.
    pub fn finish(self) -> Contamination {
        let (checked, unchecked): (Vec<Item>, Vec<Item>) = self.items.into_iter().partition(|item| item.runs > 0);
        let items = checked.len();
        let hit = checked.into_iter().filter(|item| item.documents > 0);
        let mut found: Vec<Found> = hit
            .map(|item| Found {
                id: item.id,
                documents: item.documents,
                coverage: item.examples.first().map_or(0.0, |example| example.coverage),
                examples: item.examples,
            })
            .collect();
        found.sort_by(|a, b| b.coverage.total_cmp(&a.coverage).then_with(|| a.id.cmp(&b.id)));
        Contamination {
            words: self.words,
            documents: self.documents,
            hits: self.hits,
            items,
            unchecked: unchecked.into_iter().map(|item| item.id).collect(),
            found,
        }
    }
}

/// Lower-case runs of letters and digits.
fn normalised(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// An odd multiplier, so that no word is lost from a window's hash.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// FNV-1a.
fn hash_of(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn combine(hash: u64, word: u64) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(word)
}

fn hash_without(hash: u64, oldest: u64, power: u64) -> u64 {
    hash.wrapping_sub(oldest.wrapping_mul(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(id: &str, text: &str) -> Probe {
        Probe { id: id.to_string(), text: text.to_string() }
    }

    const QUESTION: &str =
        "Janet has 16 ducks that lay one egg each day; she eats three, bakes four, and sells all the rest.";

    #[test]
    fn a_quotation_is_found_whatever_its_punctuation() {
        let quoted = format!("Page 5.\n\n{}\nAnswer: 9", QUESTION.to_uppercase().replace(' ', " \n* "));
        let report = contamination(&[probe("a", QUESTION)], ["nothing here", &quoted, QUESTION], DEFAULT_WORDS);
        assert_eq!((report.documents, report.hits, report.items), (3, 2, 1));
        let found = &report.found[0];
        assert_eq!((found.id.as_str(), found.documents, found.coverage), ("a", 2, 1.0));
        assert_eq!(found.examples.iter().map(|example| example.document).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(found.examples[0].words, "janet has 16 ducks that lay one egg each day she eats three");
    }

    #[test]
    fn one_changed_word_in_every_run_hides_an_item() {
        let changed = QUESTION.replace("each", "every");
        assert_eq!(contamination(&[probe("a", QUESTION)], [changed.as_str()], DEFAULT_WORDS).found, []);
        let shorter = contamination(&[probe("a", QUESTION)], [changed.as_str()], 8);
        assert_eq!(shorter.found.len(), 1);
        assert!(shorter.found[0].coverage < 1.0);
        assert_eq!(shorter.covered(0.99).count(), 0);
    }

    #[test]
    fn every_run_of_n_words_is_found_and_no_other() {
        let words: Vec<String> = (0..40).map(|n| format!("w{n}")).collect();
        let item = probe("a", &words.join(" "));
        for start in 0..40 {
            for end in start + 1..=40 {
                let document = format!("x {} y", words[start..end].join(" "));
                let report = contamination(std::slice::from_ref(&item), [document.as_str()], 13);
                let runs = (end - start).saturating_sub(12);
                let coverage = report.found.first().map_or(0.0, |found| found.coverage);
                assert_eq!(coverage, runs as f64 / 28.0, "{start}..{end}");
            }
        }
    }

    #[test]
    fn short_items_are_looked_for_as_wholes_or_named() {
        let short = probe("short", "what is the sum of two and three here");
        let tiny = probe("tiny", "what is two plus three");
        let documents = ["so what is the sum of two and three here ?", "what is two plus three"];
        let report = contamination(&[short, tiny], documents, DEFAULT_WORDS);
        assert_eq!(report.unchecked, ["tiny"]);
        assert_eq!(report.found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["short"]);
    }

    #[test]
    fn phrases_of_the_benchmark_are_no_evidence() {
        let phrase = "write your answer as a common fraction in lowest terms with no spaces at all";
        let items: Vec<Probe> =
            (0..4).map(|n| probe(&n.to_string(), &format!("item {n} is another . {phrase}"))).collect();
        let report = contamination(&items, [phrase], DEFAULT_WORDS);
        assert_eq!(report.found, []);
        assert_eq!(contamination(&items[..2], [phrase], DEFAULT_WORDS).found.len(), 2);
    }

    #[test]
    fn the_order_of_documents_changes_only_their_numbers() {
        let items = [probe("a", QUESTION), probe("b", "one two three four five six seven eight nine ten")];
        let documents = ["one two three four five six seven eight nine ten", QUESTION, "x"];
        let forward = contamination(&items, documents, DEFAULT_WORDS);
        let backward = contamination(&items, documents.into_iter().rev(), DEFAULT_WORDS);
        let ids = |report: &Contamination| report.found.iter().map(|f| (f.id.clone(), f.coverage)).collect::<Vec<_>>();
        assert_eq!(ids(&forward), ids(&backward));
        assert_eq!(ids(&forward).len(), 2);
    }
}
