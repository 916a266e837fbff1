//! Talk: words on standard error, which nobody needs in order to go on.
//!
//! The standard macros panic where words can't be written. But the terminal may have been closed, the reader of a pipe may
//! have died of the same Ctrl-C (`… 2>&1 | tee log`), the disk of a log may be full: a run goes on, and saves, in silence.

use std::fmt::Arguments;
use std::io::Write;

/// A line of talk, written as one: several threads talk.
macro_rules! tell {
    ($($words:tt)*) => {
        $crate::cli::talk::write(format_args!($($words)*), "\n")
    };
}

/// Whether the words were heard changes nothing.
pub fn write(words: Arguments, end: &str) {
    let _ = std::io::stderr().write_all(format!("{words}{end}").as_bytes());
}
