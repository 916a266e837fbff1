//! Amounts, shares, choices, names: values that are none.

use super::mistakes;
use insta::assert_snapshot;

#[test]
fn amounts_carry_their_unit() {
    assert_snapshot!(mistakes("20B tokens", "20B"), @r#"
    error: `20B` has no unit
      --> exp.yaml:7:15
      |
    7 |       budget: 20B
      |               ^^^
    hint: write `20B tokens`
    "#);
}

#[test]
fn an_amount_that_is_none() {
    assert_snapshot!(mistakes("20B tokens", "20 gigatokens"), @r#"
    error: `20 gigatokens` is not an amount of tokens
      --> exp.yaml:7:15
      |
    7 |       budget: 20 gigatokens
      |               ^^^^^^^^^^^^^
    hint: a number and k, M, B or T, like `20B tokens`
    "#);
}

#[test]
fn an_amount_has_a_largest_and_a_least() {
    assert_snapshot!(mistakes("20B tokens", "2000000T tokens"), @r#"
    error: `2000000T tokens` is too large: an amount stays below 1000000T tokens
      --> exp.yaml:7:15
      |
    7 |       budget: 2000000T tokens
      |               ^^^^^^^^^^^^^^^
    hint: a number and k, M, B or T, like `20B tokens`
    "#);
    assert_snapshot!(mistakes("20B tokens", "1e999 tokens"), @r#"
    error: `1e999 tokens` is too large: an amount stays below 1000000T tokens
      --> exp.yaml:7:15
      |
    7 |       budget: 1e999 tokens
      |               ^^^^^^^^^^^^
    hint: a number and k, M, B or T, like `20B tokens`
    "#);
    assert_snapshot!(mistakes("20B tokens", "-20B tokens"), @r#"
    error: an amount of tokens is at least 1, found `-20B tokens`
      --> exp.yaml:7:15
      |
    7 |       budget: -20B tokens
      |               ^^^^^^^^^^^
    hint: a number and k, M, B or T, like `20B tokens`
    "#);
    assert_snapshot!(mistakes("20B tokens", "1.5 tokens"), @r#"
    error: `1.5 tokens` is not a whole number of tokens
      --> exp.yaml:7:15
      |
    7 |       budget: 1.5 tokens
      |               ^^^^^^^^^^
    hint: a number and k, M, B or T, like `20B tokens`
    "#);
}

#[test]
fn a_count_says_from_where_it_counts() {
    assert_snapshot!(mistakes("max_response: 4096 tokens", "max_response: 4096 tokens, steps: -200"), @r#"
    error: expected a whole number from 1 on, found `-200`
      --> exp.yaml:9:78
      |
    9 |   rl: { prompts: math8k, template: simple, max_response: 4096 tokens, steps: -200 }
      |                                                                              ^^^^
    "#);
    assert_snapshot!(mistakes("claims:", "seeds: -1\nclaims:"), @r#"
    error: expected a whole number from 1 on, found `-1`
       --> exp.yaml:18:8
       |
    18 | seeds: -1
       |        ^^
    "#);
    assert_snapshot!(mistakes("claims:", "seeds: [99999999999999999999]\nclaims:"), @r#"
    error: expected a whole number from 0 to 9007199254740992, found `99999999999999999999`
       --> exp.yaml:18:9
       |
    18 | seeds: [99999999999999999999]
       |         ^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_mixture_names_its_level_its_sum_and_the_share_that_is_off() {
    assert_snapshot!(mistakes("web: 90%, openr1: 10%", "web: 85%, openr1: 10%"), @r#"
    error: mixture of level `long` sums to 0.95, not 1
       --> exp.yaml:14:41
       |
    14 |     long: { midtrain: { web: { mixture: { web: 85%, openr1: 10% } } } }
       |                                         ^
    hint: the others give `web` 0.9, this one 0.85
    "#);
}

#[test]
fn the_mixture_of_the_base_sums_to_one_too() {
    assert_snapshot!(mistakes("web: 90%, qa: 10%", "web: 90%, qa: 20%"), @r#"
    error: mixture of `base` sums to 1.1, not 1
      --> exp.yaml:6:16
      |
    6 |       mixture: { web: 90%, qa: 20% }
      |                ^
    "#);
}

#[test]
fn percent_signs_are_not_optional() {
    assert_snapshot!(mistakes("web: 90%, openr1: 10%", "web: 90, openr1: 10"), @r#"
    error: a share lies between 0% and 100%, found `90`
       --> exp.yaml:14:48
       |
    14 |     long: { midtrain: { web: { mixture: { web: 90, openr1: 10 } } } }
       |                                                ^^
    hint: did you mean `90%`?

    error: a share lies between 0% and 100%, found `10`
       --> exp.yaml:14:60
       |
    14 |     long: { midtrain: { web: { mixture: { web: 90, openr1: 10 } } } }
       |                                                            ^^
    hint: did you mean `10%`?
    "#);
}

#[test]
fn nan_is_no_number() {
    assert_snapshot!(mistakes("smallest_effect: 0.05", "smallest_effect: .nan"), @r#"
    error: expected a number, found `.nan`
       --> exp.yaml:25:22
       |
    25 |     smallest_effect: .nan
       |                      ^^^^
    "#);
}

#[test]
fn nan_is_no_share() {
    assert_snapshot!(mistakes("qa: 10%", "qa: nan"), @r#"
    error: expected a share such as `90%` or `0.9`, found `nan`
      --> exp.yaml:6:32
      |
    6 |       mixture: { web: 90%, qa: nan }
      |                                ^^^
    "#);
}

#[test]
fn effects_are_above_zero() {
    assert_snapshot!(mistakes("smallest_effect: 0.05", "smallest_effect: -1"), @r#"
    error: expected a number above 0, found `-1`
       --> exp.yaml:25:22
       |
    25 |     smallest_effect: -1
       |                      ^^
    "#);
}

#[test]
fn choices_are_listed() {
    assert_snapshot!(mistakes("direction: greater", "direction: bigger"), @r#"
    error: expected one of `greater`, `less`, `same`, found `bigger`
       --> exp.yaml:24:16
       |
    24 |     direction: bigger
       |                ^^^^^^
    "#);
}

#[test]
fn a_near_choice_is_suggested() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: cosin"), @r#"
    error: expected one of `cosine`, `constant`, `decay`, `warmup-stable-decay`, found `cosin`
      --> exp.yaml:8:17
      |
    8 |       schedule: cosin
      |                 ^^^^^
    hint: did you mean `cosine`?
    "#);
}

#[test]
fn warm_up_and_decay_fit_into_the_phase() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: { warmup-stable-decay: { warmup: 50%, decay: 60% } }"), @r#"
    error: warm-up and decay take more than the whole phase: 0.5 + 0.6
      --> exp.yaml:8:40
      |
    8 |       schedule: { warmup-stable-decay: { warmup: 50%, decay: 60% } }
      |                                        ^
    "#);
}

#[test]
fn schedules_have_known_settings() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: { cosine: { flor: 10% } }"), @r#"
    error: unknown key `flor` in schedule `cosine`
      --> exp.yaml:8:29
      |
    8 |       schedule: { cosine: { flor: 10% } }
      |                             ^^^^
    hint: did you mean `floor`?
    "#);
}

#[test]
fn a_length_schedule_starts_at_zero_and_rises() {
    assert_snapshot!(mistakes("max_response: 4096 tokens", "max_response: { 10: 4096 tokens, 5: 1k tokens }"), @r#"
    error: a length schedule starts at step 0, and its steps rise
      --> exp.yaml:9:60
      |
    9 |   rl: { prompts: math8k, template: simple, max_response: { 10: 4096 tokens, 5: 1k tokens } }
      |                                                            ^^

    error: a length schedule starts at step 0, and its steps rise
      --> exp.yaml:9:77
      |
    9 |   rl: { prompts: math8k, template: simple, max_response: { 10: 4096 tokens, 5: 1k tokens } }
      |                                                                             ^
    "#);
}

#[test]
fn names_are_fit_for_files_and_ids() {
    assert_snapshot!(mistakes("    long:", "    long, really:"), @r#"
    error: `long, really` can't be a name: a to z, A to Z, digits, `_`, `+`, and `.` and `-` (not first) only, at most 64
       --> exp.yaml:14:5
       |
    14 |     long, really: { midtrain: { web: { mixture: { web: 90%, openr1: 10% } } } }
       |     ^^^^^^^^^^^^

    error: `a` of claim `c` names a level that axis `corpus` does not have: `long`
       --> exp.yaml:22:18
       |
    22 |     a: { corpus: long }
       |                  ^^^^
    hint: only `short`
    "#);
}

#[test]
fn seeds_are_distinct() {
    assert_snapshot!(mistakes("claims:", "seeds: [1, 1]\nclaims:"), @r#"
    error: seed 1 is listed twice
       --> exp.yaml:18:12
       |
    18 | seeds: [1, 1]
       |            ^
    "#);
}

#[test]
fn a_share_of_zero_is_left_out() {
    assert_snapshot!(mistakes("web: 90%, openr1: 10%", "web: 100%, openr1: 0%"), @r#"
    error: corpus `openr1` has a share of 0
       --> exp.yaml:14:62
       |
    14 |     long: { midtrain: { web: { mixture: { web: 100%, openr1: 0% } } } }
       |                                                              ^^
    hint: leave the corpus out
    "#);
}
