//! Grouped convolution and its two gradients: each is the same seven loops, another array written.

use moue::ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight};

use super::super::data::Array;

/// One product of the sum: offsets into x, weight and y.
struct Tap {
    x: usize,
    weight: usize,
    y: usize,
}

/// Visits every product `x·weight` that goes into `y`.
fn each_tap(op: &Conv2d, x: [usize; 4], weight: [usize; 4], mut visit: impl FnMut(Tap)) {
    let [images, channels, height, width] = x;
    let [outputs, per_group, kernel_h, kernel_w] = weight;
    let out_h = (height + 2 * op.padding - kernel_h) / op.stride + 1;
    let out_w = (width + 2 * op.padding - kernel_w) / op.stride + 1;
    for n in 0..images {
        for o in 0..outputs {
            let group = o / (outputs / op.groups);
            for h in 0..out_h {
                for w in 0..out_w {
                    for c in 0..per_group {
                        for i in 0..kernel_h {
                            for j in 0..kernel_w {
                                let (row, column) = (h * op.stride + i, w * op.stride + j);
                                if row < op.padding || column < op.padding {
                                    continue;
                                }
                                let (row, column) = (row - op.padding, column - op.padding);
                                if row >= height || column >= width {
                                    continue;
                                }
                                let channel = group * per_group + c;
                                visit(Tap {
                                    x: ((n * channels + channel) * height + row) * width + column,
                                    weight: ((o * per_group + c) * kernel_h + i) * kernel_w + j,
                                    y: ((n * outputs + o) * out_h + h) * out_w + w,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
}

/// y from x, weight and an optional bias.
pub(super) fn forward(op: &Conv2d, inputs: &[Array]) -> Vec<Array> {
    let (x, weight) = (&inputs[0], &inputs[1]);
    let ([n, _, h, w], [o, _, kh, kw]) = (x.nchw(), weight.nchw());
    let out = |side: usize, kernel: usize| (side + 2 * op.padding - kernel) / op.stride + 1;
    let mut y = Array::zeros(&[n, o, out(h, kh), out(w, kw)]);
    if let Some(bias) = inputs.get(2) {
        let positions = out(h, kh) * out(w, kw);
        for (index, value) in y.data.iter_mut().enumerate() {
            *value = bias.data[index / positions % o];
        }
    }
    each_tap(op, x.nchw(), weight.nchw(), |tap| y.data[tap.y] += x.data[tap.x] * weight.data[tap.weight]);
    vec![y]
}

/// dx from dy and weight.
pub(super) fn grad_input(op: &Conv2dGradInput, inputs: &[Array]) -> Vec<Array> {
    let (dy, weight) = (&inputs[0], &inputs[1]);
    let ([n, ..], [_, per_group, ..]) = (dy.nchw(), weight.nchw());
    let mut dx = Array::zeros(&[n, per_group * op.conv.groups, op.size[0], op.size[1]]);
    let dims = dx.nchw();
    each_tap(&op.conv, dims, weight.nchw(), |tap| dx.data[tap.x] += dy.data[tap.y] * weight.data[tap.weight]);
    vec![dx]
}

/// dw, and db with a bias, from dy and x.
pub(super) fn grad_weight(op: &Conv2dGradWeight, inputs: &[Array]) -> Vec<Array> {
    let (dy, x) = (&inputs[0], &inputs[1]);
    let ([n, o, h, w], [_, c, ..]) = (dy.nchw(), x.nchw());
    let mut dw = Array::zeros(&[o, c / op.conv.groups, op.kernel[0], op.kernel[1]]);
    let dims = dw.nchw();
    each_tap(&op.conv, x.nchw(), dims, |tap| dw.data[tap.weight] += dy.data[tap.y] * x.data[tap.x]);
    if !op.bias {
        return vec![dw];
    }
    let mut db = Array::zeros(&[o]);
    for image in 0..n {
        for channel in 0..o {
            for row in 0..h {
                for column in 0..w {
                    db.data[channel] += dy.at(image, channel, row, column);
                }
            }
        }
    }
    vec![dw, db]
}
