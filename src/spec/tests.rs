use super::experiment::Experiment;
use super::lab::Lab;
use super::mistake::Source;
use crate::plan::lower::{lower, seeds};
use crate::recipe::Backend;

#[test]
fn every_shipped_experiment_lowers_in_every_built_in_lab() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "yaml") {
            continue;
        }
        count += 1;
        let source = Source::new(path.display().to_string(), std::fs::read_to_string(&path).unwrap());
        let experiment = Experiment::parse(&source).unwrap_or_else(|m| panic!("{m}"));
        assert_eq!(experiment.name, path.file_stem().unwrap().to_str().unwrap());
        for name in Lab::built_in() {
            let lab = Lab::load(name).unwrap_or_else(|m| panic!("{m}"));
            let plans = lower(&experiment, &lab, &seeds(&experiment, &lab, None), Backend::Cpu)
                .unwrap_or_else(|m| panic!("{m}"));
            assert_eq!(plans.len(), experiment.arms.len() * lab.seeds.len());
        }
    }
    assert!(count > 0);
}
