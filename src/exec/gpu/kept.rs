//! How tensors lie in memory: as f32, or feature maps and their gradients as f16.

use half::f16;

use crate::{
    graph::{Graph, Role},
    ops::{Op, TensorId},
};

/// How the elements of a tensor lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kept {
    /// As they are.
    #[default]
    F32,
    /// Rounded to f16, those beyond its range to its largest.
    Map,
    /// The same of a gradient, after it was multiplied by [`GRADIENT_SCALE`].
    Gradient,
}

/// What gradients are multiplied by before they are rounded to f16, which they are too small for.
pub(crate) const GRADIENT_SCALE: f32 = 8192.0;

impl Kept {
    /// Whether elements are f16, which a page never has.
    pub(crate) fn is_half(self) -> bool {
        !cfg!(target_family = "wasm") && self != Self::F32
    }

    /// Bytes of an element.
    pub(crate) fn bytes(self) -> usize {
        if self.is_half() { 2 } else { 4 }
    }

    /// Words of 4 bytes that so many elements take.
    pub(crate) fn words(self, elements: usize) -> usize {
        (elements * self.bytes()).div_ceil(4)
    }

    fn scale(self) -> f32 {
        if self == Self::Gradient { GRADIENT_SCALE } else { 1.0 }
    }

    /// Values as they lie in memory, in whole words: as `to_map` and `to_gradient` of shaders/common/write_map_f16.wgsl.
    pub(crate) fn encode(self, values: &[f32]) -> Vec<u8> {
        let limit = |value: f32| if value.is_finite() { value.clamp(-65504.0, 65504.0) } else { value };
        let halves = values.iter().flat_map(|&value| f16::from_f32(limit(value * self.scale())).to_le_bytes());
        let mut bytes: Vec<u8> = match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Map | Self::Gradient => halves.collect(),
        };
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// The first values that lie in some bytes.
    pub(crate) fn decode(self, bytes: &[u8], into: &mut [f32]) {
        if !self.is_half() {
            let into: &mut [u8] = bytemuck::cast_slice_mut(into);
            into.copy_from_slice(&bytes[..into.len()]);
            return;
        }
        for (value, half) in into.iter_mut().zip(bytes.chunks_exact(2)) {
            *value = f16::from_le_bytes([half[0], half[1]]).to_f32() / self.scale();
        }
    }
}

/// Which of an op's inputs its shaders read by shaders/common/read_map.wgsl, and which outputs they write by
/// write_map.wgsl, by their places.
type Maps = (&'static [(usize, Kept)], &'static [(usize, Kept)]);

fn maps_of(op: &Op) -> Maps {
    use Kept::{Gradient, Map};
    match op {
        Op::Augment(_) => (&[], &[(0, Map)]),
        Op::BatchNorm(_)
        | Op::BatchNormEval(_)
        | Op::ChannelGate(_)
        | Op::Conv2d(_)
        | Op::SpatialGate(_)
        | Op::SpatialGateEval(_) => (&[(0, Map)], &[(0, Map)]),
        Op::Conv2dGradInput(_) => (&[(0, Gradient)], &[(0, Gradient)]),
        Op::Conv2dGradWeight(_) => (&[(0, Gradient), (1, Map)], &[]),
        Op::BatchNormGrad(_) | Op::SpatialGateGrad(_) => (&[(0, Gradient), (1, Map)], &[(0, Gradient)]),
        Op::ChannelGateGrad(_) => (&[(0, Gradient), (3, Map)], &[(0, Gradient)]),
        Op::GlobalPool(_) => (&[(0, Map)], &[]),
        Op::GlobalPoolGrad(_) => (&[(2, Gradient)], &[(0, Gradient)]),
        _ => (&[], &[]),
    }
}

/// How the tensors of a graph lie in memory, by their index.
#[derive(Debug, Clone)]
pub(crate) struct Storage(Vec<Kept>);

impl Storage {
    /// All tensors as f32.
    pub(crate) fn f32(graph: &Graph) -> Self {
        Self(vec![Kept::F32; graph.tensors().len()])
    }

    /// Tensors as f16 where every op that reads or writes them has them as feature maps of one kind, and all maps that
    /// such an op reads, or all that it writes, are f16; `order` are the ops that run.
    pub(crate) fn half(graph: &Graph, order: &[usize]) -> Self {
        // What an op reads, and what it writes.
        let sides = |node: usize| -> [Vec<(usize, Kept)>; 2] {
            let node = &graph.nodes()[node];
            let (inputs, outputs) = maps_of(&node.op);
            let of = |ids: &[TensorId], maps: &[(usize, Kept)]| -> Vec<(usize, Kept)> {
                let kind = |at| maps.iter().find(|(place, _)| *place == at).map_or(Kept::F32, |&(_, kept)| kept);
                ids.iter().enumerate().map(|(at, &id)| (graph.root(id).index(), kind(at))).collect()
            };
            let mut written = of(&node.outputs, outputs);
            written.extend(of(&node.updates, &[]));
            [of(&node.inputs, inputs), written]
        };
        let mut found: Vec<Option<Kept>> = vec![None; graph.tensors().len()];
        for (root, kept) in order.iter().flat_map(|&node| sides(node)).flatten() {
            let is_variable = !matches!(graph.tensor(TensorId(root)).role, Role::Activation | Role::Input);
            let differs = found[root].is_some_and(|before| before != kept);
            found[root] = Some(if is_variable || differs { Kept::F32 } else { kept });
        }
        let mut kept: Vec<Kept> = found.into_iter().map(Option::unwrap_or_default).collect();
        let sides: Vec<_> = order.iter().flat_map(|&node| sides(node)).collect();
        let maps_of = |side: &[(usize, Kept)]| -> Vec<usize> {
            side.iter().filter(|(_, kept)| *kept != Kept::F32).map(|&(root, _)| root).collect()
        };
        let sides: Vec<Vec<usize>> = sides.iter().map(|side| maps_of(side)).collect();
        let mixed = |kept: &[Kept]| {
            sides.iter().find(|side| {
                let wide = side.iter().filter(|&&root| kept[root] == Kept::F32).count();
                0 < wide && wide < side.len()
            })
        };
        while let Some(side) = mixed(&kept) {
            side.iter().for_each(|&root| kept[root] = Kept::F32);
        }
        Self((0..kept.len()).map(|i| kept[graph.root(TensorId(i)).index()]).collect())
    }

    pub(crate) fn of(&self, id: TensorId) -> Kept {
        self.0[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::plan::Plan,
        ops::{Conv2d, Conv2dGradWeight, GlobalPool, Pooling},
    };

    #[test]
    fn values_come_back_as_f16_has_them() {
        for (kept, values, expected) in [
            (Kept::F32, [1.0 / 3.0, 1e9, f32::INFINITY], [1.0 / 3.0, 1e9, f32::INFINITY]),
            (Kept::Map, [2049.0, -1e9, f32::NEG_INFINITY], [2048.0, -65504.0, f32::NEG_INFINITY]),
            (Kept::Gradient, [2.0_f32.powi(-27), 9.0, 0.0], [2.0_f32.powi(-27), 65504.0 / 8192.0, 0.0]),
        ] {
            let bytes = kept.encode(&values);
            assert_eq!(bytes.len(), 4 * kept.words(values.len()));
            let mut found = [0.0; 3];
            kept.decode(&bytes, &mut found);
            assert_eq!(found, expected, "{kept:?}");
        }
    }

    #[test]
    fn maps_are_f16_between_ops_that_have_them_so() {
        let mut graph = Graph::new();
        let x = graph.input("x", [2, 3, 8, 8]);
        let [a, b] = ["a", "b"].map(|name| graph.input(name, [4, 3, 3, 3]));
        let conv = Conv2d { stride: 1, padding: 1, groups: 1 };
        let push = |graph: &mut Graph, op: Op, inputs: &[TensorId]| graph.push(op, inputs, &[]).expect("an op")[0];
        let left = push(&mut graph, conv.into(), &[x, a]);
        let right = push(&mut graph, conv.into(), &[x, b]);
        let pooled = push(&mut graph, GlobalPool { pooling: Pooling::Avg }.into(), &[left]);
        graph.output(pooled);
        graph.output(right);
        let kept = |graph: &Graph, ids: &[TensorId]| -> Vec<Kept> {
            let storage = Storage::half(graph, &Plan::new(graph).order);
            ids.iter().map(|&id| storage.of(id)).collect()
        };
        let ids = [x, a, left, pooled, right];
        assert_eq!(kept(&graph, &ids), [Kept::Map, Kept::F32, Kept::Map, Kept::F32, Kept::Map]);
        // What another op reads is f32, and so is what an op reads beside it; what it writes need not be.
        let product = graph.multiply(right, right).expect("a product");
        graph.output(product);
        assert_eq!(kept(&graph, &ids), [Kept::Map, Kept::F32, Kept::Map, Kept::F32, Kept::F32]);
        let dy = graph.input("dy", [2, 4, 8, 8]);
        let op = Conv2dGradWeight { conv, kernel: [3, 3], bias: false };
        let gradient = push(&mut graph, op.into(), &[dy, right]);
        graph.output(gradient);
        assert_eq!(kept(&graph, &[dy, x]), [Kept::F32, Kept::Map]);
    }
}
