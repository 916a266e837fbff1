//! Where outside data lies: checkpoints, text files, questions.
//!
//! A path is no identity. What a key gets is the digest of what lies there, which whoever may open files finds out before
//! anything is lowered; a lab may pin the digest (`sha256`), and then other bytes are refused.
//!
//! All paths of a lab hang from one `root`, so that filling in where one's data lies is one line: of the lab, or of a lab
//! of three lines that extends it.

use super::mistake::{At, Mistakes};
use super::reader::{self, Fields};
use super::yaml::{Node, Value};
use crate::recipe::Key;
use std::path::{Component, Path, PathBuf};

/// Outside data as a lab names it.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// A file, a folder, a pattern (corpora), or a model's name on the Hub (`hf://org/name`).
    pub path: PathBuf,
    /// What must lie there.
    pub pin: Option<Key>,
    pub at: At,
}

/// Where relative paths start: the lab's `root`, else the folder of the file that a path is written in.
#[derive(Debug, Clone, Default)]
pub struct Root(Option<PathBuf>);

impl Root {
    pub fn of(lab: &Node, mistakes: &mut Mistakes) -> Root {
        Root(lab.get("root").and_then(|node| Some(resolve(node, &reader::text(node, mistakes)?))))
    }

    /// `path`, or `{path: …, sha256: …}`.
    pub fn place(&self, node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<Place> {
        // Where the path is written: of a lab that extends another, that may be the only line of its own.
        let at = node.get("path").unwrap_or(node).at.clone();
        if let Value::Scalar { .. } = node.value {
            let path = self.path(node, mistakes)?;
            return Some(Place { path, pin: None, at });
        }
        let mut fields = Fields::of(node, what, mistakes)?;
        let path = fields.required("path", |node, m| self.path(node, m));
        let pin = fields.optional("sha256", |node, m| {
            let text = reader::text(node, m)?;
            text.parse::<Key>().map_err(|message| m.add(&node.at, message)).ok()
        });
        fields.finish();
        Some(Place { path: path?, pin, at })
    }

    fn path(&self, node: &Node, mistakes: &mut Mistakes) -> Option<PathBuf> {
        let text = reader::text(node, mistakes)?;
        // A model of the Hub has a name and no place.
        if text.starts_with("hf://") {
            return Some(PathBuf::from(text));
        }
        Some(match &self.0 {
            Some(root) => without_dots(&root.join(expand(&text))),
            None => resolve(node, &text),
        })
    }
}

/// A path as written in a file: relative to that file's folder, or to the working directory in a lab that is built in.
fn resolve(node: &Node, text: &str) -> PathBuf {
    let source = Path::new(&node.at.source.name);
    let folder = if source.is_file() { source.parent().unwrap_or(Path::new("")) } else { Path::new("") };
    without_dots(&folder.join(expand(text)))
}

/// A path without steps that lead nowhere (`./`).
pub fn without_dots(path: &Path) -> PathBuf {
    let short: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if short.as_os_str().is_empty() { PathBuf::from(".") } else { short }
}

/// `~/` is the home folder.
fn expand(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}
