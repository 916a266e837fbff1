//! How a command fails: words for people, an exit code for scripts.

use crate::exec::PrepareError;
use std::fmt;

/// Ends the command.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    /// Printed as it is, after `error: ` unless it starts so already.
    message: String,
    hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "engine"), allow(dead_code))]
enum Kind {
    /// Something is wrong with what is stored or with the machine.
    Internal,
    /// A mistake in a file or in usage; nothing was started.
    Usage,
    /// A trial failed; the others went on.
    Trial,
    /// Stopped on request.
    Interrupted,
}

impl Failure {
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure { kind: Kind::Usage, message: message.to_string(), hint: None }
    }

    /// Of builds that can only plan and report.
    #[cfg(not(feature = "engine"))]
    pub fn no_engine() -> Failure {
        Failure::usage("this build has no engine; build with the default features")
    }

    #[cfg(feature = "engine")]
    pub fn trial(message: impl fmt::Display) -> Failure {
        Failure { kind: Kind::Trial, message: message.to_string(), hint: None }
    }

    #[cfg(feature = "engine")]
    pub fn interrupted(message: impl fmt::Display) -> Failure {
        Failure { kind: Kind::Interrupted, message: message.to_string(), hint: None }
    }

    /// Something is wrong with what is stored or with the machine; exit code 1.
    pub fn internal(message: impl fmt::Display) -> Failure {
        Failure { kind: Kind::Internal, message: message.to_string(), hint: None }
    }

    /// A plan that can't be made or started: exit code 2 for what it asks, 1 for what lies on the disk.
    pub fn start(error: PrepareError) -> Failure {
        match error {
            PrepareError::Graph(_) | PrepareError::TooExpensive(_) => Failure::usage(error),
            PrepareError::Cache(_) | PrepareError::Disk(_) | PrepareError::Results(_) => error.into(),
        }
    }

    pub fn hint(mut self, hint: impl fmt::Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self.kind {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::Trial => 3,
            Kind::Interrupted => 130,
        }
    }
}

/// What is printed.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.trim_end();
        let word = if self.kind == Kind::Interrupted || message.starts_with("error:") { "" } else { "error: " };
        writeln!(f, "{word}{message}")?;
        self.hint.as_ref().map_or(Ok(()), |hint| writeln!(f, "hint: {hint}"))
    }
}

/// Any other error, with its causes.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}\ncaused by: {text}");
            }
            cause = inner.source();
        }
        Failure::internal(message)
    }
}
