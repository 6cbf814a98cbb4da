//! One step of SGD over all parameters.

use moue::ops::Sgd;

use super::super::data::Array;

/// Changes healthy, parameters and momenta.
pub(super) fn step(op: &Sgd, inputs: &[Array], updates: &mut [Array]) -> Vec<Array> {
    let (lr, decay, loss) = (&inputs[0], &inputs[1], inputs[2].data[0]);
    let (healthy, rest) = updates.split_first_mut().expect("healthy comes first");
    if !loss.is_finite() || healthy.data[0] == 0.0 {
        healthy.data[0] = 0.0;
        return Vec::new();
    }
    let (parameters, momenta) = rest.split_at_mut(op.parts.len());
    let mut first_part = 0;
    for (i, &parts) in op.parts.iter().enumerate() {
        let count = parameters[i].data.len();
        for j in 0..count {
            let part = first_part + j / (count / parts);
            let (p, v) = (parameters[i].data[j], momenta[i].data[j]);
            let g = inputs[3 + i].data[j] + decay.data[part] * p;
            let v = op.momentum * v + g;
            let step = if op.nesterov { g + op.momentum * v } else { v };
            parameters[i].data[j] = p - lr.data[part] * step;
            momenta[i].data[j] = v;
        }
        first_part += parts;
    }
    Vec::new()
}
