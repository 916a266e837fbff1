//! From recipes to rows of tokens: tokenizer, generated maths world, shards on disk, and the mix that a training run reads.
//!
//! Everything here is integer arithmetic on addressed random streams, so a corpus is the same bytes on every machine.
//! Rows are packed from whole corpora; nothing is padded.

#[cfg(feature = "engine")]
mod charsmap;
pub mod contamination;
#[cfg(feature = "engine")]
mod gguf_tokenizer;
pub mod guard;
#[cfg(feature = "engine")]
pub mod hf_tokenizer;
#[cfg(feature = "engine")]
pub mod mix;
#[cfg(feature = "engine")]
pub mod shards;
pub mod source;
#[cfg(feature = "engine")]
pub mod special_tokens;
#[cfg(feature = "engine")]
pub mod tokenise;
pub mod tokenizer;
pub mod world;

#[cfg(feature = "engine")]
pub use hf_tokenizer::{HfTokenizer, HfTokenizerError};
#[cfg(feature = "engine")]
pub use mix::{Mix, MixError, RowBatch};
#[cfg(feature = "engine")]
pub use shards::{ShardWriter, Shards, ShardsError, Written};
pub use source::{Document, Source, SourceError, digest};
#[cfg(feature = "engine")]
pub use tokenise::{Progress, TokeniseError, Tokenised, Tokenising, tokenise};
pub use tokenizer::{Tokenizer, TokenizerError, WordTokenizer};
