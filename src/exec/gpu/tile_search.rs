//! Which tile suits a convolution of some shape on a device: measured there, within a budget, and remembered.
//!
//! The tiles to choose from sum in the same order, so that the choice changes no bit. A driver could still contract
//! products and sums in one pipeline and not in another: a tile whose bits differ on a small convolution is left out.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use super::{GpuExecutor, conv2d, tile::Tile};
use crate::{
    Result,
    exec::Executor,
    graph::{Graph, Node, plan::Plan},
};

/// How long compiling a program may search by default.
pub const SEARCH_BUDGET: Duration = Duration::from_millis(1500);
/// Timed runs of a tile, after one that is not timed.
const RUNS: usize = 3;

/// Remembers, between runs, which tile is the fastest for each shape.
pub trait TileStore {
    /// The names of the tiles that were found for a device, by shape.
    fn load(&mut self, device: &str) -> BTreeMap<String, String>;

    /// Keeps what is known now.
    fn save(&mut self, device: &str, tiles: &BTreeMap<String, String>);
}

/// A search that goes on as programs are compiled.
pub(super) struct Search {
    store: Box<dyn TileStore>,
    budget: Duration,
    candidates: Vec<Tile>,
    are_compared: bool,
}

/// A convolution as the search knows it: the op with its attributes, and the shapes of its inputs.
pub(super) fn shape_of(graph: &Graph, node: &Node) -> String {
    let shapes: Vec<_> = node.inputs.iter().map(|&id| graph.tensor(id).shape.to_string()).collect();
    format!("{:?} of {}", node.op, shapes.join(", "))
}

impl GpuExecutor {
    /// From now on measures the tiles of convolutions whose shapes the store does not know, whenever a program is
    /// compiled. What is not measured when the budget is spent keeps its usual tile and is measured another time; a
    /// measurement that has begun is finished. Results do not depend on any of it.
    pub fn search_tiles(&mut self, mut store: Box<dyn TileStore>, budget: Duration) {
        let candidates = self.gpu.candidates().to_vec();
        if candidates.len() < 2 {
            return;
        }
        for (shape, name) in store.load(&self.gpu.identity()) {
            if let Some(&tile) = candidates.iter().find(|tile| tile.to_string() == name) {
                self.gpu.found.insert(shape, tile);
            }
        }
        self.search = Some(Search { store, budget, candidates, are_compared: false });
    }

    /// How many tiles a search has to choose from.
    #[must_use]
    pub fn tiles(&self) -> usize {
        self.gpu.candidates().len()
    }

    /// The adapter with its driver, as a [`TileStore`] knows it.
    #[must_use]
    pub fn identity(&self) -> String {
        self.gpu.identity()
    }

    /// Measures what the plan has and nobody has measured, most work first.
    pub(super) fn find_tiles(&mut self, graph: &Graph, plan: &Plan) -> Result<()> {
        let mut seen = HashSet::new();
        let nodes = plan.order.iter().map(|&index| &graph.nodes()[index]);
        let shaped = nodes.filter(|node| conv2d::is_tiled(graph, node)).map(|node| (node, shape_of(graph, node)));
        let mut missing: Vec<_> =
            shaped.filter(|(_, shape)| !self.gpu.found.contains_key(shape) && seen.insert(shape.clone())).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let Some(mut search) = self.search.take() else { return Ok(()) };
        missing.sort_by_key(|(node, _)| Reverse(graph.work(node).flops));
        let result = self.measure(&mut search, graph, &missing);
        let names = self.gpu.found.iter().map(|(shape, tile)| (shape.clone(), tile.to_string())).collect();
        search.store.save(&self.gpu.identity(), &names);
        self.search = Some(search);
        result
    }

    fn measure(&mut self, search: &mut Search, graph: &Graph, missing: &[(&Node, String)]) -> Result<()> {
        let begin = Instant::now();
        let is_spent = |search: &Search| begin.elapsed() > search.budget;
        if !search.are_compared {
            // Leaves out tiles whose results differ from the first one's in any bit.
            let mut results = Vec::new();
            for &tile in &search.candidates {
                if is_spent(search) {
                    return Ok(());
                }
                results.push(self.with_tile(tile, |gpu| gpu.products(1.0 / 3.0))?);
            }
            let bits = |(_, values): &(_, Vec<f32>)| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            let bits: Vec<Vec<_>> = results.iter().map(|products| products.iter().map(bits).collect()).collect();
            let mut equal = bits.iter().map(|found| *found == bits[0]);
            search.candidates.retain(|_| equal.next() == Some(true));
            search.are_compared = true;
        }
        for (node, shape) in missing {
            let mut best: Option<(f64, Tile)> = None;
            for &tile in &search.candidates {
                if is_spent(search) {
                    return Ok(());
                }
                match self.with_tile(tile, |gpu| gpu.time_alone(graph, node)) {
                    Ok(time) if best.is_none_or(|(least, _)| time < least) => best = Some((time, tile)),
                    Ok(_) => {}
                    // What does not fit beside the program is not measured.
                    Err(_) => self.gpu.check()?,
                }
            }
            if let Some((_, tile)) = best {
                self.gpu.found.insert(shape.clone(), tile);
            }
        }
        Ok(())
    }

    fn with_tile<R>(&mut self, tile: Tile, run: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.gpu.forced.replace(tile);
        let result = run(self);
        self.gpu.forced = before;
        result
    }

    /// The least time of some runs of a node's op, in seconds.
    fn time_alone(&mut self, graph: &Graph, node: &Node) -> Result<f64> {
        let mut alone = Graph::new();
        let shape = |&id| graph.tensor(id).shape.clone();
        let inputs: Vec<_> =
            node.inputs.iter().enumerate().map(|(i, id)| alone.input(format!("input{i}"), shape(id))).collect();
        for id in alone.push(node.op.clone(), &inputs, &[])? {
            alone.output(id);
        }
        let (plan, storage) = self.plan(&alone);
        let program = self.compile_planned(&alone, &plan, &storage)?;
        // Of zeros: how long they take is what counts.
        let times = self.submit(program).and_then(|()| self.synchronize()).and_then(|()| self.time_ops(program, RUNS));
        self.programs.pop();
        let sums = times?.runs.into_iter().map(|run| run.iter().map(|span| span.end - span.start).sum());
        Ok(sums.fold(f64::INFINITY, f64::min))
    }
}
