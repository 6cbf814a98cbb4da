//! Sums that were computed in parts, and the one dispatch that completes all of them before anyone reads one.

use super::{
    lower::{Lower, Operand, Source},
    memory::{ALIGNMENT, View},
    shader::{Kernel, folded, params},
};
use crate::{Result, ops::TensorId};
use std::ops::Range;

params!(PartialSumsParams for "partial_sums" { rows: u32 });

/// A tensor that is the sum of `count` blocks, `stride` elements apart, from `from` on.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) tensor: TensorId,
    pub(crate) view: View,
    pub(crate) from: usize,
    pub(crate) count: usize,
    pub(crate) stride: usize,
}

/// The partial sums of a program: a buffer that fills up until it is summed.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    jobs: Vec<Job>,
    next: usize,
    /// Elements that the buffer needs.
    pub(crate) most: usize,
}

/// Elements after which what is waiting is summed: 124 MiB, near the largest binding that every device grants.
const ENOUGH: usize = 31 << 20;
/// Elements of partial sums that one op should not exceed by splitting its work.
pub(crate) const MOST_OF_AN_OP: usize = 2 << 20;
/// Elements that a workgroup sums.
const CHUNK: usize = 1024;

impl Partials {
    pub(crate) fn is_pending(&self, root: TensorId) -> bool {
        self.jobs.iter().any(|job| job.tensor == root)
    }

    pub(crate) fn pending(&self) -> Vec<TensorId> {
        self.jobs.iter().map(|job| job.tensor).collect()
    }

    /// Whether what is waiting must be summed before there is room for more; a binding shows all of it.
    pub(crate) fn would_overflow(&self, elements: usize, max_binding: u64) -> bool {
        !self.jobs.is_empty() && self.next + elements > ENOUGH.min((max_binding / 4) as usize)
    }

    pub(crate) fn take(&mut self, elements: usize) -> Range<usize> {
        let start = self.next;
        self.next = (start + elements).next_multiple_of(ALIGNMENT);
        self.most = self.most.max(self.next);
        start..start + elements
    }

    /// Where the next sums go, and how many are waiting.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.next, self.jobs.len())
    }

    /// Frees what an op took since `mark` where it left no sums to be completed.
    pub(crate) fn release(&mut self, (next, jobs): (usize, usize)) {
        if self.jobs.is_empty() {
            self.next = 0;
        } else if self.jobs.len() == jobs {
            self.next = self.next.min(next);
        }
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.jobs.push(job);
    }
}

/// Part of the partial sums as a binding that is written.
pub(crate) fn write(range: Range<usize>) -> Operand {
    Operand { source: Source::Partials(range), writes: true }
}

/// Part of the partial sums as a binding that is read.
pub(crate) fn read(range: Range<usize>) -> Operand {
    Operand { source: Source::Partials(range), writes: false }
}

impl Lower<'_> {
    /// Sums all that is waiting, in one dispatch for each buffer that results go to.
    pub(crate) fn sum_partials(&mut self) -> Result<()> {
        let mut jobs = std::mem::take(&mut self.partials.jobs);
        if jobs.is_empty() {
            return Ok(());
        }
        self.begin("PartialSums", None);
        let sums = 0..self.partials.next;
        self.partials.next = 0;
        let outputs = jobs.iter().map(|job| job.tensor).collect();
        let bytes = jobs.iter().map(|job| 4 * (job.view.elements * (job.count + 1)) as u64).sum();
        while let Some(first) = jobs.first() {
            let buffer = first.view.buffer.clone();
            let (here, rest): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.view.buffer == buffer);
            jobs = rest;
            let end = here.iter().map(|job| job.view.at + job.view.elements).max().unwrap_or(0);
            let mut table = Vec::new();
            for job in &here {
                for start in (0..job.view.elements).step_by(CHUNK) {
                    let length = CHUNK.min(job.view.elements - start);
                    let row = [job.from + start, job.view.at + start, length, job.count, job.stride];
                    table.extend(row.map(|number| number as u32));
                }
            }
            let rows = table.len() / 5;
            let table = self.table(&table);
            let into = Operand::write(View::whole(buffer, end));
            let operands = vec![table, read(sums.clone()), into];
            let params = PartialSumsParams { rows: rows as u32 };
            self.dispatch(Kernel::new("partial_sums", "main"), params, operands, folded(rows))?;
        }
        self.end(outputs);
        self.steps.last_mut().expect("invariant: a step was begun").bytes = bytes;
        Ok(())
    }
}
