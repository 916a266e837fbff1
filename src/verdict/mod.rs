//! Whether the results mean anything: estimates over seeds, paired comparisons of arms, verdicts on claims.
//!
//! A [`Claim`](ClaimInput) was fixed before the run: a metric, two sides, a direction and the smallest effect that matters.
//! [`compare()`] pairs the two sides by seed, [`judge()`] says `supported`, `refuted`, `inconclusive` (and how many seeds would
//! decide) or `not-run`. There is never a lone p-value: a verdict needs an interval *and* a size.
//!
//! Trials come as the results files hold them; claims are plain data of this module's own, so that it does not depend on how
//! experiments are written; `cli` converts. Deliberately absent: unpaired tests (arms always share seeds), ranking tables of arms (they
//! invite the winner's curse), and any statistics on imported runs, whose exports may be sampled and have no seeds.

pub mod compare;
pub mod estimate;
pub mod judge;
pub mod overlap;
pub mod peak;
pub mod student;

pub use crate::exec::results::{CurvePoint, Outcome, Results, Trial};
pub use compare::{Comparison, Side, compare};
pub use estimate::Estimate;
pub use judge::{ClaimInput, Direction, Judged, Verdict, judge, judge_all};
pub use overlap::{Overlap, overlaps};
pub use peak::add_peaks;
