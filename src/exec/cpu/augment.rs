//! Training images out of a pool, pixel by pixel, in the order of operations of the loader: in f32 they have its bits.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{Io, Kernel},
};
use crate::ops::augment::{ALIGNMENT, Augment, MAX_RANGES, RECORD};

pub(super) struct Forward(pub(super) Augment);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let (records, ranges) = (io.input(0), io.inputs() - 1);
        let pool: [&[T]; MAX_RANGES] =
            std::array::from_fn(|range| if range < ranges { io.input(1 + range) } else { &[] });
        let ([y], _) = io.write();
        let (op, area) = (&self.0, self.0.size * self.0.size);
        y.par_chunks_mut(3 * area).zip(records.par_chunks(RECORD)).for_each(|(y, row)| {
            let share = row[26];
            let own = Picture::new(op, row, &pool);
            let partner = records.chunks_exact(RECORD).nth(whole(row[25])).unwrap_or(row);
            let other = Picture::new(op, partner, &pool);
            for i in 0..area {
                let at = [i % op.size, i / op.size];
                let mut pixel = own.pixel(at);
                if share != T::ONE {
                    let second = other.pixel(at);
                    pixel = std::array::from_fn(|c| share * pixel[c] + (T::ONE - share) * second[c]);
                }
                for (c, value) in pixel.into_iter().enumerate() {
                    y[if op.bgr { 2 - c } else { c } * area + i] = value;
                }
            }
        });
    }
}

/// A whole number that a tensor holds.
fn whole<T: Scalar>(value: T) -> usize {
    value.wide() as usize
}

fn clamp<T: Scalar>(value: T, low: T, high: T) -> T {
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

/// An image of the pool and what becomes of it.
struct Picture<'a, T> {
    op: &'a Augment,
    bytes: &'a [T],
    /// Pixels of a row as stored.
    stride: usize,
    sides: [usize; 2],
    channels: usize,
    block: usize,
    warp: &'a [T],
    colours: &'a [T],
    erased: [usize; 4],
}

impl<'a, T: Scalar> Picture<'a, T> {
    fn new(op: &'a Augment, row: &'a [T], pool: &[&'a [T]; MAX_RANGES]) -> Self {
        let [range, start, width, height, channels, block] = std::array::from_fn(|i| whole(row[i]));
        Self {
            op,
            bytes: pool.get(range).and_then(|range| range.get(start * ALIGNMENT..)).unwrap_or_default(),
            stride: width,
            sides: [width, height].map(|side| side / block.max(1)),
            channels,
            block,
            warp: &row[6..12],
            colours: &row[12..21],
            erased: std::array::from_fn(|i| whole(row[21 + i])),
        }
    }

    /// Red, green and blue of a pixel of the result.
    fn pixel(&self, [x, y]: [usize; 2]) -> [T; 3] {
        let [top, left, bottom, right] = self.erased;
        if self.stride == 0 || ((top..bottom).contains(&y) && (left..right).contains(&x)) {
            return [T::ZERO; 3];
        }
        let value = self.interpolated(x, y);
        let (mean, std) = (self.op.mean, self.op.std);
        std::array::from_fn(|c| (value[c] - T::of(mean[c].into())) / T::of(std[c].into()))
    }

    fn interpolated(&self, x: usize, y: usize) -> [T; 3] {
        let (half, size) = (T::of(0.5), T::of(self.op.size as f64));
        let (x, y) = (T::of(x as f64) + half, T::of(y as f64) + half);
        let [a, b, c, d, e, f] = std::array::from_fn(|i| self.warp[i]);
        let (u, v) = (a * x + b * y + c, d * x + e * y + f);
        let tent = |u: T| {
            let (left, right) = (u + half, size + half - u);
            clamp(if left < right { left } else { right }, T::ZERO, T::ONE)
        };
        let cover = tent(u) * tent(v);
        if cover <= T::ZERO {
            return [T::ZERO; 3];
        }
        let (left, right, across) = neighbours(u, size, self.sides[0]);
        let (above, below, down) = neighbours(v, size, self.sides[1]);
        let line = |line| lerp(self.coloured(left, line), self.coloured(right, line), across);
        lerp(line(above), line(below), down).map(|value| cover * value)
    }

    /// A pixel of the picture after the three changes of colour.
    fn coloured(&self, x: usize, y: usize) -> [T; 3] {
        let mut pixel = self.averaged(x, y);
        for change in self.colours.chunks_exact(3) {
            let [red, green, blue] = pixel;
            let grey = T::of(0.2989) * red + T::of(0.587) * green + T::of(0.114) * blue;
            let rest = change[1] * grey + change[2];
            pixel = pixel.map(|value| clamp(value * change[0] + rest, T::ZERO, T::ONE));
        }
        pixel
    }

    /// The mean of a block of the stored pixels.
    fn averaged(&self, x: usize, y: usize) -> [T; 3] {
        let mut sums = [0_u32; 3];
        for row in y * self.block..(y + 1) * self.block {
            for column in x * self.block..(x + 1) * self.block {
                let first = (row * self.stride + column) * self.channels;
                for (c, sum) in sums.iter_mut().enumerate() {
                    let byte = first + c.min(self.channels - 1);
                    // A record that points outside of the pool finds black.
                    let element = self.bytes.get(byte / 3).map_or(0, |&element| whole(element) as u32);
                    *sum += (element >> (8 * (byte % 3))) & 255;
                }
            }
        }
        let scale = T::ONE / T::of(255.0 * (self.block * self.block) as f64);
        sums.map(|sum| T::of(sum.into()) * scale)
    }
}

/// The two pixels around a position among `count` stretched to `size`, and the second's weight.
fn neighbours<T: Scalar>(u: T, size: T, count: usize) -> (usize, usize, T) {
    let last = count - 1;
    let at = clamp(u * (T::of(count as f64) / size) - T::of(0.5), T::ZERO, T::of(last as f64));
    let low = whole(at);
    (low, (low + 1).min(last), at - T::of(low as f64))
}

fn lerp<T: Scalar>(a: [T; 3], b: [T; 3], t: T) -> [T; 3] {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t)
}
