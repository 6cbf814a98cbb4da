//! Stochastic gradient descent over all parameters.

use crate::exec::cpu::parallel::*;

use super::{
    Scalar,
    kernel::{BLOCK, Io, Kernel},
};
use crate::ops::Sgd;

pub(super) struct Forward(pub(super) Sgd);

impl<T: Scalar> Kernel<T> for Forward {
    fn run(&self, io: &mut Io<'_, T>) {
        let (lr, decay, loss) = (io.input(0), io.input(1), io.input(2));
        let gradients: [usize; 2] = [3, io.inputs()];
        let (momentum, nesterov) = (T::of(self.0.momentum), self.0.nesterov);
        let (arena, inputs) = (io.arena, io.inputs);
        let (healthy, rest) = io.held.split_first_mut().expect("invariant: SGD updates the healthy flag first");
        if !loss[0].is_finite() || healthy.data[0] == T::ZERO {
            healthy.data[0] = T::ZERO;
            return;
        }
        let count = self.0.parts.len();
        let (parameters, momenta) = rest.split_at_mut(count);
        let mut entry = 0;
        let tensors = parameters.iter_mut().zip(momenta).zip(&inputs[gradients[0]..gradients[1]]).zip(&self.0.parts);
        for (((p, v), gradient), &parts) in tensors {
            let len = p.len;
            let gradient = &arena[gradient.buffer][..gradient.len];
            let part = len / parts;
            let p = p.data[..len].chunks_exact_mut(part);
            let v = v.data[..len].chunks_exact_mut(part);
            for ((p, v), gradient) in p.zip(v).zip(gradient.chunks_exact(part)) {
                let (lr, decay) = (lr[entry], decay[entry]);
                entry += 1;
                p.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK)).zip(gradient.par_chunks(BLOCK)).for_each(
                    |((p, v), gradient)| {
                        for ((p, v), &g) in p.iter_mut().zip(v).zip(gradient) {
                            let g = g + decay * *p;
                            *v = momentum * *v + g;
                            *p = *p - lr * if nesterov { g + momentum * *v } else { *v };
                        }
                    },
                );
            }
        }
    }
}
