//! Published files, where a folder with them is named by `ABLATE_REAL_FILES`: `llama/` and `qwen/` with their
//! `tokenizer.json`, and `smollm2.gguf`. Their licences keep them out of the repository.

#![cfg(feature = "engine")]

use ablate::data::HfTokenizer;
use ablate::model::{Prompt, Sampling, generate, gguf};
use ablate::recipe::Seed;
use std::path::PathBuf;

fn file(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("ABLATE_REAL_FILES").map(|folder| PathBuf::from(folder).join(name));
    let path = path.filter(|path| path.exists());
    if path.is_none() {
        println!("skipped: ABLATE_REAL_FILES names no folder with {name}");
    }
    path
}

const TEXTS: [&str; 4] = [
    "Hello world",
    "  Let $x_{12} = 3.14159$; then\n\n\\[x^2 \\ge 0\\]\t… 1234567 naïve 数学 🦀",
    "a <|end_of_text|> that <|endoftext|> is quoted <s> </s>",
    "",
];

#[test]
fn published_tokenizers_give_the_text_back() {
    for (name, hello, begin, end) in [
        ("llama", vec![9906, 1917], Some("<|begin_of_text|>"), None),
        ("qwen", vec![9707, 1879], None, None),
        ("smollm2.gguf", vec![19556, 905], None, Some("<|im_end|>")),
    ] {
        let Some(path) = file(name) else { continue };
        let tokenizer = HfTokenizer::load(&path).unwrap();
        assert_eq!(tokenizer.encode("Hello world").unwrap(), hello, "{name}");
        assert_eq!(tokenizer.bos().map(|id| tokenizer.decode(&[id])).as_deref(), begin, "{name}");
        if let Some(end) = end {
            assert_eq!(tokenizer.decode(&[tokenizer.eos()]), end, "{name}");
        }
        for text in TEXTS {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids), text, "{name}");
            assert!(ids.iter().all(|id| *id != tokenizer.eos() && Some(*id) != tokenizer.bos()), "{name}: {text}");
        }
        println!("{name}: {} ids, end {}", tokenizer.vocab_size(), tokenizer.decode(&[tokenizer.eos()]));
    }
}

#[test]
fn a_quantised_model_still_knows_what_it_knew() {
    let Some(path) = file("smollm2.gguf") else { return };
    let tokenizer = HfTokenizer::load(&path).unwrap();
    let decoder = gguf::load(&path).unwrap();
    println!("{:?}, {} parameters", decoder.shape(), decoder.shape().parameters());
    let prompt = Prompt { ids: tokenizer.encode("The capital of France is").unwrap(), samples: 1 };
    let sampling = Sampling { temperature: 0.0, max_new: 8, eos: tokenizer.eos(), banned: vec![] };
    let draw = |_: usize, _: usize| Seed(0).stream("test").at(&[]);
    let completion = &generate(&decoder, &[prompt], &sampling, &draw, 2).unwrap()[0][0];
    let text = tokenizer.decode(&completion.tokens);
    println!("{text:?}");
    assert!(text.contains("Paris"), "{text:?}");
}
