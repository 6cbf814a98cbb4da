//! The programs of an executor: which handles name them, and what the host still has to write before they run.

use std::{
    collections::{BTreeSet, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use super::Program;
use crate::{
    Result,
    graph::{Graph, Role, plan::Plan},
    ops::{TensorId, shape_error},
};

/// The programs that an executor compiled since it was made or last cleared.
pub(crate) struct Programs<C> {
    /// Of no other executor, and no other time of this one.
    era: u64,
    entries: Vec<Entry<C>>,
    /// The variables with values.
    written: HashSet<String>,
}

struct Entry<C> {
    compiled: C,
    /// The inputs and variables that its ops read and that nobody has written, as far as is known.
    missing: Vec<(TensorId, String)>,
}

/// How many tensors an error names.
const NAMED: usize = 8;

impl<C> Programs<C> {
    pub(crate) fn new() -> Self {
        static ERAS: AtomicU64 = AtomicU64::new(0);
        Self { era: ERAS.fetch_add(1, Ordering::Relaxed), entries: Vec::new(), written: HashSet::new() }
    }

    /// Keeps a compiled graph.
    pub(crate) fn push(&mut self, compiled: C, graph: &Graph, plan: &Plan) -> Program {
        let nodes = plan.order.iter().map(|&node| &graph.nodes()[node]);
        let read: BTreeSet<_> =
            nodes.flat_map(|node| node.inputs.iter().chain(&node.updates)).map(|&id| graph.root(id)).collect();
        let missing = read
            .into_iter()
            .map(|id| (id, graph.tensor(id)))
            .filter(|(_, tensor)| !matches!(tensor.role, Role::Activation | Role::Constant(_) | Role::View(_)))
            .map(|(id, tensor)| (id, tensor.name.clone()))
            .collect();
        self.entries.push(Entry { compiled, missing });
        Program { era: self.era, index: self.entries.len() - 1 }
    }

    /// Forgets the last one.
    #[cfg(feature = "gpu")]
    pub(crate) fn pop(&mut self) {
        self.entries.pop();
    }

    /// Whether a handle names one of these.
    pub(crate) fn has(&self, program: Program) -> bool {
        program.era == self.era && program.index < self.entries.len()
    }

    fn index(&self, program: Program) -> Result<usize> {
        if self.has(program) {
            return Ok(program.index);
        }
        let expected = "a program that this executor compiled since it was last cleared";
        Err(shape_error("program", expected, "one of another executor or from before", "compile the graph again"))
    }

    pub(crate) fn get(&self, program: Program) -> Result<&C> {
        Ok(&self.entries[self.index(program)?].compiled)
    }

    #[cfg(feature = "cpu")]
    pub(crate) fn get_mut(&mut self, program: Program) -> Result<&mut C> {
        let index = self.index(program)?;
        Ok(&mut self.entries[index].compiled)
    }

    /// Notes that an input was written; `id` is no view.
    pub(crate) fn wrote(&mut self, program: Program, id: TensorId) {
        if self.has(program) {
            self.entries[program.index].missing.retain(|(there, _)| *there != id);
        }
    }

    /// Notes that a variable was written.
    pub(crate) fn wrote_variable(&mut self, name: &str) {
        if !self.written.contains(name) {
            self.written.insert(name.to_owned());
        }
    }

    /// Refuses a program that would read what nobody has written. A program that was accepted once always is: what was
    /// written stays so.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] with the names.
    pub(crate) fn expect_written(&mut self, program: Program) -> Result<()> {
        let index = self.index(program)?;
        let (missing, written) = (&mut self.entries[index].missing, &self.written);
        if missing.is_empty() {
            return Ok(());
        }
        missing.retain(|(_, name)| !written.contains(name));
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = missing.iter().take(NAMED).map(|(_, name)| name.as_str()).collect();
        let more = match missing.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let found = format!("no values of {}{more}", names.join(", "));
        let hint = "write inputs with Executor::write and variables with Executor::write_variable";
        Err(shape_error("run", "values of every input and variable that the program reads", found, hint))
    }
}
