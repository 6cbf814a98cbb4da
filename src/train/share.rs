//! How strongly the cross-entropy and each diversity term pull at the maps that the term compares.

use super::session::SessionSpec;
use crate::{
    Result,
    data::Batch,
    diversity::{Diversity, diversified_loss},
    exec::{Executor, Program},
    graph::{Graph, Role},
    nn::Mode,
    ops::{Emit, Op, TensorId},
};

/// The largest weight that a share makes: a term whose maps hardly depend on it any more is left as it is.
const MOST_WEIGHT: f64 = 1000.0;

/// The gradients of a training step's losses in the maps, each for itself.
pub(super) struct Pulls {
    program: Program,
    images: TensorId,
    targets: TensorId,
    weights: TensorId,
    /// γ of each term.
    gammas: Vec<TensorId>,
    /// The gradients of the cross-entropy and of D in the maps of each term.
    gradients: Vec<[TensorId; 2]>,
    /// The states that a run updates, by their names.
    states: Vec<String>,
}

impl Pulls {
    /// Compiles it beside the training program, whose variables it shares; none without a term.
    pub(super) fn compile(executor: &mut dyn Executor, spec: &SessionSpec) -> Result<Option<Self>> {
        let (n, size) = (spec.batch, spec.network.size());
        let mut graph = Graph::new();
        let images = graph.input("images", [n, 3, size, size]);
        let targets = graph.input("targets", [n, spec.target_width()]);
        let weights = graph.input("head_weights", [spec.network.heads()]);
        let network = spec.network.build(&mut graph, images, Mode::Train)?;
        let diversity = Diversity { weighted: false, ..spec.diversity };
        let loss = diversified_loss(&mut graph, &network, targets, weights, &diversity)?;
        if loss.terms.is_empty() {
            return Ok(None);
        }
        let maps: Vec<TensorId> = loss.terms.iter().map(|term| term.maps).collect();
        let of_loss = gradients_in_maps(&mut graph, loss.cross_entropy, &maps)?;
        let mut gradients = Vec::new();
        for (term, of_loss) in loss.terms.iter().zip(of_loss) {
            gradients.push([of_loss, graph.gradients(term.value, &[term.maps])?[0]]);
        }
        gradients.iter().flatten().for_each(|id| graph.output(*id));
        let program = executor.compile(&graph)?;
        let states = graph.select(|role| matches!(role, Role::State(_)));
        Ok(Some(Self {
            program,
            images,
            targets,
            weights,
            gammas: loss.terms.iter().map(|term| term.gamma).collect(),
            gradients,
            states: states.into_iter().map(|id| graph.tensor(id).name.clone()).collect(),
        }))
    }

    /// For each term the weight with which the norm of its gradient in the maps, over some batches, is `share` times the
    /// cross-entropy's; `weights` are the heads'. No variable is changed.
    pub(super) fn shares(
        &self,
        executor: &mut dyn Executor,
        share: f64,
        weights: &[f64],
        gammas: &[f64],
        batches: &[Batch],
    ) -> Result<Vec<f64>> {
        let read = |executor: &mut dyn Executor, name: &String| executor.read_variable(name);
        let before = self.states.iter().map(|name| read(executor, name)).collect::<Result<Vec<_>>>()?;
        executor.write_f64(self.program, self.weights, weights)?;
        for (id, gamma) in self.gammas.iter().zip(gammas) {
            executor.write(self.program, *id, &[*gamma as f32])?;
        }
        let mut squares = vec![[0.0; 2]; self.gradients.len()];
        for batch in batches {
            executor.write(self.program, self.images, &batch.images)?;
            executor.write(self.program, self.targets, &batch.targets)?;
            executor.run(self.program)?;
            for (ids, squares) in self.gradients.iter().zip(&mut squares) {
                for (id, squares) in ids.iter().zip(squares) {
                    *squares += executor.read(self.program, *id)?.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
                }
            }
        }
        for (name, values) in self.states.iter().zip(&before) {
            executor.write_variable(name, values)?;
        }
        Ok(squares.into_iter().map(|[of_loss, of_term]| weight(share, of_loss.sqrt(), of_term.sqrt())).collect())
    }
}

/// λ with λ·‖∂D/∂φ‖ = ρ·‖∂CE/∂φ‖, at most [`MOST_WEIGHT`]; 0 where D does not depend on the maps.
fn weight(share: f64, of_loss: f64, of_term: f64) -> f64 {
    if of_term > 0.0 { (share * of_loss / of_term).min(MOST_WEIGHT) } else { 0.0 }
}

/// The gradients of a loss in some maps, also in a spatial gate's attention, which its op multiplies with the map itself:
/// `da[n,g,p] = Σ_{c in g} dy[n,c,p]·x[n,c,p]`.
fn gradients_in_maps(graph: &mut Graph, loss: TensorId, maps: &[TensorId]) -> Result<Vec<TensorId>> {
    // x and y of the gate, where the map is a gate's.
    let gate = |map: TensorId| {
        let node = graph.nodes().iter().find(|node| node.outputs.contains(&map))?;
        matches!(node.op, Op::SpatialGate(_)).then(|| (node.inputs[0], node.outputs[0]))
    };
    let gates: Vec<_> = maps.iter().map(|map| gate(*map)).collect();
    let wrt: Vec<_> = gates.iter().zip(maps).map(|(gate, map)| gate.map_or(*map, |(_, y)| y)).collect();
    let gradients = graph.gradients(loss, &wrt)?;
    let mut all = Vec::new();
    for ((gradient, gate), &map) in gradients.into_iter().zip(gates).zip(maps) {
        all.push(match gate {
            None => gradient,
            Some((x, _)) => {
                let [n, channels, h, w] = graph.shape(x).nchw().expect("invariant: a gate's map has four dimensions");
                let groups = graph.shape(map).dims()[1];
                let product = graph.multiply(gradient, x)?;
                let by_group = graph.reshape(product, [n, groups, channels / groups, h * w].into())?;
                graph.axis_sum(by_group, 2, 1.0)?
            }
        });
    }
    Ok(all)
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use crate::{exec::cpu::CpuExecutor, graph::Init, ops::SpatialGate};

    #[test]
    fn the_gradient_in_a_gates_attention_is_the_sum_over_its_channels() {
        let mut graph = Graph::new();
        let [x, r] = ["x", "r"].map(|name| graph.input(name, [2, 4, 3, 2]));
        let pooled = graph.input("pooled", [2, 4, 3, 2]);
        let filters = graph.input("filters", [2, 2, 3, 3]);
        let [weight, bias] = ["weight", "bias"].map(|name| graph.input(name, [2]));
        let running = ["mean", "variance"].map(|name| graph.state(name, 1, [2], Init::Fill(1.0)));
        let op = SpatialGate { groups: 2, eps: 1e-5, momentum: 0.1 };
        let [y, attention] = graph.spatial_gate([x, pooled], [filters, weight, bias], running, op).expect("a gate");
        // Σ r·y.
        let product = graph.multiply(y, r).expect("a product");
        let row = graph.reshape(product, [1, 48].into()).expect("a row");
        let loss = graph.axis_sum(row, 1, 1.0).expect("a sum");
        let loss = graph.reshape(loss, [1].into()).expect("a number");
        let found = gradients_in_maps(&mut graph, loss, &[attention]).expect("a gradient")[0];
        graph.output(found);
        let mut executor = CpuExecutor::<f32>::new(Some(1)).expect("a thread");
        let program = executor.compile(&graph).expect("a program");
        let values = |count: usize, step: f32| (0..count).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        let (xs, rs) = (values(48, 0.7), values(48, 1.3));
        for (id, values) in [
            (x, xs.clone()),
            (r, rs.clone()),
            (pooled, values(48, 0.4)),
            (filters, values(36, 0.9)),
            (weight, vec![1.0; 2]),
            (bias, vec![0.5; 2]),
        ] {
            executor.write(program, id, &values).expect("written");
        }
        for name in ["mean", "variance"] {
            executor.write_variable(name, &[1.0; 2]).expect("written");
        }
        executor.run(program).expect("a run");
        let found = executor.read(program, found).expect("read");
        assert_eq!(found.len(), 2 * 2 * 6);
        for (at, found) in found.iter().enumerate() {
            let (image, group, place) = (at / 12, at / 6 % 2, at % 6);
            let channels = (0..2).map(|c| (image * 4 + group * 2 + c) * 6 + place);
            let expected: f32 = channels.map(|i| rs[i] * xs[i]).sum();
            assert!((found - expected).abs() < 1e-5, "{at}: {found}, expected {expected}");
        }
    }

    #[test]
    fn a_share_is_bounded_and_nothing_where_a_term_does_not_pull() {
        assert_eq!(weight(0.5, 3.0, 2.0), 0.75);
        assert_eq!(weight(0.5, 3.0, 1e-19), MOST_WEIGHT);
        assert_eq!(weight(0.5, 3.0, 0.0), 0.0);
        assert_eq!(weight(0.5, 0.0, 2.0), 0.0);
    }
}
