//! Sums over the runs of a program.

use super::{
    lower::Lower,
    shader::{Kernel, one_each, params},
};
use crate::{Result, graph::Node, ops::running_sums::MOST_INPUTS};

params!(RunningSumsParams for "running_sums" {
    end_a: u32,
    end_b: u32,
    end_c: u32,
    end_d: u32,
    end_e: u32,
    end_f: u32,
    elements: u32,
    zero: u32,
});

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let mut elements = 0;
    let mut ends = [0; MOST_INPUTS];
    for (i, end) in ends.iter_mut().enumerate() {
        elements += node.inputs.get(i).map_or(0, |&id| cx.elements(id));
        *end = elements as u32;
    }
    let [end_a, end_b, end_c, end_d, end_e, end_f, _] = ends;
    let params = RunningSumsParams { end_a, end_b, end_c, end_d, end_e, end_f, elements: elements as u32, zero: 0 };
    // A binding without an input of its own shows the last one, of which no element is left to take.
    let last = node.inputs.len() - 1;
    let mut operands: Vec<_> = (0..MOST_INPUTS).map(|i| cx.read(node.inputs[i.min(last)])).collect();
    operands.push(cx.write(node.updates[0]));
    cx.dispatch(Kernel::new("running_sums", "main"), params, operands, one_each(elements))
}
