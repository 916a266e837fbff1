//! Crates that panic at other people's bytes: what they would have said is an error, and nothing is printed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is within a call of [`guarded`], so that its panic is for nobody to read.
pub fn inside() -> bool {
    INSIDE.get()
}

/// What `call` says, or `otherwise` if it panics. `call` is to read bytes: what it leaves half done is not looked at again.
pub fn guarded<T>(otherwise: &str, call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let outer = INSIDE.replace(true);
    let said = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outer);
    said.unwrap_or_else(|_| Err(otherwise.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_guards_nothing_else() {
        let refused = guarded("odd", || guarded("inner", || Ok(inside())).map(|within| assert!(!within)));
        assert_eq!(refused, Err("odd".to_string()));
        assert!(!inside());
        assert_eq!(guarded("odd", || Err::<(), _>("even".to_string())), Err("even".to_string()));
    }
}
