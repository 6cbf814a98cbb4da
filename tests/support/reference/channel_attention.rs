//! CBAM's grouped MLP over the pooled descriptors.

use moue::ops::{ChannelAttention, ChannelAttentionGrad, Function};

use super::{super::data::Array, apply_function};

/// a, hidden.
pub(super) fn forward(op: &ChannelAttention, inputs: &[Array]) -> Vec<Array> {
    let [p, w1, b1, w2, b2] = inputs else { panic!("five inputs") };
    let [descriptors, images, channels] = p.dims[..] else { panic!("descriptors [D, N, C]") };
    let units = w1.dims[0];
    let (channels_each, units_each) = (channels / op.groups, units / op.groups);
    let mut hidden = Array::zeros(&[descriptors, images, units]);
    for d in 0..descriptors {
        for n in 0..images {
            for m in 0..units {
                let first = m / units_each * channels_each;
                let mut sum = b1.data[m];
                for c in 0..channels_each {
                    sum += w1.data[m * channels_each + c] * p.data[(d * images + n) * channels + first + c];
                }
                hidden.data[(d * images + n) * units + m] = apply_function(Function::Relu, sum);
            }
        }
    }
    let mut a = Array::zeros(&[images, channels]);
    for n in 0..images {
        for c in 0..channels {
            let first = c / channels_each * units_each;
            let mut sum = 0.0;
            for d in 0..descriptors {
                sum += b2.data[c];
                for m in 0..units_each {
                    sum += w2.data[c * units_each + m] * hidden.data[(d * images + n) * units + first + m];
                }
            }
            a.data[n * channels + c] = apply_function(Function::Sigmoid, sum);
        }
    }
    vec![a, hidden]
}

/// dp, dW₁, db₁, dW₂, db₂, dhidden.
pub(super) fn grad(op: &ChannelAttentionGrad, inputs: &[Array]) -> Vec<Array> {
    let [da, a, hidden, p, w1, w2] = inputs else { panic!("six inputs") };
    let [descriptors, images, channels] = p.dims[..] else { panic!("descriptors [D, N, C]") };
    let units = w1.dims[0];
    let (channels_each, units_each) = (channels / op.groups, units / op.groups);
    let (mut dp, mut dw1, mut db1) = (Array::zeros(&p.dims), Array::zeros(&w1.dims), Array::zeros(&[units]));
    let (mut dw2, mut db2) = (Array::zeros(&w2.dims), Array::zeros(&[channels]));
    let mut dhidden = Array::zeros(&hidden.dims);
    for d in 0..descriptors {
        for n in 0..images {
            for c in 0..channels {
                let value = a.data[n * channels + c];
                let before = da.data[n * channels + c] * value * (1.0 - value);
                db2.data[c] += before;
                for m in 0..units_each {
                    let unit = (d * images + n) * units + c / channels_each * units_each + m;
                    dw2.data[c * units_each + m] += before * hidden.data[unit];
                    if hidden.data[unit] > 0.0 {
                        dhidden.data[unit] += before * w2.data[c * units_each + m];
                    }
                }
            }
            for m in 0..units {
                let before = dhidden.data[(d * images + n) * units + m];
                db1.data[m] += before;
                for c in 0..channels_each {
                    let place = (d * images + n) * channels + m / units_each * channels_each + c;
                    dw1.data[m * channels_each + c] += before * p.data[place];
                    dp.data[place] += before * w1.data[m * channels_each + c];
                }
            }
        }
    }
    vec![dp, dw1, db1, dw2, db2, dhidden]
}
