//! Talk: words on standard error, which nobody needs in order to go on.
//!
//! Names and notes of results files are words too, and somebody else may have written them: what would command a terminal
//! is not shown, neither here nor in what goes to standard output ([`show`]).
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

/// A line of data that may hold words of others.
macro_rules! show {
    ($($words:tt)*) => {
        println!("{}", $crate::cli::talk::plain(format!($($words)*)))
    };
}

/// Text without characters that command a terminal.
pub fn plain(text: String) -> String {
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(commands) { text.replace(commands, "\u{fffd}") } else { text }
}

/// Whether the words were heard changes nothing.
pub fn write(words: Arguments, end: &str) {
    let _ = std::io::stderr().write_all(plain(format!("{words}{end}")).as_bytes());
}
