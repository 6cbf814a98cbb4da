//! Grouped convolution and its gradients.

use moue::ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight};

use crate::support::{case::Cases, data::Array};

/// A convolution's sizes: images, channels in and out, map, kernel, stride, padding, groups.
struct Sizes {
    claim: &'static str,
    n: usize,
    channels: [usize; 2],
    map: [usize; 2],
    kernel: [usize; 2],
    conv: [usize; 3],
}

#[rustfmt::skip]
const SIZES: [Sizes; 52] = [
    Sizes { claim: "one_of_everything", n: 1, channels: [1, 1], map: [1, 1], kernel: [1, 1], conv: [1, 0, 1] },
    Sizes { claim: "one_pixel_under_a_padded_kernel", n: 1, channels: [2, 3], map: [1, 1], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "3x3_of_an_image", n: 2, channels: [3, 16], map: [13, 11], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "5x5_of_an_image", n: 2, channels: [3, 17], map: [14, 9], kernel: [5, 5], conv: [1, 2, 1] },
    Sizes { claim: "5x5_of_more_rows_than_a_task", n: 2, channels: [3, 40], map: [37, 33], kernel: [5, 5], conv: [1, 0, 1] },
    Sizes { claim: "2x3_of_many_outputs_of_two_groups", n: 2, channels: [2 * 5, 2 * 139], map: [5, 8], kernel: [2, 3], conv: [1, 2, 2] },
    Sizes { claim: "2x3_beyond_both_edges_within_a_tile", n: 1, channels: [4, 24], map: [3, 6], kernel: [2, 3], conv: [1, 2, 1] },
    Sizes { claim: "1x2_farther_than_the_filter_beyond_the_edges", n: 3, channels: [4, 24], map: [3, 6], kernel: [1, 2], conv: [1, 3, 1] },
    Sizes { claim: "3x3_padded_on_many_images", n: 40, channels: [4, 24], map: [4, 5], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "7x7_with_stride_2", n: 2, channels: [3, 8], map: [17, 15], kernel: [7, 7], conv: [2, 3, 1] },
    Sizes { claim: "3x1_kernel", n: 2, channels: [4, 5], map: [7, 9], kernel: [3, 1], conv: [1, 0, 1] },
    Sizes { claim: "1x3_kernel_with_padding", n: 2, channels: [4, 5], map: [7, 9], kernel: [1, 3], conv: [1, 1, 1] },
    Sizes { claim: "1x1_kernel", n: 3, channels: [17, 33], map: [5, 7], kernel: [1, 1], conv: [1, 0, 1] },
    Sizes { claim: "1x1_kernel_with_stride_2", n: 2, channels: [8, 16], map: [9, 7], kernel: [1, 1], conv: [2, 0, 1] },
    Sizes { claim: "stride_2_leaves_a_remainder", n: 2, channels: [5, 7], map: [8, 9], kernel: [3, 3], conv: [2, 1, 1] },
    Sizes { claim: "stride_3_skips_pixels", n: 2, channels: [3, 4], map: [11, 10], kernel: [2, 2], conv: [3, 0, 1] },
    Sizes { claim: "stride_3_with_padding_2", n: 1, channels: [3, 4], map: [11, 8], kernel: [5, 5], conv: [3, 2, 1] },
    Sizes { claim: "padding_3_around_a_small_map", n: 1, channels: [2, 3], map: [2, 3], kernel: [3, 3], conv: [1, 3, 1] },
    Sizes { claim: "one_less_than_a_tile", n: 1, channels: [63, 63], map: [7, 9], kernel: [1, 1], conv: [1, 0, 1] },
    Sizes { claim: "a_whole_tile", n: 1, channels: [64, 64], map: [8, 8], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "one_more_than_a_tile", n: 1, channels: [65, 65], map: [5, 13], kernel: [1, 1], conv: [1, 0, 1] },
    Sizes { claim: "3x3_on_a_map_that_no_tile_divides", n: 2, channels: [19, 37], map: [23, 21], kernel: [3, 3], conv: [1, 0, 1] },
    Sizes { claim: "3x3_on_rows_longer_than_a_vector", n: 3, channels: [2 * 16, 2 * 24], map: [9, 35], kernel: [3, 3], conv: [1, 1, 2] },
    Sizes { claim: "3x3_padded_by_2", n: 2, channels: [9, 8], map: [6, 19], kernel: [3, 3], conv: [1, 2, 1] },
    Sizes { claim: "3x3_on_a_map_of_few_tiles", n: 2, channels: [24, 40], map: [8, 8], kernel: [3, 3], conv: [1, 0, 1] },
    Sizes { claim: "long_sums", n: 1, channels: [131, 3], map: [4, 4], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "more_images_than_a_tile", n: 67, channels: [3, 5], map: [3, 3], kernel: [3, 3], conv: [1, 0, 1] },
    Sizes { claim: "a_long_row", n: 1, channels: [2, 3], map: [1, 131], kernel: [1, 5], conv: [1, 0, 1] },
    Sizes { claim: "three_groups", n: 2, channels: [6, 9], map: [7, 5], kernel: [3, 3], conv: [1, 1, 3] },
    Sizes { claim: "groups_do_not_divide_the_tile", n: 2, channels: [9 * 5, 9 * 7], map: [5, 3], kernel: [3, 3], conv: [1, 1, 9] },
    Sizes { claim: "sixteen_groups_with_stride_2", n: 1, channels: [16 * 3, 16 * 2], map: [6, 7], kernel: [3, 3], conv: [2, 1, 16] },
    Sizes { claim: "one_channel_a_group", n: 2, channels: [17, 17], map: [6, 5], kernel: [3, 3], conv: [1, 1, 17] },
    Sizes { claim: "spatial_attention_of_nine_branches", n: 1, channels: [18, 9], map: [9, 6], kernel: [7, 7], conv: [1, 3, 9] },
    Sizes { claim: "two_outputs_a_depthwise_group", n: 1, channels: [5, 10], map: [6, 5], kernel: [3, 3], conv: [1, 1, 5] },
    Sizes { claim: "many_output_channels_of_few", n: 1, channels: [1, 129], map: [3, 3], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "groups_wider_than_a_tile", n: 1, channels: [2 * 67, 2 * 65], map: [3, 3], kernel: [3, 3], conv: [1, 1, 2] },
    Sizes { claim: "eight_outputs_are_not_tiled", n: 2, channels: [8, 8], map: [9, 9], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "nine_outputs_are_tiled", n: 2, channels: [9, 9], map: [9, 9], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "tiled_with_stride_2", n: 3, channels: [20, 24], map: [9, 11], kernel: [3, 3], conv: [2, 1, 1] },
    Sizes { claim: "tiled_with_stride_3_and_a_remainder", n: 3, channels: [18, 12], map: [10, 9], kernel: [2, 2], conv: [3, 0, 1] },
    Sizes { claim: "tiled_with_stride_2_and_a_wide_padding", n: 2, channels: [10, 11], map: [2, 5], kernel: [3, 3], conv: [2, 3, 1] },
    Sizes { claim: "tiled_7x7_with_stride_2", n: 2, channels: [10, 20], map: [17, 15], kernel: [7, 7], conv: [2, 3, 1] },
    Sizes { claim: "tiled_3x1_kernel", n: 2, channels: [12, 10], map: [7, 9], kernel: [3, 1], conv: [1, 0, 1] },
    Sizes { claim: "one_channel_less_than_a_step", n: 2, channels: [15, 31], map: [6, 7], kernel: [3, 3], conv: [1, 0, 1] },
    Sizes { claim: "whole_steps_of_channels", n: 2, channels: [32, 16], map: [8, 8], kernel: [3, 3], conv: [1, 0, 1] },
    Sizes { claim: "filters_larger_than_a_cache_with_stride_2", n: 2, channels: [2 * 64, 2 * 256], map: [5, 4], kernel: [3, 3], conv: [2, 1, 2] },
    Sizes { claim: "filters_longer_than_are_multiplied_at_once", n: 1, channels: [130, 33], map: [7, 7], kernel: [3, 3], conv: [2, 1, 1] },
    Sizes { claim: "runs_over_the_ends_of_rows", n: 1, channels: [34, 40], map: [7, 11], kernel: [3, 3], conv: [1, 1, 1] },
    Sizes { claim: "a_residual_stem", n: 2, channels: [3, 64], map: [32, 24], kernel: [7, 7], conv: [2, 3, 1] },
    Sizes { claim: "a_residual_layer_in_four_groups", n: 3, channels: [4 * 16, 4 * 32], map: [14, 14], kernel: [3, 3], conv: [2, 1, 4] },
    Sizes { claim: "its_shortcut", n: 3, channels: [4 * 16, 4 * 32], map: [14, 14], kernel: [1, 1], conv: [2, 0, 4] },
    Sizes { claim: "tiles_in_both_directions_and_groups", n: 5, channels: [2 * 33, 2 * 130], map: [7, 7], kernel: [3, 3], conv: [1, 1, 2] },
];

impl Sizes {
    fn op(&self) -> Conv2d {
        let [stride, padding, groups] = self.conv;
        Conv2d { stride, padding, groups }
    }

    fn x(&self) -> Array {
        Array::random(&format!("{} x", self.claim), &[self.n, self.channels[0], self.map[0], self.map[1]])
    }

    fn weight(&self) -> Array {
        let dims = [self.channels[1], self.channels[0] / self.conv[2], self.kernel[0], self.kernel[1]];
        Array::random(&format!("{} weight", self.claim), &dims)
    }

    fn dy(&self) -> Array {
        let op = self.op();
        let side = |axis: usize| op.output_size(self.map[axis], self.kernel[axis]).expect("the kernel fits");
        Array::random(&format!("{} dy", self.claim), &[self.n, self.channels[1], side(0), side(1)])
    }
}

pub(super) fn cases(cases: &mut Cases) {
    for (i, sizes) in SIZES.iter().enumerate() {
        let (claim, conv) = (sizes.claim, sizes.op());
        let bias = Array::random(&format!("{claim} bias"), &[sizes.channels[1]]);
        let mut inputs = vec![sizes.x(), sizes.weight()];
        // Both ways of having a bias meet every kind of size over the list.
        if i.is_multiple_of(2) {
            inputs.push(bias);
        }
        cases.op(claim, conv, inputs);
        let op = Conv2dGradInput { conv, size: sizes.map };
        cases.op(&format!("input_gradient_of_{claim}"), op, vec![sizes.dy(), sizes.weight()]);
        let op = Conv2dGradWeight { conv, kernel: sizes.kernel, bias: !i.is_multiple_of(2) };
        cases.op(&format!("weight_gradient_of_{claim}"), op, vec![sizes.dy(), sizes.x()]);
    }
    let conv = Conv2d { padding: 1, ..Conv2d::default() };
    let (x, weight, dy) =
        (Array::random("x", &[2, 5, 6, 7]), Array::random("weight", &[3, 5, 3, 3]), Array::random("dy", &[2, 3, 6, 7]));
    let bias = Array::random("bias", &[3]);
    cases.op("zeros_give_the_bias", conv, vec![Array::zeros(&x.dims), weight.clone(), bias]);
    let op = Conv2dGradInput { conv, size: [6, 7] };
    cases.op("input_gradient_of_nothing_is_nothing", op, vec![Array::zeros(&dy.dims), weight]);
    let op = Conv2dGradWeight { conv, kernel: [3, 3], bias: true };
    cases.op("weight_gradient_of_nothing_is_nothing", op, vec![Array::zeros(&dy.dims), x]);
    linear(cases);
    long_reduction(cases);
}

/// Vectors as 1×1 maps.
fn linear(cases: &mut Cases) {
    for (claim, groups, [n, i, o]) in [
        ("linear", 1, [5, 67, 8]),
        ("linear_of_nine_groups", 9, [3, 9 * 13, 9 * 8]),
        ("linear_of_one_image", 1, [1, 3, 7]),
    ] {
        let conv = Conv2d { groups, ..Conv2d::default() };
        let x = Array::random(&format!("{claim} x"), &[n, i]);
        let weight = Array::random(&format!("{claim} weight"), &[o, i / groups]);
        let dy = Array::random(&format!("{claim} dy"), &[n, o]);
        let bias = Array::random(&format!("{claim} bias"), &[o]);
        cases.op(claim, conv, vec![x.clone(), weight.clone(), bias]);
        let op = Conv2dGradInput { conv, size: [1, 1] };
        cases.op(&format!("input_gradient_of_{claim}"), op, vec![dy.clone(), weight]);
        let op = Conv2dGradWeight { conv, kernel: [1, 1], bias: true };
        cases.op(&format!("weight_gradient_of_{claim}"), op, vec![dy, x]);
    }
}

/// A weight gradient over so many pixels that it is worth splitting.
fn long_reduction(cases: &mut Cases) {
    for (claim, groups) in [("one_group", 1), ("three_groups", 3)] {
        let conv = Conv2d { padding: 1, groups, ..Conv2d::default() };
        let x = Array::random(&format!("long x {claim}"), &[3, 3, 41, 37]);
        let dy = Array::random(&format!("long dy {claim}"), &[3, 6, 41, 37]);
        let op = Conv2dGradWeight { conv, kernel: [3, 3], bias: true };
        cases.op(&format!("weight_gradient_over_4551_pixels_of_{claim}"), op, vec![dy, x]);
    }
}
