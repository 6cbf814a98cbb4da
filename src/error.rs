//! The one error type of the crate: each variant says what, where, expected, found and what to do next.

use std::path::PathBuf;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in one sentence for the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An op was given tensors or attributes that its shape rule forbids.
    #[error("{op}: expected {}, found {}; {hint}", Line(expected), Line(found))]
    Shape {
        /// The op's stem, such as `conv2d`.
        op: &'static str,
        /// What the shape rule asks for.
        expected: String,
        /// What it was given.
        found: String,
        /// What to do next.
        hint: String,
    },
    /// A file or folder could not be read, written or understood.
    #[error("{}: expected {}, found {}; {hint}", path.display(), Line(expected), Line(found))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What a good file has there.
        expected: String,
        /// What was found.
        found: String,
        /// What to do next.
        hint: String,
    },
    /// The operating system refused to read or write a file.
    #[error("{}: {doing} failed: {source}; {hint}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, such as `writing the checkpoint`.
        doing: &'static str,
        /// The operating system's error.
        source: std::io::Error,
        /// What to do next.
        hint: String,
    },
    /// Images or labels do not fit the data set's rules.
    #[error("{}: expected {}, found {}; {hint}", Line(what), Line(expected), Line(found))]
    Data {
        /// The data set, split or image.
        what: String,
        /// What the rule asks for.
        expected: String,
        /// What was found.
        found: String,
        /// What to do next.
        hint: String,
    },
    /// There is no device that fits, or it failed.
    #[error("device {device}: {problem}; {hint}")]
    Device {
        /// The device as asked for or as named by its driver.
        device: String,
        /// What is missing or failed.
        problem: String,
        /// What to do next.
        hint: String,
    },
    /// The device went away while it was used: its driver was reset, or the browser took it back.
    #[error("device {device} was lost: {reason}; {hint}")]
    DeviceLost {
        /// The device.
        device: String,
        /// What its driver says.
        reason: String,
        /// What to do next.
        hint: String,
    },
    /// A tensor or a whole network does not fit the device.
    #[error("device {device}: {what} needs {needed} bytes, {}; {hint}", Limit(*limit))]
    Memory {
        /// The device.
        device: String,
        /// The tensor or buffer.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed; [`u64::MAX`] where the system refuses without naming a limit.
        limit: u64,
        /// What to do next.
        hint: String,
    },
    /// A value became NaN or infinite.
    #[error("{} is not finite, first at {}; {hint}", Line(what), Line(at))]
    NotFinite {
        /// The value that was looked at, such as `loss of step 12`.
        what: String,
        /// The op and tensor where it first appeared.
        at: String,
        /// What to do next.
        hint: String,
    },
    /// A setting, flag or configuration key is wrong.
    #[error("{setting}: expected {}, found {}; {hint}", Line(expected), Line(found))]
    Usage {
        /// The flag or key.
        setting: String,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
        /// What to do next.
        hint: String,
    },
    /// Another process works there.
    #[error("{}: expected a folder that no other process works in, found {}; {hint}", path.display(), Line(holder))]
    Busy {
        /// The folder.
        path: PathBuf,
        /// The process that works in it.
        holder: String,
        /// What to do next.
        hint: String,
    },
    /// The user interrupted the work; a checkpoint was saved.
    #[error("interrupted; the state is saved in {}, `--resume` goes on from there", checkpoint.display())]
    Interrupted {
        /// The checkpoint.
        checkpoint: PathBuf,
    },
}

/// A text that may quote a file: what would break the line, or speak to the terminal, is escaped.
struct Line<'a>(&'a str);

impl std::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_debug()) } else { f.write_char(c) })
    }
}

/// What a device or a system allows.
struct Limit(u64);

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == u64::MAX {
            f.write_str("more than the system gives")
        } else {
            write!(f, "the limit is {}", self.0)
        }
    }
}

/// Is there no space where something is to be written? Neither the data nor the user is to blame then.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl Error {
    /// The process exit code: 1 failed, also on a full disk; 2 usage, 3 data, 4 device or memory, 130 interrupted.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Shape { .. } | Self::NotFinite { .. } | Self::Busy { .. } => 1,
            Self::Usage { .. } => 2,
            Self::Io { source, .. } if is_full(source) => 1,
            Self::File { .. } | Self::Io { .. } | Self::Data { .. } => 3,
            Self::Device { .. } | Self::DeviceLost { .. } | Self::Memory { .. } => 4,
            Self::Interrupted { .. } => 130,
        }
    }

    /// An operating system's error about `path`, with what to do next.
    pub fn io(path: impl Into<PathBuf>, doing: &'static str, source: std::io::Error, hint: impl Into<String>) -> Self {
        Self::Io { path: path.into(), doing, source, hint: hint.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_neither_breaks_the_line_nor_speaks_to_the_terminal() {
        let error = Error::Data {
            what: "labels".into(),
            expected: "é".into(),
            found: "`a\n\u{1b}[31mb`".into(),
            hint: "see".into(),
        };
        assert_eq!(error.to_string(), "labels: expected é, found `a\\n\\u{1b}[31mb`; see");
    }

    #[test]
    fn a_full_disk_has_failed_and_a_file_that_is_not_there_is_wrong_data() {
        use std::io::ErrorKind::{FileTooLarge, NotFound, PermissionDenied, QuotaExceeded, StorageFull};
        let code = |kind: std::io::ErrorKind| Error::io("a", "writing", kind.into(), "see").exit_code();
        assert_eq!([StorageFull, QuotaExceeded, FileTooLarge].map(code), [1; 3]);
        assert_eq!([NotFound, PermissionDenied].map(code), [3; 2]);
    }
}
