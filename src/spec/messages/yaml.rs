//! Files that are no YAML, or not the maps and lists that they should be.

use super::{mistakes, report};
use insta::assert_snapshot;

#[test]
fn a_key_given_twice_is_refused() {
    assert_snapshot!(mistakes("  family: llama\n  mid", "  family: llama\n  family: qwen\n  mid"), @r#"
    error: `family` is given twice
      --> exp.yaml:4:3
      |
    4 |   family: qwen
      |   ^^^^^^
    hint: first on line 3
    "#);
}

#[test]
fn a_map_is_no_list_of_names() {
    assert_snapshot!(mistakes("benchmarks: [gsm8k, math500]", "benchmarks: { a: b }"), @r#"
    error: expected a name, found a map
       --> exp.yaml:10:15
       |
    10 |   benchmarks: { a: b }
       |               ^
    "#);
}

#[test]
fn text_is_no_map() {
    assert_snapshot!(mistakes("  rl: { prompts: math8k, template: simple, max_response: 4096 tokens }", "  rl: yes"), @r#"
    error: `rl` of `base` is a map of names to values, found `yes`
      --> exp.yaml:9:7
      |
    9 |   rl: yes
      |       ^^^
    "#);
}

#[test]
fn tabs_do_not_indent() {
    assert_snapshot!(mistakes("  family: llama\n  mid", "\tfamily: llama\n  mid"), @r#"
    error: this is not YAML: tabs disallowed within this context (block indentation)
      --> exp.yaml:3:2
      |
    3 |  family: llama
      |  ^
    hint: indent with spaces
    "#);
}

#[test]
fn tags_are_refused() {
    assert_snapshot!(mistakes("family: qwen", "family: !!str qwen"), @r#"
    error: tags (`!…`) mean nothing here
       --> exp.yaml:17:27
       |
    17 |     qwen: { family: !!str qwen }
       |                           ^^^^
    hint: write the value alone
    "#);
}

#[test]
fn a_merge_takes_a_map() {
    assert_snapshot!(mistakes("schedule: cosine", "<<: 3\n      schedule: cosine"), @r#"
    error: `<<` takes a map, or a list of maps
      --> exp.yaml:8:11
      |
    8 |       <<: 3
      |           ^
    "#);
}

#[test]
fn an_alias_needs_its_anchor() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: *nope"), @r#"
    error: this is not YAML: while parsing node, found unknown anchor
      --> exp.yaml:8:17
      |
    8 |       schedule: *nope
      |                 ^
    hint: `*name` repeats what stands behind `&name` further up; text that begins so takes quotes
    "#);
}

#[test]
fn an_empty_file_says_so() {
    assert_snapshot!(report(""), @r#"
    error: the file is empty
      --> exp.yaml:1:1
    hint: `ablate schema` says what an experiment holds, `ablate schema lab` what a lab
    "#);
}

#[test]
fn a_colon_stands_behind_every_key() {
    assert_snapshot!(mistakes("question: Why?", "question Why?"), @r#"
    error: this is not YAML: mapping values are not allowed in this context
      --> exp.yaml:2:5
      |
    2 | base:
      |     ^
    hint: is a `:` missing here or in the line above? `key: value` has a space behind the colon
    "#);
    assert_snapshot!(mistakes("base:", "base"), @r#"
    error: this is not YAML: simple key expected ':'
      --> exp.yaml:2:1
      |
    2 | base
      | ^
    hint: is a `:` missing here or in the line above? `key: value` has a space behind the colon
    "#);
}

#[test]
fn what_is_opened_is_closed() {
    assert_snapshot!(mistakes("qa: 10% }", "qa: 10% ]"), @r#"
    error: this is not YAML: mismatched bracket '{' closed by ']'
      --> exp.yaml:6:16
      |
    6 |       mixture: { web: 90%, qa: 10% ]
      |                ^
    hint: close `{` with `}` and `[` with `]`; a comma stands between two entries
    "#);
}

#[test]
fn a_file_holds_one_document() {
    assert_snapshot!(mistakes("claims:", "---\nclaims:"), @r#"
    error: a second document begins here; a file holds one
       --> exp.yaml:18:1
       |
    18 | ---
       | ^^^
    "#);
}

#[test]
fn an_experiment_is_a_map() {
    assert_snapshot!(report("hello"), @r#"
    error: the experiment is a map of names to values, found `hello`
      --> exp.yaml:1:1
      |
    1 | hello
      | ^^^^^
    "#);
}

#[test]
fn aliases_cannot_explode() {
    let line = |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(","));
    let bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_string() + &(1..12).map(line).collect::<String>();
    assert_snapshot!(report(&bomb), @r#"
    error: aliases unfold into more than 20000 values, or too deep
      --> exp.yaml:5:14
      |
    5 | a4: &a4 [*a3,*a3,*a3,*a3,*a3,*a3,*a3,*a3,*a3]
      |              ^^^
    "#);
}

#[test]
fn nesting_has_an_end() {
    let deep: String = (0..400).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert_snapshot!(report(&deep), @r#"
    error: values are nested more than 32 deep
       --> exp.yaml:32:32
       |
    32 |                                a:
       |                                ^
    "#);
    assert!(report(&("a: ".to_string() + &"[".repeat(5000))).contains("recursion limit"));
}

#[test]
fn an_alias_cannot_hold_itself() {
    assert_snapshot!(report("a: &a [*a]"), @r#"
    error: this alias stands inside the value that it names
      --> exp.yaml:1:8
      |
    1 | a: &a [*a]
      |        ^^
    "#);
}
