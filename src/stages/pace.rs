//! When a stage saves: now and then, and never so often that saving is what it mostly does.
//!
//! Every twenty seconds suits a small model. A state of SmolLM2-135M is 1.6 GB to write, digest and sync, which took a third
//! of the time at that pace; so the next save waits for twenty times as long as the last one took.

use std::time::{Duration, Instant};

/// Share of the time that saving may take, as one in so many.
const ONE_IN: u32 = 20;

pub struct Pace {
    every: Duration,
    wait: Duration,
    last: Instant,
}

impl Pace {
    /// At most every `every`; at every chance if that is no time at all, as in test builds.
    pub fn new(every: Duration) -> Pace {
        Pace { every, wait: every, last: Instant::now() }
    }

    pub fn due(&self) -> bool {
        self.last.elapsed() > self.wait
    }

    /// Runs a save and takes its time.
    pub fn save<E>(&mut self, save: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let begun = Instant::now();
        save()?;
        self.last = Instant::now();
        if !self.every.is_zero() {
            self.wait = self.every.max(begun.elapsed() * ONE_IN);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_save_is_a_rare_one() {
        let mut pace = Pace::new(Duration::from_micros(1));
        pace.save(|| Ok::<(), ()>(())).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(pace.due());
        pace.save(|| {
            std::thread::sleep(Duration::from_millis(20));
            Ok::<(), ()>(())
        })
        .unwrap();
        assert!(pace.wait >= Duration::from_millis(400) && !pace.due());
    }
}
