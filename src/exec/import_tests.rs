use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Folder(dir)
    }

    fn read(&self) -> Result<Import, ImportError> {
        wandb(&[self.0.path().to_path_buf()], &BTreeMap::new())
    }

    fn error(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

const SCORE: &str = "\"Step\",\"run a - val/test_score/math500\",\"run a - val/test_score/math500__MIN\",\"run a - val/test_score/math500__MAX\",\"b - c - val/test_score/math500\"
\"0\",\"0.1\",\"0.1\",\"0.1\",\"0.2\"
\"4\",\"0.2\",\"0.15\",\"0.25\",\"\"
\"8\",\"0.3\",\"0.3\",\"0.3\",\"0.5\"
";

#[test]
fn several_runs_of_a_file_become_trials_and_gaps_stay_gaps() {
    let import = Folder::new(&[("a.csv", SCORE)]).read().unwrap();
    let arms: Vec<&str> = import.results.trials.iter().map(|t| t.arm.as_str()).collect();
    assert_eq!(arms, ["run a", "b - c"]);
    assert!(import.results.trials.iter().all(|t| t.imported && t.seed == 0));
    let of = |arm: &str| -> Vec<(u64, f64)> {
        import.results.curves.iter().filter(|p| p.arm == arm).map(|p| (p.step, p.value)).collect()
    };
    assert_eq!(of("run a"), [(0, 0.1), (4, 0.2), (8, 0.3)]);
    assert_eq!(of("b - c"), [(0, 0.2), (8, 0.5)]);
    let metrics = &import.results.trials[1].metrics;
    assert_eq!((metrics["rl0.accuracy/math500"], metrics["rl.accuracy/math500"]), (0.2, 0.5));
    assert_eq!((metrics["gain.accuracy/math500"], metrics["rl.accuracy/all"]), (0.3, 0.5));
    assert!(import.notes.iter().any(|note| note.contains("1 cells are averages")), "{:?}", import.notes);
}

#[test]
fn the_metric_names_of_the_paper_s_trainer_are_mapped() {
    for (logged, expected) in [
        ("val/test_score/gsm8k", ("accuracy", "gsm8k")),
        ("val/test_score/avg_acc", ("accuracy", "all")),
        ("val_response_length/test_length_correct/MATH-500", ("response_length", "math500")),
        ("val_response_length/test_length/olympiad_bench", ("response_length_all", "olympiadbench")),
        ("test_length_correct/my_set", ("response_length", "my_set")),
        ("response_length/clip_ratio", ("truncated", "")),
        ("critic/score/mean", ("reward", "")),
    ] {
        let (metric, benchmark) = map(logged).unwrap();
        assert_eq!((metric.as_str(), benchmark.as_str()), expected, "{logged}");
    }
    assert_eq!(map("val/test_score/"), None);
    assert_eq!(map("test_score/a/b"), None);
}

#[test]
fn duplicated_exports_are_one_and_conflicting_ones_name_both() {
    let same = Folder::new(&[("a.csv", SCORE), ("copy of a.csv", SCORE)]);
    assert_eq!(same.read().unwrap().results, Folder::new(&[("a.csv", SCORE)]).read().unwrap().results);
    let other = SCORE.replace("\"8\",\"0.3\"", "\"8\",\"0.31\"");
    let error = Folder::new(&[("a.csv", SCORE), ("b.csv", &other)]).error();
    for part in ["`run a`, accuracy on math500, step 8", "0.3 in", "a.csv", "0.31 in", "b.csv", "leave one"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_resumed_segment_continues_its_run() {
    let first = "Step,r - val/test_score/gsm8k\n0,0.1\n4,0.2\n";
    let second = "Step,r - val/test_score/gsm8k\n4,0.2\n8,0.4\n";
    let import = Folder::new(&[("1.csv", first), ("2.csv", second)]).read().unwrap();
    let steps: Vec<u64> = import.results.curves.iter().map(|p| p.step).collect();
    assert_eq!(steps, [0, 4, 8]);
    assert_eq!(import.results.trials.len(), 1);
    assert_eq!(import.results.trials[0].metrics["rl.accuracy/gsm8k"], 0.4);
    assert!(import.notes[0].contains("2 files"));
}

#[test]
fn unknown_metrics_are_refused_with_the_known_ones() {
    let error = Folder::new(&[("a.csv", "Step,r - val/test_scoer/gsm8k\n0,1\n")]).error();
    assert!(error.contains("unknown metric `val/test_scoer/gsm8k`") && error.contains("`val/test_score/*`"), "{error}");
}

#[test]
fn broken_files_say_what_is_wrong_and_where() {
    let cases = [
        ("Time,r - loss\n0,1\n", "step column"),
        ("Step,loss\n0,1\n", "not `<run> - <metric>`"),
        ("Step,r - loss\n0,abc\n", "line 2: `abc` is not a number"),
        ("Step,r - loss\n0,1\n,2\n", "line 3: the step is missing"),
        ("Step,r - loss\n0.5,1\n", "step 0.5 is not a whole number"),
        ("Step,r - loss\n0,1,2\n", "line 2"),
        ("Step,r - loss\n0,1\n0,2\n", "step 0 is 1 in"),
    ];
    for (text, expected) in cases {
        let error = Folder::new(&[("x.csv", text)]).error();
        assert!(error.contains(expected) && error.contains("x.csv"), "{expected}: {error}");
    }
    assert!(Folder::new(&[("notes.txt", "")]).error().contains("failed to find a CSV export"));
    assert!(wandb(&["/nowhere.csv".into()], &BTreeMap::new()).unwrap_err().to_string().contains("/nowhere.csv"));
}

#[test]
fn runs_can_be_named_after_arms() {
    let folder = Folder::new(&[("a.csv", SCORE)]);
    let arms = BTreeMap::from([("run a".to_string(), "web-pro".to_string())]);
    let import = wandb(&[folder.0.path().to_path_buf()], &arms).unwrap();
    assert_eq!(import.results.trials[0].arm, "web-pro");
    assert!(import.results.trials[0].note.as_ref().unwrap().contains("run a"));
}

/// The paper's curves, put back into the form in which they were exported, come out as they went in.
#[test]
fn the_paper_s_curves_survive_the_round_trip() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/paper/curves.csv");
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: {} is absent", path.display());
        return;
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<Vec<String>> = reader.records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect();
    let wanted = |r: &&Vec<String>| r[0] == "analysis_qa";
    let mut files: BTreeMap<(String, String), BTreeMap<u64, BTreeMap<String, String>>> = BTreeMap::new();
    let mut expected: BTreeMap<(String, String, String, u64), f64> = BTreeMap::new();
    for r in rows.iter().filter(wanted) {
        let [_, _, run, benchmark, metric, step, value] = &r[..] else { panic!("seven columns") };
        let step: u64 = step.parse().unwrap();
        expected.insert((run.clone(), benchmark.clone(), metric.clone(), step), value.parse().unwrap());
        let file = files.entry((benchmark.clone(), metric.clone())).or_default();
        file.entry(step).or_default().insert(run.clone(), value.clone());
    }
    let dir = tempfile::tempdir().unwrap();
    for ((benchmark, metric), steps) in &files {
        let logged = match metric.as_str() {
            "accuracy" => format!("val/test_score/{benchmark}"),
            _ => format!("val_response_length/test_length_correct/{benchmark}"),
        };
        let runs: Vec<&String> = {
            let mut runs: Vec<&String> = steps.values().flat_map(|cells| cells.keys()).collect();
            runs.sort();
            runs.dedup();
            runs
        };
        let mut csv = String::from("\"Step\"");
        runs.iter()
            .for_each(|run| csv += &["", "__MIN", "__MAX"].map(|end| format!(",\"{run} - {logged}{end}\"")).concat());
        for (step, cells) in steps {
            csv += &format!("\n\"{step}\"");
            runs.iter().for_each(|run| csv += &format!(",\"{0}\",\"{0}\",\"{0}\"", cells.get(*run).map_or("", |v| v)));
        }
        fs::write(dir.path().join(format!("{benchmark}-{metric}.csv")), csv + "\n").unwrap();
    }
    let import = wandb(&[dir.path().to_path_buf()], &BTreeMap::new()).unwrap();
    let found: BTreeMap<(String, String, String, u64), f64> = import
        .results
        .curves
        .iter()
        .map(|p| ((p.arm.clone(), p.benchmark.clone(), p.metric.clone(), p.step), p.value))
        .collect();
    assert_eq!(found, expected);
    assert!(found.len() > 1000 && import.results.trials.len() >= 3);
}
