//! The comparator `|a − e| ≤ atol + rtol·|e|`, and the tolerance of each op from its accumulation length.
//!
//! `u` is the unit roundoff of the device (2⁻²⁴ in f32). A sum of n products of typical size t meets partial sums of
//! about t·√n where the terms cancel and t·n where they do not; its n rounding errors of u times the partial sum then
//! add up, as a random walk, to about u·t·n or u·√n times the sum. [`Tolerance::sum`] allows four times either.
//! Exponentials, logarithms and divisions get WGSL's allowances: exp (3 + 2|x|) ULP, log 2⁻²¹ = 8u, division 2.5 ULP.
//! In mixed precision, u = 2⁻¹¹, both operands of a product are rounded to f16, so that it is off by up to 2u; n such
//! errors add up, as a random walk, to a part of u·√n products, of which [`Tolerance::products`] allows six times, beside
//! what the sum in f32 is off by.
//! What is only copied, compared or counted must agree exactly.

use moue::ops::{Augment, BatchNorm, Function, Objective, Op, PoolKind, Pooling, SpatialGate, SpatialGateEval};

use super::{
    data::Array,
    reference::{cofactor_slack, first_order_slack, spatial_scores},
};

/// Unit roundoff of f32.
pub(crate) const UNIT_F32: f64 = f32::EPSILON as f64 / 2.0;
/// The same where a product is rounded before it is added, as WebAssembly without its relaxed instructions does: twice
/// as many errors, which as a random walk lead √2 times as far.
pub(crate) const UNIT_F32_UNFUSED: f64 = std::f64::consts::SQRT_2 * UNIT_F32;
/// Unit roundoff of f16, for the operands of mixed precision.
pub(crate) const UNIT_F16: f64 = 1.0 / 2048.0;
/// Unit roundoff of f64.
pub(crate) const UNIT_F64: f64 = f64::EPSILON / 2.0;

/// The unit roundoff of sums: mixed precision adds in f32.
fn sums_of(u: f64) -> f64 {
    if u == UNIT_F16 { UNIT_F32 } else { u }
}

/// How far a value may be from what is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tolerance {
    /// Absolute.
    pub(crate) atol: f64,
    /// As a part of the expected value.
    pub(crate) rtol: f64,
}

impl Tolerance {
    /// No difference at all.
    pub(crate) const EXACT: Self = Self { atol: 0.0, rtol: 0.0 };

    /// A tolerance.
    pub(crate) fn new(atol: f64, rtol: f64) -> Self {
        Self { atol, rtol }
    }

    /// A sum of `terms` products of typical size `term`.
    pub(crate) fn sum(u: f64, terms: usize, term: f64) -> Self {
        let n = terms as f64;
        Self::new(4.0 * u * n * term, u * (8.0 + 4.0 * n.sqrt()))
    }

    /// A sum of `terms` products of two operands, of typical size `term`, into `rows` channels of a group: few are not
    /// rounded to f16.
    pub(crate) fn products(u: f64, terms: usize, term: f64, rows: usize) -> Self {
        let sum = Self::sum(sums_of(u), terms, term);
        if u == UNIT_F16 && rows > 8 { sum.plus(6.0 * u * (terms as f64).sqrt() * term) } else { sum }
    }

    /// The same where the sum is multiplied by `factor`.
    fn times(self, factor: f64) -> Self {
        Self::new(self.atol * factor, self.rtol)
    }

    /// With more room by `atol`.
    fn plus(self, atol: f64) -> Self {
        Self::new(self.atol + atol, self.rtol)
    }
}

/// Checks values against what is expected.
///
/// # Errors
/// The number of wrong elements and the worst of them. NaN is wrong, another length is wrong.
pub(crate) fn check(what: &str, actual: &[f64], expected: &Array, tolerance: Tolerance) -> Result<(), String> {
    if actual.len() != expected.data.len() {
        return Err(format!(
            "{what}: {} values, expected {} of {:?}",
            actual.len(),
            expected.data.len(),
            expected.dims
        ));
    }
    let excess = |i: usize| {
        let (a, e) = (actual[i], expected.data[i]);
        if a == e {
            return 0.0; // Also equal infinities.
        }
        let excess = (a - e).abs() / (tolerance.atol + tolerance.rtol * e.abs());
        if excess.is_nan() { f64::INFINITY } else { excess }
    };
    let wrong: Vec<usize> = (0..actual.len()).filter(|&i| excess(i) > 1.0).collect();
    let Some(&worst) = wrong.iter().max_by(|&&i, &&j| excess(i).total_cmp(&excess(j)).then(j.cmp(&i))) else {
        return Ok(());
    };
    Err(format!(
        "{what} {:?}: {} of {} wrong, first at {}, worst at {worst}: {:e} where {:e} was expected, {:.1} times the \
         tolerance (atol {:.1e}, rtol {:.1e})",
        expected.dims,
        wrong.len(),
        actual.len(),
        wrong[0],
        actual[worst],
        expected.data[worst],
        excess(worst),
        tolerance.atol,
        tolerance.rtol,
    ))
}

/// The tolerances of an op's outputs or their [`parts`], then of its updates.
///
/// `expected` are the reference's outputs followed by the updated variables.
pub(crate) fn tolerances(op: &Op, inputs: &[Array], expected: &[Array], u: f64) -> Vec<Tolerance> {
    let rms = |i: usize| inputs[i].rms();
    let max = |i: usize| inputs[i].max_abs();
    let exact = Tolerance::EXACT;
    let product = Tolerance::new(0.0, 4.0 * u);
    match op {
        Op::Concat(_) | Op::Patches(_) | Op::PatchesJoin(_) | Op::Slice(_) | Op::SliceGrad(_) => vec![exact],
        // Of numbers on a grid: the others are judged by the sum of both rows.
        Op::RunningSums(_) => vec![exact],
        Op::Multiply(_) => vec![product],
        Op::WeightedSum(op) => {
            let size: f64 = op.weights.iter().zip(inputs).map(|(weight, x)| weight.abs() * x.max_abs()).sum();
            let sum = Tolerance::new(4.0 * u * size, 4.0 * u);
            let after = op.activation.map_or(Tolerance::EXACT, |activation| function(activation, size, u));
            vec![Tolerance::new(sum.atol + after.atol, sum.rtol + after.rtol)]
        }
        Op::AxisSum(op) => {
            let length = inputs[0].dims[op.axis];
            vec![Tolerance::sum(u, length, rms(0)).times(op.scale.abs())]
        }
        Op::AxisRepeat(_) => vec![product],
        Op::Activation(op) => vec![function(op.function, max(0), u)],
        Op::ActivationGrad(op) if op.function == Function::Relu => vec![exact],
        Op::ActivationGrad(_) => vec![Tolerance::new(f64::from(f32::MIN_POSITIVE), 8.0 * u)],
        Op::Conv2d(op) => {
            let terms: usize = inputs[1].dims[1..].iter().product();
            vec![Tolerance::products(u, terms, rms(0) * rms(1), inputs[1].dims[0] / op.groups)]
        }
        Op::Conv2dGradInput(op) => {
            let [o, inputs, kh, kw] = inputs[1].nchw();
            vec![Tolerance::products(u, o / op.conv.groups * kh * kw, rms(0) * rms(1), inputs)]
        }
        Op::Conv2dGradWeight(op) => {
            let [n, o, h, w] = inputs[0].nchw();
            let terms = n * h * w;
            let dw = Tolerance::products(u, terms, rms(0) * rms(1), o / op.conv.groups);
            let mut all = vec![dw, Tolerance::sum(sums_of(u), terms, rms(0))];
            all.truncate(expected.len());
            all
        }
        Op::Augment(op) => vec![augment(op, inputs, u)],
        Op::BatchNorm(op) => batch_norm(op, inputs, expected, u),
        Op::BatchNormEval(op) => {
            let scale = (0..inputs[1].data.len())
                .map(|c| inputs[1].data[c].abs() / (inputs[4].data[c] + op.eps).sqrt())
                .fold(0.0, f64::max);
            let before = 4.0 * u * (scale * (max(0) + max(3)) + max(2));
            let y = Tolerance::new(before, 16.0 * u);
            if op.descriptors { vec![y, average(y, &expected[0], u), y] } else { vec![y] }
        }
        Op::BatchNormGrad(op) => batch_norm_grad(op.descriptors, inputs, u),
        Op::ChannelAttention(op) => {
            let (units, each) = (inputs[1].dims[0] / op.groups, inputs[1].dims[1]);
            let hidden = Tolerance::sum(u, each, rms(0) * rms(1)).plus(4.0 * u * max(2));
            let second = Tolerance::sum(u, 2 * units, expected[1].rms() * rms(3)).plus(8.0 * u * max(4));
            let before = second.atol + 2.0 * units as f64 * max(3) * hidden.atol;
            vec![Tolerance::new(before / 4.0, 32.0 * u), hidden]
        }
        Op::ChannelAttentionGrad(op) => channel_attention_grad(op.groups, inputs, expected, u),
        Op::ChannelGate(op) => {
            let each = inputs[0].nchw()[1] / op.groups;
            vec![product, Tolerance::sum(u, each, expected[0].rms()).times(1.0 / each as f64), exact]
        }
        Op::ChannelGateGrad(_) => {
            let [_, _, h, w] = inputs[3].nchw();
            let t = rms(0) + 2.0 * rms(1);
            let dx = Tolerance::new(8.0 * u * (max(0) + 2.0 * max(1)) * max(4), 8.0 * u);
            let so_far = if inputs.len() == 6 { max(5) } else { 0.0 };
            vec![dx, Tolerance::sum(u, h * w, t * rms(3)).plus(4.0 * u * so_far)]
        }
        Op::SpatialGate(op) => spatial_gate(op, inputs, expected, u),
        Op::SpatialGateEval(op) => spatial_gate_eval(op, inputs, u),
        Op::SpatialGateGrad(op) => spatial_gate_grad(op.groups, inputs, expected, u),
        Op::CrossEntropy(_) => {
            let (images, mass) = (inputs[1].dims[0] as f64, largest_mass([&inputs[0], &inputs[1], &inputs[2]]));
            let own = Tolerance::new(16.0 * u * (max(0) + 1.0) * mass, u * (8.0 + 2.0 * images.sqrt()));
            let weights: f64 = inputs[2].data.iter().sum();
            vec![own.times(weights), own, exact]
        }
        Op::CrossEntropyGrad(_) => {
            let images = inputs[2].dims[0] as f64;
            let scale = max(0) * max(3) / images * largest_mass([&inputs[1], &inputs[2], &inputs[3]]);
            vec![Tolerance::new(32.0 * u * scale, 16.0 * u)]
        }
        Op::MixtureCrossEntropy(_) => {
            // Of each logarithm: a branch's, that of its likeness to the likeliest, that of the mixture.
            let (images, weights) = (inputs[1].dims[0] as f64, inputs[2].data.iter().sum::<f64>());
            let each = 32.0 * u * (max(0) + 1.0) * largest_mass([&inputs[0], &inputs[1], &inputs[2]]);
            vec![Tolerance::new(each * weights, u * (8.0 + 2.0 * images.sqrt()))]
        }
        Op::MixtureCrossEntropyGrad(_) => {
            // A branch's part of the mixture is at most W / weight.
            let (images, weights) = (inputs[2].dims[0] as f64, inputs[3].data.iter().sum::<f64>());
            let scale = max(0) * weights / images * largest_mass([&inputs[1], &inputs[2], &inputs[3]]);
            vec![Tolerance::new(64.0 * u * (max(1) + 1.0) * scale, 16.0 * u)]
        }
        Op::Determinant(op) => determinant(op.objective, &inputs[0], expected, u),
        Op::GlobalPool(op) => {
            let [_, _, h, w] = inputs[0].nchw();
            let mean = Tolerance::sum(u, h * w, rms(0)).times(1.0 / (h * w) as f64);
            vec![if op.pooling == Pooling::Max { exact } else { mean }, exact]
        }
        Op::GlobalPoolGrad(_) => {
            let so_far = inputs.get(2).map_or(0.0, Array::max_abs);
            vec![Tolerance::new(4.0 * u * (max(0) + so_far), 8.0 * u)]
        }
        Op::Pool2d(op) => match op.kind {
            PoolKind::Max => vec![exact],
            PoolKind::Avg => {
                let area = op.size * op.size;
                vec![Tolerance::sum(u, area, rms(0)).times(1.0 / area as f64)]
            }
        },
        Op::Pool2dGrad(op) => {
            let overlap = op.pool.size.div_ceil(op.pool.stride).pow(2);
            let part = if op.pool.kind == PoolKind::Max { 1.0 } else { 1.0 / op.pool.size.pow(2) as f64 };
            vec![if overlap == 1 { Tolerance::new(0.0, 4.0 * u) } else { Tolerance::sum(u, overlap, max(0) * part) }]
        }
        Op::Similarity(op) => {
            let features = inputs[0].data.len() / inputs[0].dims[0] / op.learners;
            let tolerance = Tolerance::new(u * (32.0 + 4.0 * (features as f64).sqrt()), 8.0 * u);
            vec![tolerance; 2]
        }
        Op::SimilarityGrad(op) => {
            let (images, learners) = (inputs[1].dims[0] as f64, op.similarity.learners as f64);
            let off_diagonal = off_diagonal_max(&inputs[3], op.similarity.learners);
            let scale = op.scale.abs() * 2.0 * max(2) / images * 2.0 * max(0) * off_diagonal * 2.0 * max(1);
            vec![Tolerance::new(u * (8.0 + 4.0 * learners.sqrt()) * scale, 8.0 * u)]
        }
        // A sum of squares, a root and a division.
        Op::UnitLength(op) => {
            let features = inputs[0].data.len() / inputs[0].dims[0] / op.learners;
            vec![Tolerance::new(0.0, u * (16.0 + 4.0 * (features as f64).sqrt()))]
        }
        Op::UnitLengthGrad(op) => {
            // dy less its part along x, which is at most as long: by the shortest row's length.
            let features = inputs[1].data.len() / inputs[1].dims[0] / op.0.learners;
            let squares = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>();
            let shortest = inputs[1].data.chunks(features).map(squares).fold(f64::INFINITY, f64::min);
            let longest = inputs[0].data.chunks(features).map(squares).fold(0.0, f64::max);
            let scale = (longest / (shortest + op.0.eps)).sqrt();
            vec![Tolerance::new(u * (16.0 + 4.0 * (features as f64).sqrt()) * scale, 8.0 * u)]
        }
        other => panic!("{} has no tolerance: choose one in tests/support/compare.rs", other.name()),
    }
}

/// Below −104 the exponential is 0 or 1 over infinity, so that no error grows further.
fn function(function: Function, largest: f64, u: f64) -> Tolerance {
    match function {
        Function::Relu => Tolerance::EXACT,
        Function::Sigmoid => Tolerance::new(f64::from(f32::MIN_POSITIVE), u * (16.0 + 4.0 * largest.min(104.0))),
    }
}

/// A position is a sum of products up to `reach`, rounded eight times; an error of it moves a value, all being in 0..1,
/// by at most as much in each direction of the interpolation and at each edge. A change of colour, rounded a few times,
/// stretches the error of those before it.
fn augment(op: &Augment, inputs: &[Array], u: f64) -> Tolerance {
    let size = op.size as f64;
    let error = |row: &[f64]| {
        let warp: Vec<f64> = row[6..12].iter().map(|m| m.abs()).collect();
        let reach = (warp[0] + warp[1]).max(warp[3] + warp[4]) * size + warp[2].max(warp[5]) + size;
        let stretched = (row[2].max(row[3]) / row[5].max(1.0) / size).max(1.0);
        let colours = row[12..21].chunks(3).map(|part| part.iter().map(|x| x.abs()).sum::<f64>().max(1.0));
        u * (4.0 * 8.0 * reach * stretched + 16.0 * colours.product::<f64>())
    };
    let most = inputs[0].data.chunks(27).map(error).fold(0.0, f64::max);
    let std = op.std.iter().fold(f64::INFINITY, |least, &std| least.min(std.into()));
    let mean = op.mean.iter().fold(0.0, |most, &mean| f64::from(mean.abs()).max(most));
    // The two images' shares add up to 1.
    Tolerance::new((most + 8.0 * u * (1.0 + mean)) / std, 8.0 * u)
}

/// Rounding of x weighs κ = max|x|/σ times as much once the mean is taken away.
fn batch_norm(op: &BatchNorm, inputs: &[Array], expected: &[Array], u: f64) -> Vec<Tolerance> {
    let [n, c, h, w] = inputs[0].nchw();
    let walk = 2.0 * ((n * h * w) as f64).sqrt();
    let largest_rstd = expected[1].data[c..].iter().copied().fold(0.0, f64::max);
    let kappa = inputs[0].max_abs() * largest_rstd;
    let before = u * (8.0 + walk) * (1.0 + kappa) * inputs[1].max_abs() + 4.0 * u * inputs[2].max_abs();
    let slope = if op.activation == Some(Function::Sigmoid) { 0.25 } else { 1.0 };
    let y = Tolerance::new(before * slope, u * (16.0 + walk));
    let mean = Tolerance::new(u * (8.0 + walk) * inputs[0].max_abs(), 0.0);
    let relative = Tolerance::new(0.0, u * (16.0 + walk));
    let mut all = vec![y, mean, relative];
    if op.descriptors {
        all.extend([average(y, &expected[0], u), y, Tolerance::EXACT]);
    }
    all.extend([Tolerance::new(mean.atol, 8.0 * u), relative]);
    all
}

/// How many equal parts an output of an op has along its first dimension, each with a tolerance of its own.
pub(crate) fn parts(op: &Op, output: usize) -> usize {
    match (op, output) {
        // Moments, descriptors.
        (Op::BatchNorm(_), 1 | 2) | (Op::BatchNormEval(_), 1) => 2,
        _ => 1,
    }
}

/// The average of y's planes, y being within a tolerance of its own.
fn average(own: Tolerance, y: &Array, u: f64) -> Tolerance {
    let [.., h, w] = y.nchw();
    let mean = Tolerance::sum(u, h * w, y.rms()).times(1.0 / (h * w) as f64);
    // Relative errors of elements do not cancel where their sum does.
    Tolerance::new(own.atol + mean.atol + own.rtol * y.rms(), mean.rtol)
}

fn batch_norm_grad(described: bool, inputs: &[Array], u: f64) -> Vec<Tolerance> {
    let [dy, x, weight, _, moments, ..] = inputs else { panic!("five or seven inputs") };
    let [n, c, h, w] = x.nchw();
    let count = n * h * w;
    let rstd = moments.data[c..].iter().copied().fold(0.0, f64::max);
    let kappa = 1.0 + x.max_abs() * rstd;
    // What a plane's descriptors add to all of its elements and to one.
    let [.., out_h, out_w] = dy.nchw();
    let (area, more) = ((out_h * out_w) as f64, if described { inputs[5].max_abs() } else { 0.0 });
    let scale = weight.max_abs() * rstd * (dy.max_abs() + more + more / area) * kappa;
    let dx = Tolerance::new(u * (16.0 + 4.0 * (count as f64).sqrt()) * scale, 8.0 * u);
    let typical = dy.rms() + more / area + more / area.sqrt();
    let terms = n * out_h * out_w;
    vec![dx, Tolerance::sum(u, terms, typical * kappa), Tolerance::sum(u, terms, typical)]
}

/// The most that z of the spatial gate may be off, and its largest value.
fn spatial_score(inputs: &[Array], u: f64) -> (f64, f64) {
    let (pooled, filters) = (&inputs[1], &inputs[2]);
    let taps = filters.dims[1..].iter().product();
    let largest = spatial_scores(pooled, filters).max_abs();
    let sum = Tolerance::sum(u, taps, pooled.rms() * filters.rms());
    (sum.atol + sum.rtol * largest, largest)
}

/// What an error of the values before the sigmoid, at most `largest`, makes of y and the attention.
fn gated(x: &Array, before: f64, largest: f64, u: f64) -> [Tolerance; 2] {
    let attention = Tolerance::new(before / 4.0, function(Function::Sigmoid, largest, u).rtol);
    [Tolerance::new(attention.atol * x.max_abs(), attention.rtol + 4.0 * u), attention]
}

/// An error e of z moves x̂ by 2·r·e, and r by r·e of itself, beside what rounding does in batch norm.
fn spatial_gate(op: &SpatialGate, inputs: &[Array], expected: &[Array], u: f64) -> Vec<Tolerance> {
    let (error, largest) = spatial_score(inputs, u);
    let (hat, rstd) = (&expected[2], &expected[3]);
    let count = hat.data.len() / op.groups;
    let walk = 2.0 * (count as f64).sqrt();
    let r = rstd.max_abs();
    let relative = r * error + u * (16.0 + walk);
    let normal = Tolerance::new(2.0 * r * error + u * (8.0 + walk) * (1.0 + r * largest), relative);
    let (weight, bias) = (inputs[3].max_abs(), inputs[4].max_abs());
    let before = weight * (normal.atol + normal.rtol * hat.max_abs()) + 4.0 * u * bias;
    let [y, attention] = gated(&inputs[0], before, weight * hat.max_abs() + bias, u);
    let deviation = 1.0 / rstd.data.iter().fold(f64::INFINITY, |least, &r| least.min(r));
    let mean = Tolerance::new(error + u * (8.0 + walk) * largest, 8.0 * u);
    let variance = Tolerance::new(2.0 * deviation * error + error * error, u * (16.0 + walk));
    vec![y, attention, normal, Tolerance::new(0.0, relative), mean.times(op.momentum), variance.times(op.momentum)]
}

fn spatial_gate_eval(op: &SpatialGateEval, inputs: &[Array], u: f64) -> Vec<Tolerance> {
    let (error, largest) = spatial_score(inputs, u);
    let [x, _, _, weight, bias, mean, variance] = inputs else { panic!("seven inputs") };
    let scales = weight.data.iter().zip(&variance.data).map(|(w, v)| w.abs() / (v + op.eps).sqrt());
    let scale = scales.fold(0.0, f64::max);
    let size = scale * (largest + mean.max_abs()) + bias.max_abs();
    gated(x, scale * error + 8.0 * u * size, size, u).to_vec()
}

/// Errors of single elements meet in later sums as a random walk.
fn spatial_gate_grad(groups: usize, inputs: &[Array], expected: &[Array], u: f64) -> Vec<Tolerance> {
    let [dy, x, pooled, filters, weight, bias, hat, rstd, direct @ ..] = inputs else { panic!("eight inputs") };
    let each = x.nchw()[1] / groups;
    let count = hat.data.len() / groups;
    let walk = 4.0 * (count as f64).sqrt();
    let attention = gated(x, 0.0, 2.0 * (weight.max_abs() * hat.max_abs() + bias.max_abs()), u)[1].rtol;
    let sum = Tolerance::sum(u, each + 1, dy.rms() * x.rms() + direct.first().map_or(0.0, Array::rms));
    let largest = each as f64 * dy.max_abs() * x.max_abs() + direct.first().map_or(0.0, Array::max_abs);
    // 1 − a is off by u, whatever its size.
    let t = Tolerance::new(sum.atol / 4.0 + 4.0 * u * largest, sum.rtol + 2.0 * attention);
    let each_t = t.atol + t.rtol * expected[5].max_abs();
    let dbias = Tolerance::sum(u, count, expected[5].rms()).plus(walk * each_t);
    let dweight = Tolerance::sum(u, count, expected[5].rms() * hat.max_abs()).plus(walk * each_t * hat.max_abs());
    let scale = weight.max_abs() * rstd.max_abs();
    let means = (dbias.atol + dweight.atol * hat.max_abs()) / count as f64;
    let each_z = scale * (each_t + means + 16.0 * u * (1.0 + hat.max_abs()) * expected[5].max_abs());
    // The projection that leads from t to dz makes nothing larger on the average.
    let typical = scale * expected[5].rms();
    let kernel = filters.nchw()[2];
    let dpooled = Tolerance::sum(u, kernel * kernel, typical * filters.rms());
    let dfilters = Tolerance::sum(u, count, typical * pooled.rms());
    vec![
        Tolerance::new(f64::from(f32::MIN_POSITIVE), attention + 4.0 * u),
        dpooled.plus(4.0 * kernel as f64 * each_z * filters.max_abs()),
        dfilters.plus(walk * each_z * pooled.max_abs()),
        dweight,
        dbias,
        t,
    ]
}

fn channel_attention_grad(groups: usize, inputs: &[Array], expected: &[Array], u: f64) -> Vec<Tolerance> {
    let [da, _, hidden, p, w1, w2] = inputs else { panic!("six inputs") };
    let (channels, units) = (w2.dims[0] / groups, w1.dims[0] / groups);
    let each = p.dims[0] * p.dims[1];
    let (before, dhidden) = (da.rms() / 4.0, expected[5].rms());
    vec![
        Tolerance::sum(u, channels + units, dhidden * w1.rms()),
        Tolerance::sum(u, channels + each, dhidden * p.rms()),
        Tolerance::sum(u, channels + each, dhidden),
        Tolerance::sum(u, each, before * hidden.rms()),
        Tolerance::sum(u, each, before),
        Tolerance::sum(u, channels, before * w2.rms()),
    ]
}

/// Elimination is exact for a matrix whose entries moved by about L roundings, so the determinant moves by that
/// part of `Σ |cofactor·entry|`, and where that is 0 (rank 1) by second-order terms.
fn determinant(objective: Objective, s: &Array, expected: &[Array], u: f64) -> Vec<Tolerance> {
    let size = s.dims[0];
    let mut s = s.clone();
    if let Objective::ShiftedLogDet { eps } = objective {
        (0..size).for_each(|i| s.data[i * size + i] += eps);
    }
    let part = u * (8.0 + 4.0 * size as f64);
    let second = part * part * s.max_abs().max(1.0).powi(size as i32);
    let det = part * first_order_slack(size, &s.data) + second;
    let cofactors = part * cofactor_slack(size, &s.data).into_iter().fold(0.0, f64::max) + second;
    match objective {
        Objective::Det => vec![Tolerance::new(det, part), Tolerance::new(cofactors, part)],
        Objective::LogDet { .. } => {
            let value = super::reference::determinant(size, &s.data);
            let relative = det / value.abs();
            if expected[1].max_abs() == 0.0 {
                return vec![Tolerance::new(0.0, 8.0 * u), Tolerance::EXACT];
            }
            vec![Tolerance::new(relative + 8.0 * u, 8.0 * u), Tolerance::new(cofactors / value, part + 2.0 * relative)]
        }
        Objective::ShiftedLogDet { eps } => {
            let (value, learners) = (super::reference::determinant(size, &s.data), size as f64);
            if expected[1].max_abs() == 0.0 {
                return vec![Tolerance::new(0.0, 8.0 * u), Tolerance::EXACT];
            }
            // No eigenvalue is below ε, so that errors of the second order are the square of those of the first.
            let first = part * first_order_slack(size, &s.data) / value;
            let relative = first + first * first;
            let cofactors = part * cofactor_slack(size, &s.data).into_iter().fold(0.0, f64::max) * (1.0 + first);
            // Up to L logarithms, each at most |log ε| or a little, are added and their sum divided by L; the inverse is a
            // product of 2L quotients.
            let logs = u * (8.0 + learners * eps.ln().abs());
            let inverse = Tolerance::new(cofactors / value / learners, part + 2.0 * relative + 8.0 * u * learners);
            vec![Tolerance::new(relative / learners + logs, 8.0 * u), inverse]
        }
        Objective::Sum => vec![Tolerance::sum(u, size * size, s.rms()), Tolerance::EXACT],
    }
}

/// The largest sum of a target; of logits, targets and branch weights.
fn largest_mass([logits, targets, weights]: [&Array; 3]) -> f64 {
    let classes = logits.dims[1] / weights.data.len();
    targets.data.chunks(classes).map(|row| row.iter().sum()).fold(0.0, f64::max)
}

fn off_diagonal_max(kernel: &Array, learners: usize) -> f64 {
    let off = |place: &usize| place / learners % learners != place % learners;
    (0..kernel.data.len()).filter(off).map(|place| kernel.data[place]).fold(0.0, f64::max)
}
