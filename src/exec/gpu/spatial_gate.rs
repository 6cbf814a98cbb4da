//! CBAM's spatial gate: two dispatches forward, two backward, one in evaluation mode.

use super::{
    channel_gate::RUN,
    lower::{Lower, Operand},
    memory::View,
    partial_sums,
    shader::{Kernel, params},
};
use crate::{
    Result,
    graph::Node,
    ops::{SpatialGate, SpatialGateEval, TensorId, shape_error},
};

params!(SpatialGateParams for "spatial_gate" {
    images: u32, groups: u32, channels: u32, height: u32, width: u32, lanes: u32, run: u32,
    first_split: u32, all_splits: u32, leads: u32,
    x_at: u32, pooled_at: u32, y_at: u32, a_at: u32, normal_at: u32,
    filters_at: u32, weight_at: u32, bias_at: u32, mean_at: u32, variance_at: u32,
    count: f32, eps: f32, momentum: f32,
});
params!(SpatialGateGradParams for "spatial_gate_grad" {
    images: u32, groups: u32, channels: u32, height: u32, width: u32, lanes: u32, run: u32,
    first_split: u32, all_splits: u32, leads: u32, has_direct: u32,
    dy_at: u32, x_at: u32, normal_at: u32, direct_at: u32, dx_at: u32, t_at: u32, pooled_at: u32, dpooled_at: u32,
    filters_at: u32, weight_at: u32, bias_at: u32, count: f32,
});

/// Invocations of a workgroup.
const WORKGROUP: usize = 256;
/// Workgroups that keep a GPU busy with convolutions.
const ENOUGH: usize = 512;
/// The same with channels to multiply, where an invocation has many loads under way. More would need more of them to
/// share a pixel, which shortens the rows that they read.
const ENOUGH_OF_CHANNELS: usize = 256;
/// The most invocations that share a pixel's channels: 32 neighbours still read 32 neighbouring pixels.
const MOST_LANES: usize = 8;
/// The same of strips, for 32 neighbouring columns.
const MOST_LANES_OF_STRIPS: usize = 2;
/// The most runs of a group's pixels in a dispatch, whose sums each workgroup of the next one adds up.
const MOST_RUNS: usize = 1024;
/// The most runs where a filter's gradient is summed.
const MOST_FILTER_RUNS: usize = 256;
/// Pixels below each other that an invocation convolves at once.
const STRIP: usize = 4;
/// The largest filter for whose gradient a workgroup has an invocation for each four taps.
const LARGEST_KERNEL: usize = 21;

/// Sizes of a gate.
#[derive(Clone, Copy)]
struct Gate {
    n: usize,
    groups: usize,
    /// Channels of a group.
    channels: usize,
    height: usize,
    width: usize,
    kernel: usize,
}

impl Gate {
    fn new(cx: &Lower<'_>, groups: usize, x: TensorId, filters: TensorId) -> Self {
        let ([n, c, height, width], [_, _, kernel, _]) = (cx.nchw(x), cx.nchw(filters));
        Self { n, groups, channels: c / groups, height, width, kernel }
    }

    /// The pixels of a group in some images.
    fn pixels(&self, images: usize) -> usize {
        images * self.height * self.width
    }

    /// The runs of a group's pixels in some images.
    fn pixel_runs(&self, images: usize) -> usize {
        images * (self.height * self.width).div_ceil(RUN)
    }

    /// How many invocations share the channels of each of a group's pixels, or runs of them: more where there are few.
    fn lanes(&self, pixels: usize) -> usize {
        let mut lanes = 1;
        while lanes < MOST_LANES.min(self.channels.next_power_of_two())
            && pixels * self.groups * lanes < ENOUGH_OF_CHANNELS * WORKGROUP
        {
            lanes *= 2;
        }
        lanes
    }

    /// The strips of a group in some images.
    fn strips(&self, images: usize) -> usize {
        images * self.height.div_ceil(STRIP) * self.width
    }

    /// How workgroups share `pixels` of a group, or runs of them, where [`Gate::lanes`] invocations share a pixel's
    /// channels.
    fn shared(&self, pixels: usize) -> Runs {
        Runs::new(pixels, WORKGROUP / self.lanes(pixels), MOST_RUNS)
    }

    /// The runs of strips where each strip has an invocation and each run leaves sums, at most `most`.
    fn summed_runs(&self, images: usize, most: usize) -> Runs {
        Runs::new(self.strips(images), WORKGROUP, ENOUGH.div_ceil(self.groups).min(most))
    }
}

/// How a group's pixels or strips are shared out among workgroups.
struct Runs {
    length: usize,
    count: usize,
}

impl Runs {
    /// At most `most` runs of a multiple of `together`, which a workgroup takes at a time.
    fn new(items: usize, together: usize, most: usize) -> Self {
        let length = items.div_ceil(most).next_multiple_of(together);
        Self { length, count: items.div_ceil(length) }
    }
}

fn base_params(gate: &Gate, parameters: &[u32]) -> SpatialGateParams {
    SpatialGateParams {
        images: gate.n as u32,
        groups: gate.groups as u32,
        channels: gate.channels as u32,
        height: gate.height as u32,
        width: gate.width as u32,
        lanes: 1,
        all_splits: 1,
        filters_at: parameters[0],
        weight_at: parameters[1],
        bias_at: parameters[2],
        count: gate.pixels(gate.n) as f32,
        ..Default::default()
    }
}

fn kernel(entry: &'static str, gate: &Gate) -> Kernel {
    Kernel::new("spatial_gate", entry).with("KERNEL", gate.kernel as u32)
}

pub(crate) fn forward(cx: &mut Lower<'_>, node: &Node, op: SpatialGate) -> Result<()> {
    let (x, pooled) = (node.inputs[0], node.inputs[1]);
    let (y, a, normal, rstd) = (node.outputs[0], node.outputs[1], node.outputs[2], node.outputs[3]);
    let gate = Gate::new(cx, op.groups, x, node.inputs[2]);
    let (parameters, at) = cx.read_together(&node.inputs[2..5])?;
    let (states, states_at) = cx.update_together(&node.updates[..2])?;
    let chunks = cx.image_chunks(&[x, pooled], gate.n)?;
    let runs: Vec<_> = chunks.iter().map(|images| gate.summed_runs(images.len(), MOST_RUNS)).collect();
    let all_splits: usize = runs.iter().map(|runs| runs.count).sum();
    let partials = cx.partial(3 * gate.groups * all_splits)?;
    let common = SpatialGateParams {
        all_splits: all_splits as u32,
        mean_at: states_at[0],
        variance_at: states_at[1],
        eps: op.eps as f32,
        momentum: op.momentum as f32,
        ..base_params(&gate, &at)
    };
    let mut first_split = 0;
    for (images, runs) in chunks.iter().zip(&runs) {
        let (bound_pooled, pooled_at) = cx.read_images(pooled, gate.n, images);
        let (bound_normal, normal_at) = cx.write_images(normal, gate.n, images);
        let params = SpatialGateParams {
            images: images.len() as u32,
            run: runs.length as u32,
            first_split: first_split as u32,
            pooled_at,
            normal_at,
            ..common
        };
        let operands = vec![parameters.clone(), bound_pooled, bound_normal, partial_sums::write(partials.clone())];
        cx.dispatch(kernel("convolve", &gate), params, operands, [runs.count as u32, gate.groups as u32, 1])?;
        first_split += runs.count;
    }
    for (i, images) in chunks.iter().enumerate() {
        let (bound_normal, normal_at) = cx.write_images(normal, gate.n, images);
        let (bound_a, a_at) = cx.write_images(a, gate.n, images);
        let (bound_x, x_at) = cx.read_images(x, gate.n, images);
        let (bound_y, y_at) = cx.write_images(y, gate.n, images);
        let pixel_runs = gate.pixel_runs(images.len());
        let runs = gate.shared(pixel_runs);
        let params = SpatialGateParams {
            images: images.len() as u32,
            lanes: gate.lanes(pixel_runs) as u32,
            run: runs.length as u32,
            leads: (i == 0).into(),
            x_at,
            y_at,
            a_at,
            normal_at,
            ..common
        };
        let operands = vec![
            parameters.clone(),
            partial_sums::read(partials.clone()),
            bound_normal,
            bound_a,
            bound_x,
            bound_y,
            cx.write(rstd),
            states.clone(),
        ];
        let kernel = kernel("apply", &gate).with("ALIGNED", (gate.height * gate.width).is_multiple_of(RUN));
        cx.dispatch(kernel, params, operands, [runs.count as u32, gate.groups as u32, 1])?;
    }
    Ok(())
}

pub(crate) fn evaluate(cx: &mut Lower<'_>, node: &Node, op: SpatialGateEval) -> Result<()> {
    let (x, pooled) = (node.inputs[0], node.inputs[1]);
    let (y, a) = (node.outputs[0], node.outputs[1]);
    let gate = Gate::new(cx, op.groups, x, node.inputs[2]);
    let (parameters, at) = cx.read_together(&node.inputs[2..5])?;
    let (running, running_at) = cx.read_together(&node.inputs[5..7])?;
    for images in cx.image_chunks(&[x, pooled], gate.n)? {
        let (bound_pooled, pooled_at) = cx.read_images(pooled, gate.n, &images);
        let (bound_a, a_at) = cx.write_images(a, gate.n, &images);
        let (bound_x, x_at) = cx.read_images(x, gate.n, &images);
        let (bound_y, y_at) = cx.write_images(y, gate.n, &images);
        let lanes = gate.lanes(gate.pixels(images.len())).min(MOST_LANES_OF_STRIPS);
        let runs = Runs::new(gate.strips(images.len()), WORKGROUP / STRIP / lanes, MOST_RUNS);
        let params = SpatialGateParams {
            images: images.len() as u32,
            lanes: lanes as u32,
            run: runs.length as u32,
            x_at,
            pooled_at,
            y_at,
            a_at,
            mean_at: running_at[0],
            variance_at: running_at[1],
            eps: op.eps as f32,
            ..base_params(&gate, &at)
        };
        let operands = vec![parameters.clone(), bound_pooled, running.clone(), bound_a, bound_x, bound_y];
        cx.dispatch(kernel("evaluate", &gate), params, operands, [runs.count as u32, gate.groups as u32, 1])?;
    }
    Ok(())
}

pub(crate) fn grad(cx: &mut Lower<'_>, node: &Node, groups: usize) -> Result<()> {
    let (dy, x, pooled, filters) = (node.inputs[0], node.inputs[1], node.inputs[2], node.inputs[3]);
    let (normal, rstd, direct) = (node.inputs[6], node.inputs[7], node.inputs.get(8).copied());
    let (dx, dpooled, t) = (node.outputs[0], node.outputs[1], node.outputs[5]);
    let gate = Gate::new(cx, groups, x, filters);
    if gate.kernel > LARGEST_KERNEL {
        let expected = format!("a filter of at most {LARGEST_KERNEL}×{LARGEST_KERNEL} for its gradient on a GPU");
        let hint = "use a smaller filter, or --device cpu";
        return Err(shape_error("SpatialGate", expected, format!("{0}×{0}", gate.kernel), hint));
    }
    let (parameters, at) = cx.read_together(&node.inputs[3..6])?;
    let chunks = cx.image_chunks(&[dy, x, pooled], gate.n)?;
    let all_splits: usize = chunks.iter().map(|images| gate.shared(gate.pixel_runs(images.len())).count).sum();
    let sums = View::whole(cx.tensors.buffer(cx.gpu, "sums", 2 * groups * all_splits)?, 2 * groups * all_splits);
    let common = SpatialGateGradParams {
        groups: groups as u32,
        channels: gate.channels as u32,
        height: gate.height as u32,
        width: gate.width as u32,
        lanes: 1,
        all_splits: all_splits as u32,
        has_direct: direct.is_some().into(),
        filters_at: at[0],
        weight_at: at[1],
        bias_at: at[2],
        count: gate.pixels(gate.n) as f32,
        ..Default::default()
    };
    let kernel = |entry| Kernel::new("spatial_gate_grad", entry).with("KERNEL", gate.kernel as u32);

    let mut first_split = 0;
    for images in &chunks {
        let (bound_dy, dy_at) = cx.read_images(dy, gate.n, images);
        let (bound_x, x_at) = cx.read_images(x, gate.n, images);
        let (bound_normal, normal_at) = cx.read_images(normal, gate.n, images);
        // Where no gradient arrives at the attention, its binding shows x̂ and is not read.
        let (bound_direct, direct_at) = cx.read_images(direct.unwrap_or(normal), gate.n, images);
        let (bound_dx, dx_at) = cx.write_images(dx, gate.n, images);
        let (bound_t, t_at) = cx.write_images(t, gate.n, images);
        let pixel_runs = gate.pixel_runs(images.len());
        let runs = gate.shared(pixel_runs);
        let params = SpatialGateGradParams {
            images: images.len() as u32,
            lanes: gate.lanes(pixel_runs) as u32,
            run: runs.length as u32,
            first_split: first_split as u32,
            dy_at,
            x_at,
            normal_at,
            direct_at,
            dx_at,
            t_at,
            ..common
        };
        let mut operands = vec![parameters.clone(), bound_dy, bound_x, bound_normal, bound_direct, bound_dx, bound_t];
        operands.push(Operand::write(sums.clone()));
        let kernel = kernel("reduce").with("ALIGNED", (gate.height * gate.width).is_multiple_of(RUN));
        cx.dispatch(kernel, params, operands, [runs.count as u32, groups as u32, 1])?;
        first_split += runs.count;
    }

    let weights = cx.elements(filters);
    let most = (partial_sums::MOST_OF_AN_OP / weights).clamp(1, MOST_FILTER_RUNS);
    let runs: Vec<_> = chunks.iter().map(|images| gate.summed_runs(images.len(), most)).collect();
    let splits: usize = runs.iter().map(|runs| runs.count).sum();
    let partials = cx.partial(2 * groups + splits * weights)?;
    let mut first_split = 0;
    for (i, (images, runs)) in chunks.iter().zip(&runs).enumerate() {
        let (bound_pooled, pooled_at) = cx.read_images(pooled, gate.n, images);
        let (bound_normal, normal_at) = cx.read_images(normal, gate.n, images);
        let (bound_dpooled, dpooled_at) = cx.write_images(dpooled, gate.n, images);
        let (bound_t, t_at) = cx.read_images(t, gate.n, images);
        let params = SpatialGateGradParams {
            images: images.len() as u32,
            run: runs.length as u32,
            first_split: first_split as u32,
            leads: (i == 0).into(),
            normal_at,
            t_at,
            pooled_at,
            dpooled_at,
            ..common
        };
        let mut operands = vec![parameters.clone(), bound_pooled, cx.read(rstd), bound_normal];
        operands.extend([Operand::read(sums.clone()), bound_dpooled, bound_t]);
        operands.push(partial_sums::write(partials.clone()));
        cx.dispatch(kernel("convolve"), params, operands, [runs.count as u32, groups as u32, 1])?;
        first_split += runs.count;
    }
    let [dfilters, dweight, dbias] = [node.outputs[2], node.outputs[3], node.outputs[4]];
    let start = partials.start;
    for (gradient, from, count) in
        [(dweight, start, 1), (dbias, start + groups, 1), (dfilters, start + 2 * groups, splits)]
    {
        if cx.is_used(gradient) {
            cx.sum_later(gradient, from, count, weights);
        }
    }
    Ok(())
}
