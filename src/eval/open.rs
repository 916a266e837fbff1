//! A model with its tokenizer, from wherever it lies: the one way in for published models.
//!
//! A place is a Hugging Face folder (`config.json`, safetensors, `tokenizer.json`), a GGUF file, or a folder that holds one.
//! What is missing is said before anything is read, because weights take long to load.

use super::hub::{HubError, HubModel};
use crate::data::{HfTokenizer, HfTokenizerError, Tokenizer};
use crate::model::{Decoder, ModelError, gguf, weights};
use crate::recipe::{Key, ModelShape};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why a place holds no model that can be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("failed to open the model {}: there is no such file or folder", .0.display())]
    Absent(PathBuf),
    #[error("failed to open the model {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "failed to open the model {}: it is neither a Hugging Face folder (config.json and model.safetensors) nor a GGUF file or a folder with one",
        .0.display()
    )]
    NoModel(PathBuf),
    #[error("failed to open the model {}: it holds {} GGUF files ({}); name one of them", place.display(), files.len(), files.join(", "))]
    Several { place: PathBuf, files: Vec<String> },
    #[error("failed to open the model {}: {what}", place.display())]
    Unsupported { place: PathBuf, what: String },
    #[error("failed to open the model {}: it has no tokenizer.json beside its weights; put it there, or name the tokenizer's place", .0.display())]
    NoTokenizer(PathBuf),
    #[error("failed to load the weights of {}: {source}", place.display())]
    Weights { place: PathBuf, source: ModelError },
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Tokenizer(#[from] HfTokenizerError),
}

/// Where a model's parts lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `config.json` and safetensors.
    Folder(PathBuf),
    Gguf(PathBuf),
}

/// A model that can be asked.
pub struct Opened {
    pub decoder: Decoder,
    pub tokenizer: Tokenizer,
    /// What the weights are, whatever their path: the digest of their files.
    pub content: Key,
}

/// Opens a model with its own tokenizer, or with the one that lies at `tokenizer` (a folder, a `tokenizer.json`, a GGUF
/// file). A tokenizer without an end token is fine: such a model answers up to the length limit.
pub fn open(model: &Path, tokenizer: Option<&Path>) -> Result<Opened, OpenError> {
    let place = Place::find(model)?;
    let tokenizer = Tokenizer::Hf(place.open_tokenizer(tokenizer)?);
    Ok(Opened { decoder: place.decoder()?, tokenizer, content: place.content()? })
}

/// The weights alone.
pub fn decoder(model: &Path) -> Result<Decoder, OpenError> {
    Place::find(model)?.decoder()
}

impl Place {
    /// Looks at names only; nothing is read. A model of the Hub is fetched if the cache does not have it.
    pub fn find(model: &Path) -> Result<Place, OpenError> {
        let fetched = HubModel::parse(model).map(|hub| hub?.fetch()).transpose()?;
        let model = fetched.as_deref().unwrap_or(model);
        let here = || model.to_path_buf();
        if !model.exists() {
            return Err(OpenError::Absent(here()));
        }
        if !model.is_dir() {
            return if is_gguf(model) { Ok(Place::Gguf(here())) } else { Err(OpenError::NoModel(here())) };
        }
        if model.join("config.json").exists() {
            let has = |name: &str| model.join(name).exists();
            if has("model.safetensors") || has("model.safetensors.index.json") {
                return Ok(Place::Folder(here()));
            }
            if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
                let what = "its weights are pickled (pytorch_model.bin), which can hold code; save them as safetensors";
                return Err(OpenError::Unsupported { place: here(), what: what.into() });
            }
        }
        let files = gguf_files(model)?;
        match files.as_slice() {
            [] => Err(OpenError::NoModel(here())),
            [only] => Ok(Place::Gguf(model.join(only))),
            _ => Err(OpenError::Several { place: here(), files }),
        }
    }

    /// What the person named it.
    pub fn path(&self) -> &Path {
        match self {
            Place::Folder(path) | Place::Gguf(path) => path,
        }
    }

    /// Where its own tokenizer lies.
    pub fn tokenizer(&self) -> Result<PathBuf, OpenError> {
        match self {
            Place::Gguf(path) => Ok(path.clone()),
            Place::Folder(path) if path.join("tokenizer.json").exists() => Ok(path.clone()),
            Place::Folder(path) => Err(OpenError::NoTokenizer(path.clone())),
        }
    }

    /// Its own tokenizer, or the one that lies at `other`.
    pub fn open_tokenizer(&self, other: Option<&Path>) -> Result<HfTokenizer, OpenError> {
        let place = match other {
            Some(other) => place_of_tokenizer(other)?,
            None => self.tokenizer()?,
        };
        Ok(HfTokenizer::load_endless(&place)?)
    }

    /// Reads the weights.
    pub fn decoder(&self) -> Result<Decoder, OpenError> {
        let loaded = match self {
            Place::Folder(path) => weights::load(path),
            Place::Gguf(path) => gguf::load(path),
        };
        loaded.map_err(|source| OpenError::Weights { place: self.path().to_path_buf(), source })
    }

    /// The shape of the weights, and that their files are whole and hold what it asks for: names, shapes and types. No
    /// value is read, so this is quick whatever the size.
    pub fn check(&self) -> Result<ModelShape, OpenError> {
        let checked = match self {
            Place::Folder(path) => weights::check(path),
            Place::Gguf(path) => gguf::check(path),
        };
        checked.map_err(|source| OpenError::Weights { place: self.path().to_path_buf(), source })
    }

    /// The files that decide what the weights compute.
    pub fn files(&self) -> Result<Vec<PathBuf>, OpenError> {
        Ok(match self {
            Place::Gguf(path) => vec![path.clone()],
            Place::Folder(path) => {
                let mut files = names(path)?;
                files.retain(|name| name == "config.json" || name.ends_with(".safetensors"));
                files.iter().map(|name| path.join(name)).collect()
            }
        })
    }

    /// Digest of the files that decide what the weights compute: the GGUF file, or `config.json` and every safetensors
    /// file in the order of their names.
    pub fn content(&self) -> Result<Key, OpenError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenError::Io { path, source }
        };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        for path in self.files()? {
            let mut file = File::open(&path).map_err(io(&path))?;
            hash.update(file.metadata().map_err(io(&path))?.len().to_le_bytes());
            loop {
                let count = file.read(&mut buffer).map_err(io(&path))?;
                if count == 0 {
                    break;
                }
                hash.update(&buffer[..count]);
            }
        }
        Ok(Key::from_digest(hash.finalize().into()))
    }
}

/// A folder with a GGUF file and no `tokenizer.json` has its tokenizer in that file.
fn place_of_tokenizer(place: &Path) -> Result<PathBuf, OpenError> {
    if !place.exists() {
        return Err(OpenError::Absent(place.to_path_buf()));
    }
    if !place.is_dir() || place.join("tokenizer.json").exists() {
        return Ok(place.to_path_buf());
    }
    match gguf_files(place)?.as_slice() {
        [only] => Ok(place.join(only)),
        _ => Err(OpenError::NoTokenizer(place.to_path_buf())),
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

fn gguf_files(folder: &Path) -> Result<Vec<String>, OpenError> {
    Ok(names(folder)?.into_iter().filter(|name| is_gguf(Path::new(name))).collect())
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>, OpenError> {
    let io = |source| OpenError::Io { path: folder.to_path_buf(), source };
    let entries: io::Result<Vec<_>> = fs::read_dir(folder).map_err(io)?.collect();
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map_err(io)?.into_iter().map(name).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_before_anything_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let error = |place: &Path| open(place, None).err().unwrap().to_string();
        assert!(error(&dir.path().join("none")).contains("no such file"));
        assert!(error(dir.path()).contains("neither a Hugging Face folder"));
        let write = |name: &str| fs::write(dir.path().join(name), "{}").unwrap();
        write("config.json");
        assert!(error(dir.path()).contains("neither"));
        write("pytorch_model.bin");
        assert!(error(dir.path()).contains("safetensors"));
        write("model.safetensors");
        assert!(error(dir.path()).contains("no tokenizer.json"));
        assert!(error(&dir.path().join("config.json")).contains("neither"));
    }

    #[test]
    fn a_folder_with_one_gguf_file_is_that_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.Q4_1.gguf"), "GGUF").unwrap();
        assert_eq!(Place::find(dir.path()).unwrap(), Place::Gguf(dir.path().join("a.Q4_1.gguf")));
        assert_eq!(place_of_tokenizer(dir.path()).unwrap(), dir.path().join("a.Q4_1.gguf"));
        fs::write(dir.path().join("b.GGUF"), "GGUF").unwrap();
        let error = Place::find(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a.Q4_1.gguf, b.GGUF"), "{error}");
    }

    #[test]
    fn content_follows_the_files_and_not_their_place() {
        let make = |weights: &str| {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("config.json"), "{}").unwrap();
            fs::write(dir.path().join("model.safetensors"), weights).unwrap();
            Place::find(dir.path()).unwrap().content().unwrap()
        };
        assert_eq!(make("a"), make("a"));
        assert_ne!(make("a"), make("b"));
    }
}
