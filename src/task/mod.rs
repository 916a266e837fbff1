//! Questions with checkable answers: the text around them, the answer in a response, and whether it is right.
//!
//! RL rewards and evaluation scores come from the same functions, so a number measured by one can never mean something
//! else in the other. Nothing here knows a tensor or a tokenizer: responses are text.

pub mod extract;
pub mod grader;
pub mod judge;
pub mod problem;
pub mod score;
pub mod suite;
pub mod template;
pub mod verdict;
pub mod verify;

pub use extract::extract;
pub use grader::Grader;
pub use judge::{Judgement, judge};
pub use problem::Problem;
pub use suite::Suite;
pub use template::{Ending, Response, render, respond};
pub use verdict::Verdict;
