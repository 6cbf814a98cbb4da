//! A device whose values cannot be waited for within a call, as those of a page.

use moue::{
    Error, Result,
    exec::{DeviceInfo, Executor, OpCost, Profile, Program, Reading, Stats},
    graph::{Graph, Role},
    ops::TensorId,
};

/// A tensor of a program, by its place since the last clear, after so many commands: each start has other handles.
type Key = (usize, usize, TensorId);

/// An executor whose reads fail until the values are there: [`Again::until_answered`] awaits them and starts what asked
/// for them from the beginning, where the same commands give the same values.
pub(crate) struct Again {
    executor: Box<dyn Executor>,
    graphs: Vec<(Program, Graph)>,
    commands: usize,
    answers: Vec<(Key, Vec<f32>)>,
    awaited: Option<(Vec<Key>, Reading)>,
}

impl Again {
    /// Over a device.
    pub(crate) fn new(executor: Box<dyn Executor>) -> Self {
        Self { executor, graphs: Vec::new(), commands: 0, answers: Vec::new(), awaited: None }
    }

    /// What `work` returns once all that it reads is there.
    ///
    /// # Errors
    /// Those of `work`, and the device's.
    pub(crate) async fn until_answered<T, E: From<Sentence>>(
        &mut self,
        work: impl Fn(&mut dyn Executor) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.answers.clear();
        loop {
            self.graphs.clear();
            self.commands = 0;
            let result = work(self);
            let Some((keys, reading)) = self.awaited.take() else { return result };
            let values = reading.await.map_err(|error| E::from(Sentence(error)))?;
            self.answers.extend(keys.into_iter().zip(values));
        }
    }

    /// A tensor that was read before, or the news that it has been asked for, with those that are likely to be next.
    fn answer(&mut self, program: Program, tensor: TensorId) -> Result<Vec<f32>> {
        let Some(place) = self.graphs.iter().position(|(there, _)| *there == program) else {
            return self.executor.read(program, tensor);
        };
        let key = (self.commands, place, tensor);
        if let Some((_, values)) = self.answers.iter().find(|(there, _)| *there == key) {
            return Ok(values.clone());
        }
        let like = alike(&self.graphs[place].1, tensor);
        let mut tensors = if like.is_empty() { vec![tensor] } else { like };
        let reading = self.executor.read_later(program, &tensors).or_else(|_| {
            // One of them has no memory.
            tensors = vec![tensor];
            self.executor.read_later(program, &tensors)
        })?;
        if self.awaited.is_none() {
            let keys = tensors.into_iter().map(|tensor| (self.commands, place, tensor)).collect();
            self.awaited = Some((keys, reading));
        }
        Err(Error::Device {
            device: self.executor.device().name.clone(),
            problem: "a value is still on its way".to_owned(),
            hint: "wait for it".to_owned(),
        })
    }
}

/// All outputs of a graph where this is one, all its variables where this is one.
fn alike(graph: &Graph, tensor: TensorId) -> Vec<TensorId> {
    let variables = || graph.select(|role| matches!(role, Role::Parameter(_) | Role::State(_)));
    [graph.outputs().to_vec(), variables()].into_iter().find(|all| all.contains(&tensor)).unwrap_or_default()
}

/// An error of the device while values were awaited.
pub(crate) struct Sentence(Error);

impl From<Sentence> for String {
    fn from(Sentence(error): Sentence) -> Self {
        error.to_string()
    }
}

impl From<Sentence> for Error {
    fn from(Sentence(error): Sentence) -> Self {
        error
    }
}

impl Executor for Again {
    fn device(&self) -> &DeviceInfo {
        self.executor.device()
    }

    fn compile(&mut self, graph: &Graph) -> Result<Program> {
        self.commands += 1;
        let program = self.executor.compile(graph)?;
        self.graphs.push((program, graph.clone()));
        Ok(program)
    }

    fn clear(&mut self) {
        self.commands += 1;
        self.graphs.clear();
        self.executor.clear();
    }

    fn has(&self, program: Program) -> bool {
        self.executor.has(program)
    }

    fn largest_tensor(&self) -> usize {
        self.executor.largest_tensor()
    }

    fn write(&mut self, program: Program, tensor: TensorId, values: &[f32]) -> Result<()> {
        self.commands += 1;
        self.executor.write(program, tensor, values)
    }

    fn run(&mut self, program: Program) -> Result<()> {
        self.commands += 1;
        self.executor.run(program)
    }

    fn read(&mut self, program: Program, tensor: TensorId) -> Result<Vec<f32>> {
        self.answer(program, tensor)
    }

    fn synchronize(&mut self) -> Result<()> {
        self.executor.synchronize()
    }

    fn write_variable(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.commands += 1;
        self.executor.write_variable(name, values)
    }

    fn read_variable(&mut self, name: &str) -> Result<Vec<f32>> {
        let place = self.graphs.iter().find_map(|(program, graph)| Some((*program, graph.find(name)?)));
        match place {
            Some((program, tensor)) => self.answer(program, tensor),
            None => self.executor.read_variable(name),
        }
    }

    fn first_not_finite(&mut self, program: Program) -> Result<Option<String>> {
        self.executor.first_not_finite(program)
    }

    fn costs(&self, program: Program) -> Result<Vec<OpCost>> {
        self.executor.costs(program)
    }

    fn profile(&mut self, program: Program, runs: usize) -> Result<Profile> {
        self.executor.profile(program, runs)
    }

    fn stats(&self, program: Program) -> Stats {
        self.executor.stats(program)
    }
}
