//! How to go on: the command that does what is missing, as a shell takes it.

use super::args::{LAB, Selection};
use crate::recipe::Backend;

/// The command that does the same again, or the same for one arm.
pub fn again(selection: &Selection, arm: Option<&[(String, String)]>) -> String {
    let mut words = vec!["ablate run".to_string(), quoted(&selection.experiment.display().to_string())];
    let mut flag = |name: &str, value: &str| words.push(format!("{name} {}", quoted(value)));
    if selection.lab != LAB {
        flag("--lab", &selection.lab);
    }
    if selection.results.as_os_str() != "results" {
        flag("--results", &selection.results.display().to_string());
    }
    if let Some(seeds) = selection.seeds {
        flag("--seeds", &seeds.to_string());
    }
    if selection.device.backend != Backend::Cpu {
        flag("--device", &selection.device.to_string());
    }
    match arm {
        Some(levels) => levels.iter().for_each(|(axis, level)| flag("--only", &format!("{axis}={level}"))),
        None => selection.only.iter().for_each(|pair| flag("--only", pair)),
    }
    words.join(" ")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_go_on_says_all_that_matters_and_survives_a_shell() {
        let selection = Selection {
            experiment: "my exp's.yaml".into(),
            lab: "./tiny.yaml".into(),
            results: "r".into(),
            seeds: Some(2),
            only: vec!["corpus=a".into()],
            device: "cuda:1".parse().unwrap(),
        };
        let flags = "--lab ./tiny.yaml --results r --seeds 2 --device cuda:1 --only";
        assert_eq!(again(&selection, None), format!("ablate run 'my exp'\\''s.yaml' {flags} corpus=a"));
        let levels = [("corpus".to_string(), "b".to_string()), ("family".into(), "llama".into())];
        assert!(again(&selection, Some(&levels)).ends_with("--only corpus=b --only family=llama"));
    }
}
