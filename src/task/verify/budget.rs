//! The limits, in one place: what is beyond them is given up on, never waited for.
//!
//! Steps are counted, not timed, so that a verdict is the same on every machine. Nothing here is an option: two users
//! with different limits would have different benchmarks.

/// Longest answer that is read, in bytes. Longer ones are only compared as spellings.
pub const MAX_BYTES: usize = 16 << 10;
/// Most tokens in an answer.
pub const MAX_TOKENS: usize = 4096;
/// Deepest nesting of the parser, about three levels a group.
pub const MAX_DEPTH: usize = 192;
/// Most nodes in the trees of one comparison.
pub const MAX_NODES: usize = 16384;
/// Most decimal digits in a numeral, and the largest decimal exponent.
pub const MAX_DIGITS: usize = 4096;
/// Most bits in the numerator or denominator of an exact value.
pub const MAX_BITS: u64 = 16384;
/// Most values in a list or set, or entries in a matrix.
pub const MAX_ITEMS: usize = 256;
/// Steps of one comparison; an operation costs one, and more with the size of its numbers.
pub const MAX_STEPS: u64 = 400_000;

/// Why a value or a tree could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A limit of this module.
    Budget,
    /// No such value: a division by zero, a logarithm of zero.
    Undefined,
    /// Outside of what is evaluated.
    Unsupported,
    /// The ball is too wide to decide.
    Precision,
    /// Not in the grammar.
    Syntax,
}

/// Counts steps down.
#[derive(Debug)]
pub struct Meter(u64);

impl Default for Meter {
    /// A full one.
    fn default() -> Meter {
        Meter(MAX_STEPS)
    }
}

impl Meter {
    /// Pays for an operation on numbers of `bits` bits.
    pub fn pay(&mut self, bits: u64) -> Result<(), Stop> {
        let limbs = bits / 64;
        self.spend(1 + limbs * limbs / 16)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    pub fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Stop::Budget)
            }
        }
    }
}
