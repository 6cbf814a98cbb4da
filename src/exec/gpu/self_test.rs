//! What a driver makes of a [`Variant`] is tried before it is relied on: small convolutions and both gradients, by the
//! variant and by the plain shaders.
//!
//! All operands are small whole numbers that f16 holds, as f32 holds their sums, so that the order of a sum does not
//! matter and every result must be exactly the plain one. Sums exceed 2048, above which f16 would lose their last bit.

use std::sync::{Mutex, PoisonError};

use super::{GpuExecutor, Options, variant::Variant};
use crate::{
    Result,
    exec::Executor,
    graph::Graph,
    ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Op, TensorId},
};

/// A convolution to be tried.
struct Case {
    conv: Conv2d,
    x: [usize; 4],
    weight: [usize; 4],
    dy: [usize; 4],
}

/// Sums so small that f16 holds every one as a multiple of a unit.
const HALF: Case = Case {
    conv: Conv2d { stride: 1, padding: 1, groups: 1 },
    x: [2, 12, 7, 9],
    weight: [20, 12, 3, 3],
    dy: [2, 20, 7, 9],
};
/// Values' unit, so that gradients, which are products of two, stay within f16's range.
const HALF_UNIT: f32 = 1.0 / 64.0;

const CASES: [Case; 2] = [
    // Groups of 37 inputs and 70 outputs: several tiles of every variant, and a remainder, in each direction.
    Case {
        conv: Conv2d { stride: 1, padding: 1, groups: 2 },
        x: [3, 2 * 37, 9, 11],
        weight: [2 * 70, 37, 3, 3],
        dy: [3, 2 * 70, 9, 11],
    },
    // Rows of the left matrices that are whole fours.
    Case {
        conv: Conv2d { stride: 1, padding: 0, groups: 1 },
        x: [2, 12, 8, 10],
        weight: [70, 12, 3, 3],
        dy: [2, 70, 6, 8],
    },
];

/// Multiples of `unit` from −3 to 7 of it, so that sums grow.
fn values(count: usize, salt: u32, unit: f32) -> Vec<f32> {
    let value = |i: u32| {
        let mixed = (i ^ salt.wrapping_mul(0x9e37_79b9)).wrapping_mul(2_654_435_761);
        ((mixed ^ mixed >> 15).wrapping_mul(2_246_822_519) >> 16) % 11
    };
    (0..count as u32).map(|i| (value(i) as f32 - 3.0) * unit).collect()
}

/// Named results.
type Products = Vec<(&'static str, Vec<f32>)>;

/// Where results are not equal, in a sentence's end.
fn difference(expected: &Products, found: &Products) -> Option<String> {
    expected.iter().zip(found).find_map(|((what, expected), (_, found))| {
        // NaN differs too.
        let differs = |(e, f): &(&f32, &f32)| e != f;
        let wrong = expected.iter().zip(found).filter(differs).count();
        let (e, f) = expected.iter().zip(found).find(differs)?;
        Some(format!("{wrong} of {} values of the {what} are wrong, such as {f} for {e}", expected.len()))
    })
}

/// The variants that have passed in this process, with the adapter and driver that they passed on.
static PASSED: Mutex<Vec<(String, Variant)>> = Mutex::new(Vec::new());

impl GpuExecutor {
    /// Whether a variant gives the plain shaders' results; if not, what is wrong. What has passed is not tried again in
    /// this process, for software adapters take seconds. With `spoil` it is, and one of its results is changed first.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the plain shaders fail too.
    pub(super) fn self_test(&mut self, variant: Variant, spoil: bool) -> Result<Option<String>> {
        let of = (format!("{} {}", self.gpu.info.name, self.gpu.info.detail), variant);
        if !spoil && PASSED.lock().unwrap_or_else(PoisonError::into_inner).contains(&of) {
            return Ok(None);
        }
        let problem = self.compared(variant, spoil)?;
        if problem.is_none() {
            PASSED.lock().unwrap_or_else(PoisonError::into_inner).push(of);
        }
        Ok(problem)
    }

    /// What the variant's results differ in from the plain shaders', if they do.
    fn compared(&mut self, variant: Variant, spoil: bool) -> Result<Option<String>> {
        self.gpu.use_variant(Variant::Workgroup);
        let expected = self.products(1.0)?;
        self.gpu.use_variant(variant);
        let found = self.products(1.0);
        self.gpu.use_variant(Variant::Workgroup);
        let mut found = match found {
            Ok(found) => found,
            Err(error) => return Ok(Some(error.to_string())),
        };
        if spoil {
            *found[0].1.last_mut().expect("invariant: a result has elements") += 1.0;
        }
        Ok(difference(&expected, &found))
    }

    /// Keeps feature maps as f16 from now on, where a convolution of such maps and its gradients are exactly what they are
    /// in f32.
    pub(super) fn keep_maps(&mut self, options: &Options) -> Result<()> {
        if options.wide_maps {
            return Ok(());
        }
        let expected = self.products_of(&HALF, HALF_UNIT)?;
        self.half_maps = true;
        let mut found = match self.products_of(&HALF, HALF_UNIT) {
            Ok(found) => found,
            Err(error) => return self.refuse_half_maps(&error.to_string()),
        };
        if options.spoil_maps {
            *found[0].1.last_mut().expect("invariant: a result has elements") += 1.0;
        }
        match difference(&expected, &found) {
            Some(problem) => self.refuse_half_maps(&problem),
            None => Ok(()),
        }
    }

    fn refuse_half_maps(&mut self, problem: &str) -> Result<()> {
        self.half_maps = false;
        self.gpu.info.notes.push(format!("feature maps are kept as f32, since f16 failed its self-test: {problem}"));
        self.gpu.check()
    }

    /// Convolutions and their gradients, of multiples of `unit`.
    pub(super) fn products(&mut self, unit: f32) -> Result<Products> {
        let mut results = Vec::new();
        for case in &CASES {
            results.extend(self.products_of(case, unit)?);
        }
        Ok(results)
    }

    fn products_of(&mut self, case: &Case, unit: f32) -> Result<Products> {
        let Case { conv, x, weight, dy } = *case;
        let (size, kernel) = ([x[2], x[3]], [weight[2], weight[3]]);
        let mut graph = Graph::new();
        let [x, weight, dy] = [("x", x), ("weight", weight), ("dy", dy)].map(|(name, dims)| graph.input(name, dims));
        let ops: [(&str, Op, [TensorId; 2]); 3] = [
            ("convolution", conv.into(), [x, weight]),
            ("input gradient", Conv2dGradInput { conv, size }.into(), [dy, weight]),
            ("weight gradient", Conv2dGradWeight { conv, kernel, bias: true }.into(), [dy, x]),
        ];
        let mut results = Vec::new();
        for (what, op, inputs) in ops {
            for id in graph.push(op, &inputs, &[])? {
                graph.output(id);
                results.push((what, id));
            }
        }
        let (plan, storage) = self.plan(&graph);
        let program = self.compile_planned(&graph, &plan, &storage)?;
        for (salt, id) in [x, weight, dy].into_iter().enumerate() {
            let count = graph.tensor(id).shape.elements();
            self.write(program, id, &values(count, 1 + salt as u32, unit))?;
        }
        self.run(program)?;
        let read = |(what, id)| Ok((what, self.read(program, id)?));
        let results = results.into_iter().map(read).collect();
        self.programs.pop();
        results
    }
}
