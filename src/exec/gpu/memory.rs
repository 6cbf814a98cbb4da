//! Where tensors live: variables in arenas of the executor, activations in the slots of a program's plan.

use std::{collections::HashMap, ops::Range};

use super::{
    device::Gpu,
    kept::{Kept, Storage},
    partial_sums::MOST_OF_AN_OP,
};
use crate::{
    Result,
    graph::{
        Graph, Role,
        plan::{Place, Plan},
    },
    ops::{TensorId, shape_error},
};

/// Part of a buffer, in elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) at: usize,
    pub(crate) elements: usize,
    /// How an element lies in memory.
    pub(crate) kept: Kept,
}

impl View {
    pub(crate) fn whole(buffer: wgpu::Buffer, elements: usize) -> Self {
        Self { buffer, at: 0, elements, kept: Kept::F32 }
    }

    pub(crate) fn range(&self, range: Range<usize>) -> Self {
        Self { buffer: self.buffer.clone(), at: self.at + range.start, elements: range.len(), kept: self.kept }
    }

    /// The offset in bytes.
    pub(crate) fn offset(&self) -> u64 {
        (self.kept.bytes() * self.at) as u64
    }

    /// Bytes, in whole words.
    pub(crate) fn bytes(&self) -> u64 {
        4 * self.kept.words(self.elements) as u64
    }

    /// Elements to which a part has to be aligned to be bound alone.
    pub(crate) fn alignment(&self) -> usize {
        Gpu::ALIGNMENT / self.kept.bytes()
    }
}

/// Elements to which tensors in an arena are aligned, so that each can be bound alone.
pub(crate) const ALIGNMENT: usize = Gpu::ALIGNMENT / 4;

/// A run of parameters that one binding can show, and their momenta at the same offsets.
struct Segment {
    elements: usize,
    parameters: wgpu::Buffer,
    momenta: Option<wgpu::Buffer>,
}

/// Where a variable is kept.
#[derive(Debug, Clone)]
enum Home {
    Parameter(Spot),
    Momentum(Spot),
    State(wgpu::Buffer, usize),
}

/// A place in the segments of parameters, momenta and gradients alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) segment: usize,
    pub(crate) at: usize,
}

/// Elements up to which a parameter goes to the first segment, so that an op can bind several of them at once, and one
/// dispatch completes the sums of all gradients that come in parts.
const SMALL: usize = MOST_OF_AN_OP / 2;

/// Shares parameters out among `count` segments of at most `most` elements: the small ones to the first, then the
/// largest first, each to the segment that has least; `None` where one does not fit.
fn fill(parameters: &[(String, usize)], count: usize, most: usize) -> Option<(Vec<Spot>, Vec<usize>)> {
    let is_small = |i: usize| parameters[i].1 <= SMALL;
    let mut order: Vec<usize> = (0..parameters.len()).collect();
    order.sort_by_key(|&i| (!is_small(i), std::cmp::Reverse(parameters[i].1)));
    let mut sizes = vec![0; count];
    let mut spots = vec![Spot { segment: 0, at: 0 }; parameters.len()];
    for i in order {
        let size = parameters[i].1.next_multiple_of(ALIGNMENT);
        let least = (0..count).min_by_key(|&segment| sizes[segment])?;
        let segment = if is_small(i) && sizes[0] + size <= most { 0 } else { least };
        spots[i] = Spot { segment, at: sizes[segment] };
        sizes[segment] += size;
        if sizes[segment] > most {
            return None;
        }
    }
    Some((spots, sizes))
}

/// What the executor keeps between runs, by name.
#[derive(Default)]
pub(crate) struct Variables {
    segments: Vec<Segment>,
    states: Vec<wgpu::Buffer>,
    homes: HashMap<String, (Home, usize)>,
}

/// Parameters above this many elements are spread over at least two segments where bindings are small, so that the
/// number of dispatches does not depend on whether the network just fits one.
const SPREAD: usize = 4 << 20;
const SMALL_BINDING: u64 = 512 << 20;

impl Variables {
    /// Makes room for the variables of a graph that are not there yet.
    pub(crate) fn declare(&mut self, gpu: &mut Gpu, graph: &Graph, plan: &Plan) -> Result<()> {
        let (mut new, mut states) = (Vec::new(), Vec::new());
        for id in graph.select(|role| matches!(role, Role::Parameter(_) | Role::State(_))) {
            let tensor = graph.tensor(id);
            let elements = tensor.shape.elements();
            match self.homes.get(&tensor.name) {
                Some((_, found)) if *found == elements => {}
                Some((_, found)) => {
                    let expected = format!("variable {} of {found} elements, as in another program", tensor.name);
                    return Err(shape_error("compile", expected, &tensor.shape, "clear the executor first"));
                }
                None if matches!(tensor.role, Role::State(_)) => states.push((tensor.name.clone(), elements)),
                None => new.push((tensor.name.clone(), elements)),
            }
        }
        self.add_segments(gpu, &new)?;
        self.add_states(gpu, states)?;
        for id in graph.select(|role| matches!(role, Role::Momentum(_))) {
            if plan.places[id.index()] == Place::Unused {
                continue;
            }
            let tensor = graph.tensor(id);
            let Role::Momentum(of) = tensor.role else { continue };
            let spot = self.spot(&graph.tensor(of).name);
            let segment = &mut self.segments[spot.segment];
            if segment.momenta.is_none() {
                segment.momenta = Some(gpu.storage("momenta", segment.elements)?);
            }
            self.homes.insert(tensor.name.clone(), (Home::Momentum(spot), tensor.shape.elements()));
        }
        Ok(())
    }

    /// Puts new states into one buffer, so that an op can bind several of them at once.
    fn add_states(&mut self, gpu: &mut Gpu, new: Vec<(String, usize)>) -> Result<()> {
        let total: usize = new.iter().map(|(_, elements)| elements.next_multiple_of(ALIGNMENT)).sum();
        if total == 0 {
            return Ok(());
        }
        let buffer = gpu.storage("states", total)?;
        self.states.push(buffer.clone());
        let mut at = 0;
        for (name, elements) in new {
            self.homes.insert(name, (Home::State(buffer.clone(), at), elements));
            at += elements.next_multiple_of(ALIGNMENT);
        }
        Ok(())
    }

    fn add_segments(&mut self, gpu: &mut Gpu, new: &[(String, usize)]) -> Result<()> {
        let most = (gpu.max_binding / 4) as usize;
        let size = |elements: usize| elements.next_multiple_of(ALIGNMENT);
        if let Some((name, elements)) = new.iter().find(|(_, elements)| size(*elements) > most) {
            return Err(gpu.too_large(format!("parameter {name}"), 4 * size(*elements) as u64, gpu.max_binding));
        }
        let total: usize = new.iter().map(|(_, elements)| size(*elements)).sum();
        let spread = total > SPREAD && gpu.max_binding < SMALL_BINDING;
        let least = total.div_ceil(most).max(if spread { 2 } else { 1 });
        let (spots, sizes) = (least..).find_map(|count| fill(new, count, most)).expect("invariant: each fits alone");
        let spots = spots.into_iter().map(|spot| Spot { segment: self.segments.len() + spot.segment, ..spot });
        let spots: Vec<_> = spots.collect();
        for elements in sizes.into_iter().filter(|&elements| elements > 0) {
            let parameters = gpu.storage("parameters", elements)?;
            self.segments.push(Segment { elements, parameters, momenta: None });
        }
        for ((name, elements), spot) in new.iter().zip(spots) {
            self.homes.insert(name.clone(), (Home::Parameter(spot), *elements));
        }
        Ok(())
    }

    /// Where a parameter and its momentum and gradient are.
    pub(crate) fn spot(&self, parameter: &str) -> Spot {
        match self.homes.get(parameter) {
            Some((Home::Parameter(spot) | Home::Momentum(spot), _)) => *spot,
            _ => unreachable!("invariant: parameters are declared before they are used"),
        }
    }

    /// A variable's memory.
    pub(crate) fn view(&self, name: &str) -> Option<View> {
        let (home, elements) = self.homes.get(name)?;
        let (buffer, at) = match home {
            Home::Parameter(spot) => (&self.segments[spot.segment].parameters, spot.at),
            Home::Momentum(spot) => (self.segments[spot.segment].momenta.as_ref()?, spot.at),
            Home::State(buffer, at) => (buffer, *at),
        };
        Some(View { buffer: buffer.clone(), at, elements: *elements, kept: Kept::F32 })
    }

    /// A segment's parameters and momenta.
    pub(crate) fn segment(&self, segment: usize) -> (View, Option<View>) {
        let Segment { elements, parameters, momenta } = &self.segments[segment];
        let momenta = momenta.as_ref().map(|buffer| View::whole(buffer.clone(), *elements));
        (View::whole(parameters.clone(), *elements), momenta)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let states = self.states.iter().map(wgpu::Buffer::size);
        let arenas = self.segments.iter().map(|s| s.parameters.size() + s.momenta.as_ref().map_or(0, |m| m.size()));
        states.sum::<u64>() + arenas.sum::<u64>()
    }
}

/// The tensors of a program.
pub(crate) struct Tensors {
    views: Vec<Option<View>>,
    /// The gradients that SGD applies, laid out as the parameters' segments.
    gradients: HashMap<usize, View>,
    pub(crate) bytes: u64,
}

impl Tensors {
    pub(crate) fn new(
        gpu: &mut Gpu,
        variables: &Variables,
        graph: &Graph,
        plan: &Plan,
        storage: &Storage,
    ) -> Result<Self> {
        let mut tensors = Self { views: vec![None; plan.places.len()], gradients: HashMap::new(), bytes: 0 };
        let mut slots = Vec::new();
        for &words in &plan.slots {
            slots.push(tensors.buffer(gpu, "activations", words)?);
        }
        for index in 0..plan.places.len() {
            let id = TensorId(index);
            let root = graph.root(id);
            if root != id {
                continue;
            }
            let tensor = graph.tensor(id);
            let elements = tensor.shape.elements();
            let kept = storage.of(id);
            tensors.views[index] = match (&plan.places[index], &tensor.role) {
                (Place::Unused, _) => None,
                (Place::Slot(slot), _) => Some(View { kept, ..View::whole(slots[*slot].clone(), elements) }),
                (Place::Gradient(parameter), _) => {
                    let spot = variables.spot(&graph.tensor(*parameter).name);
                    let segment = tensors.segment(gpu, variables, spot.segment)?;
                    Some(segment.range(spot.at..spot.at + elements))
                }
                (Place::Own, Role::Parameter(_) | Role::State(_) | Role::Momentum(_)) => variables.view(&tensor.name),
                (Place::Own, role) => {
                    let buffer = tensors.buffer(gpu, &tensor.name, kept.words(elements))?;
                    let view = View { kept, ..View::whole(buffer, elements) };
                    if let Role::Constant(value) = *role
                        && value != 0.0
                    {
                        let values = vec![value as f32; elements];
                        gpu.queue.write_buffer(&view.buffer, 0, bytemuck::cast_slice(&values));
                    }
                    Some(view)
                }
            };
        }
        for index in 0..plan.places.len() {
            tensors.views[index] = tensors.views[graph.root(TensorId(index)).index()].clone();
        }
        Ok(tensors)
    }

    /// Makes a buffer of this program.
    pub(crate) fn buffer(&mut self, gpu: &mut Gpu, label: &str, elements: usize) -> Result<wgpu::Buffer> {
        let buffer = gpu.storage(label, elements)?;
        self.bytes += buffer.size();
        Ok(buffer)
    }

    /// The gradients of a segment's parameters.
    pub(crate) fn segment(&mut self, gpu: &mut Gpu, variables: &Variables, segment: usize) -> Result<View> {
        if let Some(view) = self.gradients.get(&segment) {
            return Ok(view.clone());
        }
        let elements = variables.segments[segment].elements;
        let view = View::whole(self.buffer(gpu, "gradients", elements)?, elements);
        self.gradients.insert(segment, view.clone());
        Ok(view)
    }

    pub(crate) fn view(&self, id: TensorId) -> Option<&View> {
        self.views[id.index()].as_ref()
    }
}
