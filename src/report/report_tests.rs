use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::report::fixture::experiment;
use crate::report::guide::Guide;
use crate::report::scene::{Role, Shape};
use crate::report::{ExperimentInput, overview, render, write};

fn rendered(input: &ExperimentInput) -> (tempfile::TempDir, BTreeMap<PathBuf, Vec<u8>>) {
    let out = tempfile::tempdir().unwrap();
    write(input, &render(input), out.path()).unwrap();
    overview::write(out.path(), &Guide::default(), &[]).unwrap();
    let files = walkdir::WalkDir::new(out.path()).into_iter().flatten().filter(|e| e.file_type().is_file());
    let files = files
        .map(|e| (e.path().strip_prefix(out.path()).unwrap().to_path_buf(), fs::read(e.path()).unwrap()))
        .collect();
    (out, files)
}

fn text(files: &BTreeMap<PathBuf, Vec<u8>>, name: &str) -> String {
    String::from_utf8(files[Path::new(name)].clone()).unwrap()
}

#[test]
fn the_folder_is_that_of_the_contract_and_rendering_twice_gives_the_same_bytes() {
    let input = experiment(1, 4, 2, 2);
    let (_, files) = rendered(&input);
    let names: Vec<String> = files.keys().map(|p| p.display().to_string()).collect();
    for name in
        ["README.md", "index.html", "verdicts.json", "figures/curves.svg", "figures/claims.png", "tables/gain.csv"]
    {
        assert!(names.contains(&format!("corpus/proxy/{name}")), "{name} in {names:?}");
    }
    assert!(names.contains(&"index.html".to_string()) && names.contains(&"README.md".to_string()));
    assert_eq!(files, rendered(&input).1);
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let (_, files) = rendered(&experiment(1, 3, 2, 1));
    let page = text(&files, "corpus/proxy/index.html");
    for outside in ["http://", "https://", "src=\"", "<link", "@import", "url(/", "fetch("] {
        let found = page.replace("http://www.w3.org/2000/svg", "").matches(outside).count();
        assert_eq!(found, 0, "{outside}");
    }
    let json = page.split("type=\"application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(data["arms"].as_object().unwrap().len(), 3);
    assert!(!data["tables"]["curves"]["rows"].as_array().unwrap().is_empty());
}

#[test]
fn hostile_names_are_text_everywhere() {
    let hostile = "</script><script>alert('x')</script> | `a` [b](c) & \"q\"";
    let mut input = experiment(1, 3, 2, 1);
    let id = input.arms[1].id.clone();
    input.arms[1].label = hostile.into();
    input.arms[1].id = format!("=cmd|{hostile}");
    for trial in input.results.trials.iter_mut().filter(|t| t.arm == id) {
        trial.arm = format!("=cmd|{hostile}");
    }
    for point in input.results.curves.iter_mut().filter(|p| p.arm == id) {
        point.arm = format!("=cmd|{hostile}");
    }
    for row in input.mixtures.iter_mut().filter(|r| r.arm == id) {
        (row.arm, row.corpus) = (format!("=cmd|{hostile}"), hostile.into());
    }
    input.question = hostile.into();
    input.methods = hostile.into();
    input.claims[0].statement = hostile.into();
    input.claims[0].paper = serde_json::json!({"verdict": hostile, "source": hostile});
    let (_, files) = rendered(&input);
    for (path, bytes) in &files {
        let Ok(text) = String::from_utf8(bytes.clone()) else { continue };
        let name = path.display().to_string();
        match path.extension().and_then(|e| e.to_str()) {
            Some("html" | "svg") => {
                assert!(!text.contains("<script>alert"), "{name}");
                // The page's own two scripts, and nobody else's.
                let own = if name == "corpus/proxy/index.html" { 2 } else { 0 };
                assert_eq!(text.matches("</script>").count(), own, "{name}");
            }
            Some("md") => {
                assert!(!text.contains("<script"), "{name}");
                assert!(!text.contains("[b](c)"), "{name}");
            }
            Some("csv") => {
                let mut reader = csv::Reader::from_reader(text.as_bytes());
                for record in reader.records() {
                    assert!(!record.unwrap().iter().any(|cell| cell.starts_with('=')), "{name}");
                }
            }
            _ => {}
        }
    }
    // Every row of a table has the columns of its head, however its cells are called.
    let readme = text(&files, "corpus/proxy/README.md");
    let lines: Vec<&str> = readme.lines().collect();
    for table in lines.chunk_by(|a, b| a.starts_with('|') && b.starts_with('|')).filter(|t| t[0].starts_with('|')) {
        let columns: Vec<usize> = table.iter().map(|line| line.replace("\\|", "").matches('|').count()).collect();
        assert!(columns.iter().all(|c| *c == columns[0]), "{columns:?} in {table:?}");
    }
}

#[test]
fn tables_hold_exactly_what_is_drawn() {
    let input = experiment(1, 4, 3, 2);
    let report = render(&input);
    let curves = report.figures.iter().find(|f| f.id == "curves").unwrap();
    // One row per point of a curve, and per base line.
    let row_count = |step: bool| curves.table.rows.iter().filter(|r| (r[4] == "before RL") != step).count();
    let drawn: usize = curves
        .scene
        .items
        .iter()
        .filter(|i| i.role == Role::Curve)
        .map(|i| if let Shape::Line { points, .. } = &i.shape { points.len() } else { 0 })
        .sum();
    // Thick and thin stretches of a line share the point where they meet.
    let stretches = curves.scene.items.iter().filter(|i| i.role == Role::Curve).count();
    let lines: std::collections::BTreeSet<_> =
        curves.scene.items.iter().filter(|i| i.role == Role::Curve).map(|i| (i.series, i.panel)).collect();
    assert_eq!(drawn - (stretches - lines.len()), row_count(true));
    assert_eq!(row_count(false), 4 * 2, "arms times benchmarks");
    // And the mean of the table is the mean of the results.
    let row = curves.table.rows.iter().find(|r| r[0] == input.arms[2].id && r[2] == "gsm8k" && r[4] == "40").unwrap();
    let values: Vec<f64> = input
        .results
        .curves
        .iter()
        .filter(|p| {
            (p.arm.as_str(), p.benchmark.as_str(), p.metric.as_str(), p.step)
                == (row[0].as_str(), "gsm8k", "accuracy", 40)
        })
        .map(|p| p.value)
        .collect();
    assert_eq!(row[5].parse::<f64>().unwrap(), values.iter().sum::<f64>() / 3.0);
    assert_eq!(row[8], "3");
}

#[test]
fn an_arm_keeps_its_colour_in_every_figure() {
    let input = experiment(1, 4, 2, 2);
    let looks = crate::report::palette::looks(&input.arms);
    for figure in render(&input).figures {
        for item in &figure.scene.items {
            let (Some(series), Shape::Line { color, .. }) = (item.series, &item.shape) else { continue };
            assert!(*color == looks[series].color || *color == looks[series].color.ink(), "{}", figure.id);
        }
    }
}

#[test]
fn nothing_is_drawn_outside_the_picture() {
    for (families, arms, seeds, benchmarks) in [(2, 8, 3, 4), (1, 2, 1, 1), (1, 8, 2, 3)] {
        for figure in render(&experiment(families, arms, seeds, benchmarks)).figures {
            let (w, h) = (figure.scene.width + 0.01, figure.scene.height + 0.01);
            for item in &figure.scene.items {
                let points: Vec<(f64, f64)> = match &item.shape {
                    Shape::Line { points, .. } | Shape::Area { points, .. } => points.clone(),
                    Shape::Circle { x, y, r, .. } => vec![(x - r, y - r), (x + r, y + r)],
                    Shape::Text { x, y, text, size, weight, anchor, .. } => {
                        let width = crate::report::font::width(text, *size, *weight);
                        let left = match anchor {
                            crate::report::scene::Anchor::Start => *x,
                            crate::report::scene::Anchor::Middle => x - width / 2.0,
                            crate::report::scene::Anchor::End => x - width,
                        };
                        vec![(left, y - size * 0.75), (left + width, y + size * 0.2)]
                    }
                };
                for (x, y) in points {
                    let inside = (-0.01..=w).contains(&x) && (-0.01..=h).contains(&y);
                    assert!(inside, "{}: {:?} at {x}, {y} of {w} × {h}", figure.id, item.shape);
                }
            }
        }
    }
}

#[test]
fn an_experiment_without_results_says_so_and_draws_its_claims() {
    let mut input = experiment(1, 3, 2, 1);
    input.results = Default::default();
    let (_, files) = rendered(&input);
    let readme = text(&files, "corpus/proxy/README.md");
    assert!(readme.contains("Nothing has been run yet.") && readme.contains("**not run**"));
    assert!(!files.contains_key(Path::new("corpus/proxy/figures/curves.svg")));
}

#[test]
fn imported_runs_are_drawn_without_intervals() {
    let mut input = experiment(1, 3, 2, 1);
    input.results.trials.iter_mut().for_each(|t| t.imported = true);
    let report = render(&input);
    let table = &report.figures.iter().find(|f| f.id == "final-accuracy").unwrap().table;
    assert!(table.rows.iter().all(|r| r[5].is_empty() && r[6].is_empty()));
    assert!(report.verdicts.as_array().unwrap().iter().all(|v| v["low"].is_null() && v["verdict"] != "supported"));
    let (_, files) = rendered(&input);
    assert!(text(&files, "corpus/proxy/README.md").contains("nothing is tested on them"));
}

#[test]
fn pictures_of_an_earlier_rendering_are_removed_and_other_files_kept() {
    let input = experiment(1, 3, 2, 1);
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().join("corpus/proxy/figures");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("old.svg"), "").unwrap();
    fs::write(dir.join("notes.txt"), "").unwrap();
    write(&input, &render(&input), out.path()).unwrap();
    assert!(!dir.join("old.svg").exists() && dir.join("notes.txt").exists());
}

#[test]
fn the_overview_lists_every_report_in_the_folder() {
    let mut input = experiment(1, 3, 3, 1);
    let out = tempfile::tempdir().unwrap();
    write(&input, &render(&input), out.path()).unwrap();
    (input.name, input.lab) = ("budget".into(), "study".into());
    write(&input, &render(&input), out.path()).unwrap();
    overview::write(out.path(), &Guide::default(), &[]).unwrap();
    let readme = fs::read_to_string(out.path().join("README.md")).unwrap();
    let index = fs::read_to_string(out.path().join("index.html")).unwrap();
    for text in [&readme, &index] {
        assert!(text.contains("budget · study") && text.contains("corpus · proxy") && text.contains("supported"));
    }
    assert!(readme.contains("(budget/study/README.md)") && index.contains("href=\"budget/study/index.html\""));
}

#[test]
fn names_that_would_leave_the_folder_are_refused() {
    for name in ["..", "a/b", ""] {
        let mut input = experiment(1, 2, 1, 1);
        input.lab = name.into();
        let out = tempfile::tempdir().unwrap();
        assert!(write(&input, &render(&input), out.path()).unwrap_err().to_string().contains("failed to name"));
    }
}

#[test]
fn the_way_from_a_figure_of_the_paper_to_our_verdict_is_two_clicks() {
    let mut input = experiment(1, 3, 3, 1);
    input.place.file = Some("../experiments/corpus.yaml".into());
    input.place.results = Some("../results/corpus/proxy".into());
    input.place.figure = "2 and 5".into();
    let out = tempfile::tempdir().unwrap();
    write(&input, &render(&input), out.path()).unwrap();
    let guide = Guide::parse(
        "title: <b>t</b>\nsource: s\nfindings:\n  - { finding: f <script>alert(1)</script>, paper: p, claims: [corpus/web-quality, corpus/gone] }\n\
         exhibits:\n  - { exhibit: Figure 5, shows: corpora }\n  - { exhibit: Figure 15, shows: a prompt, note: nothing to run }\n",
    )
    .unwrap();
    overview::write(out.path(), &guide, &[]).unwrap();
    let index = fs::read_to_string(out.path().join("index.html")).unwrap();
    let readme = fs::read_to_string(out.path().join("README.md")).unwrap();
    for (page, report) in [(&index, "corpus/proxy/index.html"), (&readme, "corpus/proxy/README.md")] {
        for part in
            ["Figure 5", "Figure 2", "../experiments/corpus.yaml", "../results/corpus/proxy/trials.jsonl", report]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(page.contains("nothing to run") && page.contains("of 2 claims supported"));
        assert!(!page.contains("<script") && !page.contains("<b>t</b>"));
    }
    // The claim's effect stands in its row, and the picture of all findings is there for readers without a browser.
    assert!(index.contains("class=\"spark\"><svg") && out.path().join("findings.png").exists());
    assert!(readme.contains("](findings.png)"));
}

#[test]
fn imported_runs_of_the_same_name_are_drawn_beside_ours_and_kept_apart() {
    let mut input = experiment(1, 3, 2, 2);
    input.authors = experiment(1, 2, 1, 2).results;
    input.authors.trials.iter_mut().for_each(|t| t.imported = true);
    let report = render(&input);
    let ids: Vec<&str> = report.figures.iter().map(|f| f.id).collect();
    let (ours, theirs) =
        (ids.iter().position(|id| *id == "curves"), ids.iter().position(|id| *id == "imported-curves"));
    assert_eq!(theirs, ours.map(|at| at + 1));
    let figure = &report.figures[theirs.unwrap()];
    assert!(figure.scene.items.iter().filter_map(|i| i.series).all(|series| series >= crate::report::panels::IMPORTED));
    assert!(figure.caption.contains("never tested"));
    // What is judged is ours alone.
    input.authors = Default::default();
    assert_eq!(render(&input).verdicts, report.verdicts);
}

#[test]
fn long_curves_are_thinned_in_the_drawing_and_keep_their_ends() {
    let mut input = experiment(1, 2, 1, 1);
    let arm = input.arms[0].id.clone();
    let template = input.results.curves.iter().find(|p| p.arm == arm && p.metric == "accuracy").unwrap().clone();
    input.results.curves.retain(|p| p.arm != arm);
    for step in 0..1000u64 {
        input.results.curves.push(crate::verdict::CurvePoint { step, value: step as f64 / 1000.0, ..template.clone() });
    }
    let report = render(&input);
    let table = &report.figures.iter().find(|f| f.id == "curves").unwrap().table;
    let steps: Vec<&str> = table
        .rows
        .iter()
        .filter(|r| r[0] == arm && r[3] == "accuracy" && r[4] != "before RL")
        .map(|r| r[4].as_str())
        .collect();
    assert!(steps.len() <= 62 && steps[0] == "0" && *steps.last().unwrap() == "999", "{}", steps.len());
}
