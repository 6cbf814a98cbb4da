//! The buffers of an executor, and its variables among them.

use std::collections::HashMap;

use super::{Scalar, kernel::Span};
use crate::{Error, Result, exec::memory::asking, ops::shape_error};

/// All buffers of an executor.
pub struct Memory<T> {
    pub(super) arena: Vec<Vec<T>>,
    pub(super) variables: HashMap<String, Span>,
    pub(super) scratch: Vec<T>,
    pub(super) created: u64,
    /// Counts changes of variables.
    pub(super) version: u64,
}

impl<T: Scalar> Memory<T> {
    pub(super) fn new() -> Self {
        Self { arena: Vec::new(), variables: HashMap::new(), scratch: Vec::new(), created: 0, version: 0 }
    }

    /// A new buffer filled with one value.
    pub(super) fn buffer(&mut self, what: &str, len: usize, value: T) -> Result<Span> {
        let mut data = Vec::new();
        grow(&mut data, what, len, value)?;
        self.arena.push(data);
        self.created += 1;
        Ok(Span { buffer: self.arena.len() - 1, len })
    }

    /// The variable of this name, made if it is not there.
    pub(super) fn variable(&mut self, name: &str, len: usize) -> Result<Span> {
        match self.variables.get(name) {
            Some(span) if span.len == len => Ok(*span),
            Some(span) => {
                let hint = "clear the executor before another network";
                Err(shape_error("compile", format!("{} values of {name}, as before", span.len), len, hint))
            }
            None => {
                let span = self.buffer(name, len, T::ZERO)?;
                self.variables.insert(name.to_owned(), span);
                Ok(span)
            }
        }
    }

    pub(super) fn named(&self, name: &str) -> Result<Span> {
        let unknown = || shape_error("variable", "a variable of a compiled program", name, "check the name");
        self.variables.get(name).copied().ok_or_else(unknown)
    }

    pub(super) fn values(&self, span: Span) -> &[T] {
        &self.arena[span.buffer][..span.len]
    }

    pub(super) fn write(&mut self, what: &str, span: Span, values: impl ExactSizeIterator<Item = T>) -> Result<()> {
        if values.len() != span.len {
            let expected = format!("{} values for {what}", span.len);
            return Err(shape_error("write", expected, values.len(), "give one value for each element"));
        }
        self.arena[span.buffer][..span.len].iter_mut().zip(values).for_each(|(to, value)| *to = value);
        Ok(())
    }
}

/// Grows a buffer.
pub(super) fn grow<T: Scalar>(data: &mut Vec<T>, what: &str, len: usize, value: T) -> Result<()> {
    let more = len.saturating_sub(data.len());
    asking(|| data.try_reserve_exact(more)).map_err(|_| Error::Memory {
        device: "cpu".to_owned(),
        what: what.to_owned(),
        needed: (len as u64).saturating_mul(size_of::<T>() as u64),
        limit: u64::MAX,
        hint: "use a smaller batch or network".to_owned(),
    })?;
    data.resize(data.len() + more, value);
    Ok(())
}
