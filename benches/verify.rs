//! Time a pair takes to judge: `cargo bench --bench verify`.

use ablate::recipe::template::Extract;
use ablate::task::extract;
use ablate::task::verify::equal;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let text = include_str!("../tests/vectors/verify.jsonl");
    let pairs: Vec<(String, String)> = text
        .lines()
        .map(|line| {
            let v: serde_json::Value = serde_json::from_str(line).expect("the vectors are JSON");
            let field = |name: &str| v[name].as_str().unwrap_or_default().to_owned();
            (field("gold"), extract(&field("response"), Extract::FinalAnswer).unwrap_or_default().to_owned())
        })
        .collect();
    let hard = [
        ("\\sin 2x", "2\\sin x\\cos x"),
        ("\\sqrt{5+2\\sqrt6}", "\\sqrt2+\\sqrt3"),
        ("(x+1)^{10}", "(x^2+2x+1)^5"),
        ("5^(5^(5^(5^5)))", "1"),
    ];
    // The fastest of some runs of each pair, so that the machine's other work does not count.
    let time = |gold: &str, answer: &str| {
        (0..15)
            .map(|_| {
                let start = Instant::now();
                black_box(equal(black_box(gold), black_box(answer)));
                start.elapsed().as_nanos() as u64
            })
            .min()
            .unwrap_or(0)
    };
    let mut nanos: Vec<u64> = pairs.iter().map(|(gold, answer)| time(gold, answer)).collect();
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!(
        "{} pairs: median {:.2} µs, 90 % {:.2}, 99 % {:.2}, slowest {:.2}",
        nanos.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    for (gold, answer) in hard {
        println!("{:.1} µs  {gold} | {answer}", time(gold, answer) as f64 / 1e3);
    }
}
