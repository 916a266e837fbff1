//! Models of the Hub by name: `hf://org/name`, or `hf://org/name@revision`.
//!
//! They live in the cache that `huggingface_hub` and `transformers` use (`HF_HOME`, by default `~/.cache/huggingface`), so
//! whatever those have downloaded is found here, and the other way round: `refs/<revision>` holds a commit,
//! `snapshots/<commit>/` its files. Looking never touches the network; fetching does, in a build with the feature `hub`, from
//! `HF_ENDPOINT`, with `HF_TOKEN` if there is one, and not at all under `HF_HUB_OFFLINE`.
//!
//! hf-hub was looked at: it brings a client, a progress bar and a second cache logic for what is two kinds of request.

use std::path::{Path, PathBuf};

/// What stands before a name.
pub const PREFIX: &str = "hf://";

/// Why a model of the Hub is not here.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("failed to read `{0}`: a model of the Hub is hf://ORG/NAME or hf://ORG/NAME@REVISION")]
    Name(String),
    #[error(
        "failed to find {name} in {}, and this build can't fetch it: build with `--features hub`, or download it with `hf download`", cache.display()
    )]
    NoClient { name: String, cache: PathBuf },
    #[error("failed to find {name} in {}, and HF_HUB_OFFLINE forbids fetching it", cache.display())]
    Offline { name: String, cache: PathBuf },
    #[error("failed to fetch {what} from {endpoint}: {reason}")]
    Fetch { what: String, endpoint: String, reason: String },
    #[error("failed to keep {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// A model of the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    repo: String,
    revision: String,
}

impl HubModel {
    /// None for paths of this machine.
    pub fn parse(path: &Path) -> Option<Result<HubModel, HubError>> {
        let text = path.to_str()?;
        let name = text.strip_prefix(PREFIX).or_else(|| text.strip_prefix("hf:/"))?;
        let (repo, revision) = name.split_once('@').unwrap_or((name, "main"));
        let plain = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.chars().all(known) && !part.starts_with('.')
        };
        let right = repo.split('/').count() == 2 && repo.split('/').all(plain) && revision.split('/').all(plain);
        Some(if right {
            Ok(HubModel { repo: repo.to_string(), revision: revision.to_string() })
        } else {
            Err(HubError::Name(text.to_string()))
        })
    }

    fn folder(&self) -> PathBuf {
        cache().join(format!("models--{}", self.repo.replace('/', "--")))
    }

    /// The folder of its files, if the cache has them.
    pub fn cached(&self) -> Option<PathBuf> {
        let folder = self.folder();
        let commit = std::fs::read_to_string(folder.join("refs").join(&self.revision));
        // A commit may be named itself.
        let commit = commit.map(|text| text.trim().to_string()).unwrap_or_else(|_| self.revision.clone());
        Some(folder.join("snapshots").join(commit)).filter(|snapshot| snapshot.join("config.json").exists())
    }

    /// The folder of its files, fetched if it must be.
    pub fn fetch(&self) -> Result<PathBuf, HubError> {
        if let Some(snapshot) = self.cached() {
            return Ok(snapshot);
        }
        let name = format!("{PREFIX}{}@{}", self.repo, self.revision);
        if std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !["", "0"].contains(&value.as_str())) {
            return Err(HubError::Offline { name, cache: cache() });
        }
        self.download(name)
    }

    #[cfg(not(feature = "hub"))]
    fn download(&self, name: String) -> Result<PathBuf, HubError> {
        Err(HubError::NoClient { name, cache: cache() })
    }

    #[cfg(feature = "hub")]
    fn download(&self, _: String) -> Result<PathBuf, HubError> {
        let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".to_string());
        let endpoint = endpoint.trim_end_matches('/').to_string();
        let (repo, revision) = (&self.repo, &self.revision);
        let failed =
            |what: &str, reason: String| HubError::Fetch { what: what.into(), endpoint: endpoint.clone(), reason };
        let get = |url: &str| {
            let mut request = ureq::get(url);
            if let Ok(token) = std::env::var("HF_TOKEN") {
                request = request.header("Authorization", &format!("Bearer {token}"));
            }
            request.call().map_err(|error| failed(url, error.to_string()))
        };
        let listing = get(&format!("{endpoint}/api/models/{repo}/revision/{revision}"))?.body_mut().read_to_string();
        let listing = listing.map_err(|error| failed(repo, error.to_string()))?;
        let listing: serde_json::Value =
            serde_json::from_str(&listing).map_err(|error| failed(repo, error.to_string()))?;
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
        let commit = listing["sha"].as_str().filter(|commit| plain(commit));
        let commit = commit.ok_or_else(|| failed(repo, "the listing names no commit".into()))?;
        let files = listing["siblings"].as_array().into_iter().flatten().filter_map(|file| file["rfilename"].as_str());
        // Files of the top folder that a model is made of; other formats of the same weights stay there.
        let wanted = files.filter(|name| plain(name) && (name.ends_with(".json") || name.ends_with(".safetensors")));
        let (folder, snapshot) = (self.folder(), self.folder().join("snapshots").join(commit));
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| HubError::Io { path, source }
        };
        std::fs::create_dir_all(&snapshot).map_err(io(&snapshot))?;
        // The configuration comes last: whoever looks takes a snapshot with it for whole.
        let (last, first): (Vec<&str>, Vec<&str>) = wanted.partition(|name| *name == "config.json");
        for name in first.into_iter().chain(last) {
            let (path, part) = (snapshot.join(name), snapshot.join(format!(".{name}.part")));
            if path.exists() {
                continue;
            }
            let mut response = get(&format!("{endpoint}/{repo}/resolve/{commit}/{name}"))?;
            let length =
                response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            let mut file = std::fs::File::create(&part).map_err(io(&part))?;
            let mut body = response.body_mut().as_reader();
            let written = std::io::copy(&mut body, &mut file).map_err(|error| failed(name, error.to_string()))?;
            if length.is_some_and(|length| length != written) {
                return Err(failed(name, format!("it broke off after {written} bytes")));
            }
            file.sync_all().and_then(|()| std::fs::rename(&part, &path)).map_err(io(&path))?;
        }
        let reference = folder.join("refs").join(revision);
        std::fs::create_dir_all(reference.parent().expect("it lies in `refs`")).map_err(io(&reference))?;
        std::fs::write(&reference, commit).map_err(io(&reference))?;
        self.cached().ok_or_else(|| failed(repo, "it has no config.json".into()))
    }
}

/// The cache of models: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`.
fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("HF_HUB_CACHE") {
        return PathBuf::from(cache);
    }
    let home = std::env::var_os("HF_HOME").map(PathBuf::from);
    home.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".cache/huggingface")).join("hub")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_told_from_paths() {
        let parse = |text: &str| HubModel::parse(Path::new(text));
        assert!(parse("models/SmolLM2").is_none() && parse("/hf/x").is_none());
        let model = parse("hf://org/na.me-1@v1.0").unwrap().unwrap();
        assert_eq!(model, HubModel { repo: "org/na.me-1".into(), revision: "v1.0".into() });
        assert_eq!(parse("hf://org/name").unwrap().unwrap().revision, "main");
        for wrong in ["hf://name", "hf://../..", "hf://a/b/c", "hf://a/b@../x", "hf://a/"] {
            assert!(parse(wrong).unwrap().is_err(), "{wrong}");
        }
    }
}
