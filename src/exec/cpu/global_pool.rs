//! Average and maximum over all positions of a map, and their gradient.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{Io, Kernel},
    sum::sum,
};
use crate::ops::Pooling;

pub(super) struct Forward {
    pub(super) pooling: Pooling,
    pub(super) dims: [usize; 4],
}

/// The largest value and the first place that has it; where there is NaN, that and the first one's place. `sum` is that
/// of all, which is NaN then, or where infinities cancel.
#[inline(always)]
pub(super) fn first_max<T: Scalar>(x: &[T], sum: f64) -> (T, usize) {
    const LANES: usize = 16;
    if sum.is_nan()
        && let Some(place) = x.iter().position(|x| x.is_nan())
    {
        return (x[place], place);
    }
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut max = x[0];
    if let Some(first) = chunks.first() {
        let mut lanes = *first;
        for chunk in &chunks[1..] {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = if x > *lane { x } else { *lane };
            }
        }
        // Four chains, not one of sixteen.
        let mut four = [lanes[0], lanes[1], lanes[2], lanes[3]];
        for more in lanes.as_chunks::<4>().0 {
            for (max, &x) in four.iter_mut().zip(more) {
                *max = if x > *max { x } else { *max };
            }
        }
        max = four.into_iter().fold(four[0], |max, x| if x > max { x } else { max });
    }
    for &x in rest {
        max = if x > max { x } else { max };
    }
    let found = chunks.iter().position(|chunk| {
        let mut found = false;
        for &x in chunk {
            found |= x == max;
        }
        found
    });
    let start = LANES * found.unwrap_or(chunks.len());
    let within = x[start..].iter().position(|x| *x == max);
    (max, within.map_or(0, |within| start + within))
}

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let [n, c, h, w] = self.dims;
        let (area, planes) = (h * w, n * c);
        let x = io.input(0);
        let ([y, place], _) = io.write();
        let (average, max) = y.split_at_mut(if self.pooling == Pooling::Max { 0 } else { planes });
        let mean = |sum: f64| T::of(sum / area as f64);
        let x = x.par_chunks(area);
        match self.pooling {
            Pooling::Avg => {
                x.zip(average.par_iter_mut().zip(place)).for_each(|(x, (average, place))| {
                    (*average, *place) = (mean(sum(x)), T::ZERO);
                });
            }
            Pooling::Max => x.zip(max.par_iter_mut().zip(place)).for_each(|(x, (max, place))| {
                let (value, index) = first_max(x, sum(x));
                (*max, *place) = (value, T::of(index as f64));
            }),
            Pooling::AvgMax => x.zip(average.par_iter_mut()).zip(max.par_iter_mut().zip(place)).for_each(
                |((x, average), (max, place))| {
                    let sum = sum(x);
                    let (value, index) = first_max(x, sum);
                    (*average, *max, *place) = (mean(sum), value, T::of(index as f64));
                },
            ),
        }
    }
}

pub(super) struct Gradient {
    pub(super) pooling: Pooling,
    pub(super) dims: [usize; 4],
}

impl<T: Scalar> Kernel<T> for Gradient {
    fn run(&self, io: &mut Io<'_, T>) {
        let [n, c, h, w] = self.dims;
        let (area, planes) = (h * w, n * c);
        let (dy, place) = (io.input(0), io.input(1));
        let so_far = (io.inputs() == 3).then(|| io.input(2));
        let ([dx], _) = io.write();
        let share = T::of(1.0 / area as f64);
        dx.par_chunks_mut(area).enumerate().for_each(|(plane, dx)| {
            let base = if self.pooling == Pooling::Max { T::ZERO } else { dy[plane] * share };
            match so_far {
                None => dx.fill(base),
                Some(so_far) => {
                    dx.iter_mut().zip(&so_far[plane * area..][..area]).for_each(|(dx, so_far)| *dx = *so_far + base);
                }
            }
            match self.pooling {
                Pooling::Avg => {}
                Pooling::Max => dx[place[plane].wide() as usize] += dy[plane],
                Pooling::AvgMax => dx[place[plane].wide() as usize] += dy[planes + plane],
            }
        });
    }
}
