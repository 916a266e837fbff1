//! Parse, run, exit code.

use std::process::ExitCode;

// glibc returns the pages of every large buffer to the system and faults them in again at the next step.
#[cfg(feature = "engine")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ablate::cli::main()
}
