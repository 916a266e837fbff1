#![no_main]

#[path = "../entries.rs"]
#[allow(dead_code)]
mod entries;

// Panics of the `tokenizers` crate are caught by the reader; libFuzzer's hook would end the run at them before they are.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |data: &[u8]| entries::tokenizer(data));
