//! One scorer for every model: base, mid-trained, before, during and after RL.
//!
//! Each benchmark is answered greedily and, if asked for, by sampling. Outcomes are kept per item, so that two models can
//! be compared item by item.

pub mod ask;
pub mod hub;
pub mod open;
pub mod paired;
pub mod passk;
pub mod responses;
pub mod scorer;
pub mod summary;
pub mod tally;

pub use open::{OpenError, Opened, open};
pub use paired::{PairedError, Pairing, pair};
pub use passk::{PassError, pass_at_k};
pub use scorer::{EvalError, evaluate};
pub use tally::{BenchmarkResult, Evaluation, Item, Row, Shares, Spread};
