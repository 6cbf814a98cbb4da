//! What goes wrong on a web page, with a code that a program can tell apart.

use crate::{Error, checkpoint::StreamError};

/// An error with its code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// `no-adapter`, `software-adapter`, `device-lost`, `device-failed`, `model-foreign`, `model-mismatch`,
    /// `model-truncated`, `no-model`, `bad-image`, `too-large`, `detector-foreign`, `no-detector`, `busy` or `failed`.
    pub code: &'static str,
    /// One sentence for the user.
    pub message: String,
}

impl Fault {
    /// A fault with this code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::DeviceLost { .. } => "device-lost",
            Error::Device { .. } => "device-failed",
            Error::Memory { .. } => "too-large",
            _ => "failed",
        };
        Self::new(code, error.to_string())
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        let code = match &error {
            StreamError::Foreign(_) => "model-foreign",
            StreamError::Mismatch(_) => "model-mismatch",
            StreamError::Truncated(_) => "model-truncated",
        };
        Self::new(code, error.to_string())
    }
}
