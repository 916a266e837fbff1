//! Whether a folder named on the command line can be one, before anything is looked for or written in it.

use super::failure::Failure;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Fails if a file, or a link that leads to nothing, is where the folder or one above it would be. What is not there yet is
/// fine; what may not be looked at is told by whoever needs it. `flag` names the folder.
pub fn usable(folder: &Path, flag: &str) -> Result<(), Failure> {
    for part in folder.ancestors().filter(|part| !part.as_os_str().is_empty()) {
        let here = part.display();
        match fs::metadata(part) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => {
                return Err(Failure::usage(format!("{here} is a file, and should be a folder"))
                    .hint(format!("move it away, or name another folder with {flag}")));
            }
            Err(error) => {
                let Ok(to) = fs::read_link(part) else { continue };
                let words = match error.kind() {
                    ErrorKind::NotFound | ErrorKind::NotADirectory => {
                        format!("{here} is a link to {}, which is not there", to.display())
                    }
                    ErrorKind::PermissionDenied => return Ok(()),
                    _ => format!("{here} is a link that leads back to itself"),
                };
                return Err(Failure::usage(words)
                    .hint(format!("make what it should lead to, or name another folder with {flag}")));
            }
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_and_links_to_nothing_are_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink("folder", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("file/inside", at("through")).unwrap();
        symlink("round", at("about")).unwrap();
        symlink("about", at("round")).unwrap();
        for name in ["folder", "link", "link/new", "new/and/deeper"] {
            usable(&at(name), "--results").unwrap();
        }
        usable(Path::new("results"), "--results").unwrap();
        let told = |name: &str| usable(&at(name), "--results").unwrap_err();
        for name in ["file", "file/deeper/still", "dangling", "dangling/new", "through", "round", "round/new"] {
            assert_eq!(told(name).code(), 2, "{name}");
        }
        assert!(told("file/x").to_string().contains("file is a file"));
        assert!(told("dangling/x").to_string().contains("dangling is a link to nowhere, which is not there"));
        assert!(told("round/x").to_string().contains("round is a link that leads back to itself"));
    }
}
