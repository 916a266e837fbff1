//! Solutions that the maths world writes, through the template and the extractor that ask for them.

use ablate::data::world;
use ablate::recipe::corpus::{Qa, Solution, Style, WorldCorpus};
use ablate::recipe::template::{Extract, Template};
use ablate::recipe::{Tokens, World};
use ablate::task::{Verdict, judge, render};

fn solutions(format: Solution) -> Vec<String> {
    let world = World {
        max_number: 12,
        max_change: 5,
        changes_per_event: 1,
        doubles: 0.1,
        corpus_difficulty: vec![0.4, 0.3, 0.3],
    };
    let style = Style::Qa(Qa { format, prompt: "plain".into(), wrong: 0.0, omitted: 0.0 });
    let corpus = WorldCorpus { world, tokens: Tokens(20_000), stream: 7, style };
    world::texts(&corpus).unwrap().take(200).collect()
}

#[test]
fn every_gold_solution_scores_through_its_own_template() {
    let template = Template {
        before: "question : ".into(),
        after: " answer :".into(),
        extract: Extract::LastAnswerIs,
        ..Template::default()
    };
    for format in [Solution::Short, Solution::Long { error: 0.5, ramble: 0.5, recheck: 0.0 }] {
        for text in solutions(format.clone()) {
            let question = text.strip_prefix("question : ").unwrap().split(" answer :").next().unwrap();
            let response = text.strip_prefix(&render(&template, question)).unwrap();
            let (work, stated) = response.rsplit_once("answer is ").unwrap();
            let gold = match format {
                // The last result is the answer.
                Solution::Short => work.rsplit_once("= ").unwrap().1,
                Solution::Long { .. } => stated,
            };
            let gold = gold.split_whitespace().next().unwrap();
            assert_eq!(judge(response, gold, template.extract).verdict, Verdict::Correct, "{text}");
            assert_eq!(judge(work, gold, template.extract).verdict, Verdict::NoAnswer, "{text}");
        }
    }
}
