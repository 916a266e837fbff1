use super::*;
use std::fs;

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
    assert_eq!(import.notes, ["1 runs put together from 2 files"]);
}

#[test]
fn where_a_resumed_segment_differs_the_earlier_one_is_kept_and_it_is_told() {
    let first = "Step,r - val/test_score/gsm8k\n0,0.1\n4,0.2\n8,0.3\n";
    let second = "Step,r - val/test_score/gsm8k\n8,0.35\n12,0.4\n";
    // The order of the files decides nothing.
    for names in [["1.csv", "2.csv"], ["2.csv", "1.csv"]] {
        let import = Folder::new(&[(names[0], first), (names[1], second)]).read().unwrap();
        let values: Vec<f64> = import.results.curves.iter().map(|p| p.value).collect();
        assert_eq!(values, [0.1, 0.2, 0.3, 0.4]);
        let told = import.notes.iter().find(|note| note.contains("later segment")).unwrap();
        assert!(told.contains(names[1]) && told.contains("1 points"), "{told}");
    }
}

#[test]
fn last_digits_that_a_second_saving_changed_are_no_conflict() {
    let first = "Step,r - val/test_score/gsm8k\n0,0.0193164933135215\n";
    let second = "Step,r - val/test_score/gsm8k\n0,0.019316493313521546\n";
    let import = Folder::new(&[("1.csv", first), ("2.csv", second)]).read().unwrap();
    assert_eq!(import.results.curves[0].value, 0.0193164933135215);
}

#[test]
fn what_is_no_finite_number_is_a_gap() {
    let text = "Step,r - loss\n0,1\n1,NaN\n2,Infinity\n3,2\n";
    let import = Folder::new(&[("a.csv", text)]).read().unwrap();
    assert_eq!(import.results.curves.iter().map(|p| p.step).collect::<Vec<_>>(), [0, 3]);
    assert!(import.notes[0].contains("2 cells are not finite"), "{:?}", import.notes);
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
        ("Step,r - loss\n1e308,1\n", "line 2: step 1e308 is not a whole number"),
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
fn names_that_a_spreadsheet_would_run_are_text() {
    let import = Folder::new(&[("a.csv", "Step,=HYPERLINK(1) - val/test_score/@x\n0,1\n")]).read().unwrap();
    assert_eq!(import.results.trials[0].arm, "'=HYPERLINK(1)");
    assert_eq!(
        (import.results.curves[0].arm.as_str(), import.results.curves[0].benchmark.as_str()),
        ("'=HYPERLINK(1)", "'@x")
    );
}

#[test]
fn runs_can_be_named_after_arms() {
    let folder = Folder::new(&[("a.csv", SCORE)]);
    let arms = BTreeMap::from([("run a".to_string(), "web-pro".to_string())]);
    let import = wandb(&[folder.0.path().to_path_buf()], &arms).unwrap();
    assert_eq!(import.results.trials[0].arm, "web-pro");
    assert!(import.results.trials[0].note.as_ref().unwrap().contains("run a"));
}

/// The authors' curves, put back into the form in which they were exported (a folder per figure, a file per benchmark and
/// metric, several runs a file, the resumed segment and the earlier exports beside the merged ones), are imported in one go, and
/// their ends are those that were computed from the tidied data by other means.
#[test]
fn the_authors_folder_is_taken_as_it_is_and_its_ends_are_right() {
    let paper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/paper");
    let (Ok(curves), Ok(ends)) =
        (fs::read_to_string(paper.join("curves.csv")), fs::read_to_string(paper.join("rl_endpoints.csv")))
    else {
        println!("skipped: {} is absent", paper.display());
        return;
    };
    let rows = |text: &str| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader.records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect()
    };
    // File, then step, then run.
    let mut files: BTreeMap<String, BTreeMap<u64, BTreeMap<String, String>>> = BTreeMap::new();
    let mut columns: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let mut runs: BTreeMap<(String, String), String> = BTreeMap::new();
    for row in rows(&curves) {
        let [figure, arm, run, benchmark, metric, step, value] = <[String; 7]>::try_from(row).unwrap();
        let file = format!("{figure}/{benchmark}-{metric}.csv");
        let logged = match metric.as_str() {
            "accuracy" => format!("val/test_score/{benchmark}"),
            _ => format!("val_response_length/test_length_correct/{benchmark}"),
        };
        let (_, named) = columns.entry(file.clone()).or_insert((logged, vec![]));
        if !named.contains(&run) {
            named.push(run.clone());
        }
        runs.insert((figure, arm), run.clone());
        files.entry(file).or_default().entry(step.parse().unwrap()).or_default().insert(run, value);
    }
    let dir = tempfile::tempdir().unwrap();
    for (file, steps) in &files {
        let (logged, runs) = &columns[file];
        let mut csv = String::from("\"Step\"");
        for run in runs {
            csv += &["", "__MIN", "__MAX"].map(|end| format!(",\"{run} - {logged}{end}\"")).concat();
        }
        for (step, cells) in steps {
            csv += &format!("\n\"{step}\"");
            runs.iter().for_each(|run| csv += &format!(",\"{0}\",\"{0}\",\"{0}\"", cells.get(run).map_or("", |v| v)));
        }
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, csv + "\n").unwrap();
    }
    let import = wandb(&[dir.path().to_path_buf()], &BTreeMap::new()).unwrap();
    assert_eq!(import.results.trials.len(), 35);
    assert!(import.results.trials.iter().all(|trial| trial.imported));
    let overlap: Vec<&String> = import.notes.iter().filter(|note| note.contains("later segment")).collect();
    assert!(overlap.len() == 1 && overlap[0].contains("backup") && overlap[0].contains("8 points"), "{overlap:?}");
    let folder =
        |run: &str| import.results.trials.iter().find(|t| t.arm.contains(run)).unwrap().levels.get("folder").unwrap();
    assert_eq!((folder("grpo_qwen"), folder("3b_decay_long.20B")), ("motivation", "octo-vs-llama-vs-qwen"));

    let mut checked = 0;
    for row in rows(&ends) {
        let [figure, arm, benchmark, metric, window, last_step, last, mean5, max, max_step, first] =
            <[String; 11]>::try_from(row).unwrap();
        if figure == "backup" {
            continue; // The segment on its own starts in the middle; merged, it has another start.
        }
        let run = &runs[&(figure.clone(), arm)];
        let window: u64 = window.parse().unwrap();
        // A figure may hold fewer rows of a run than another export of it: its own steps count.
        let own = &files[&format!("{figure}/{benchmark}-{metric}.csv")];
        let points: Vec<(u64, f64)> = import
            .results
            .curves
            .iter()
            .filter(|p| p.arm == *run && p.benchmark == benchmark && p.metric == metric && p.step <= window)
            .filter(|p| own.get(&p.step).is_some_and(|cells| cells.contains_key(run)))
            .map(|p| (p.step, p.value))
            .collect();
        let near = |found: f64, said: &str| {
            let said: f64 = said.parse().unwrap();
            assert!(
                (found - said).abs() <= 1e-6 * said.abs().max(1.0),
                "{figure} {run} {benchmark} {metric}: {found}, {said}"
            );
        };
        let tail = &points[points.len().saturating_sub(5)..];
        let best = points.iter().fold((0, f64::NEG_INFINITY), |best, p| if p.1 > best.1 { *p } else { best });
        assert_eq!((points.last().unwrap().0.to_string(), best.0.to_string()), (last_step, max_step));
        near(points.last().unwrap().1, &last);
        near(tail.iter().map(|p| p.1).sum::<f64>() / tail.len() as f64, &mean5);
        near(best.1, &max);
        if !first.is_empty() {
            near(points[0].1, &first);
        }
        checked += 1;
    }
    assert!(checked > 250, "{checked}");
}
