//! The transforms of Winograd's minimal filtering, in one dimension.

use crate::exec::cpu::{Scalar, simd::Vector};

/// M outputs a side from S inputs a side, S = M + 2: `y = Aᵀ[(G g) ⊙ (Bᵀ d)]` (Lavin & Gray 2016, arXiv:1509.09308),
/// written out so that rows that differ by signs alone share their sums.
pub(super) trait Scheme<T: Scalar, const S: usize, const M: usize>: Send + Sync {
    /// Bᵀ d.
    fn input<V: Vector<T>>(d: [V; S]) -> [V; S];
    /// Aᵀ m.
    fn output<V: Vector<T>>(m: [V; S]) -> [V; M];
    /// G g.
    fn filter<V: Vector<T>>(g: [V; 3]) -> [V; S];
    /// A y, the adjoint of `output`.
    fn output_adjoint<V: Vector<T>>(y: [V; M]) -> [V; S];
    /// Gᵀ m, the adjoint of `filter`.
    fn filter_adjoint<V: Vector<T>>(m: [V; S]) -> [V; 3];
}

/// A constant in all lanes.
#[inline(always)]
fn constant<T: Scalar, V: Vector<T>>(value: f64) -> V {
    V::splat(T::of(value))
}

/// 2×2 outputs: 2.25 times fewer multiplications; the sums are as exact as direct ones.
pub(super) struct F2;

impl<T: Scalar> Scheme<T, 4, 2> for F2 {
    #[inline(always)]
    fn input<V: Vector<T>>([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
    }

    #[inline(always)]
    fn output<V: Vector<T>>([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a.add(b).add(c), b.sub(c).sub(d)]
    }

    #[inline(always)]
    fn filter<V: Vector<T>>([a, b, c]: [V; 3]) -> [V; 4] {
        let half = constant(0.5);
        let (outer, inner) = (a.add(c).mul(half), b.mul(half));
        [a, outer.add(inner), outer.sub(inner), c]
    }

    #[inline(always)]
    fn output_adjoint<V: Vector<T>>([a, b]: [V; 2]) -> [V; 4] {
        [a, a.add(b), a.sub(b), V::zero().sub(b)]
    }

    #[inline(always)]
    fn filter_adjoint<V: Vector<T>>([a, b, c, d]: [V; 4]) -> [V; 3] {
        let half = constant(0.5);
        let outer = b.add(c).mul(half);
        [a.add(outer), b.sub(c).mul(half), d.add(outer)]
    }
}

/// 4×4 outputs: 4 times fewer multiplications. The points are 0, ±√½, ±√2 and ∞: a set that is its own reciprocal,
/// whose sums round twice as much as direct ones; with the usual 0, ±1, ±2, ∞ they would round four times as much.
pub(super) struct F4;

/// √½ and √2.
const NEAR: f64 = std::f64::consts::FRAC_1_SQRT_2;
const FAR: f64 = std::f64::consts::SQRT_2;

impl<T: Scalar> Scheme<T, 6, 4> for F4 {
    #[inline(always)]
    fn input<V: Vector<T>>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let (minus_half, minus_two, minus_five_halves) = (constant(-0.5), constant(-2.0), constant(-2.5));
        let (even, odd) = (e.add_product(c, minus_two), d.add_product(b, minus_two));
        let (far_even, far_odd) = (e.add_product(c, minus_half), d.add_product(b, minus_half));
        [
            a.add(e).add_product(c, minus_five_halves),
            even.add_product(odd, constant(NEAR)),
            even.add_product(odd, constant(-NEAR)),
            far_even.add_product(far_odd, constant(FAR)),
            far_even.add_product(far_odd, constant(-FAR)),
            b.add(f).add_product(d, minus_five_halves),
        ]
    }

    #[inline(always)]
    fn output<V: Vector<T>>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let (near, far) = (b.add(c), d.add(e));
        let (odd, far_odd) = (b.sub(c).mul(constant(NEAR)), d.sub(e).mul(constant(FAR)));
        let (half, two) = (constant(0.5), constant(2.0));
        [
            a.add(near).add(far),
            odd.add(far_odd),
            near.mul(half).add_product(far, two),
            f.add_product(odd, half).add_product(far_odd, two),
        ]
    }

    #[inline(always)]
    fn filter<V: Vector<T>>([a, b, c]: [V; 3]) -> [V; 6] {
        let (third, minus_third) = (constant(1.0 / 3.0), constant(-1.0 / 3.0));
        let even = a.mul(constant(-2.0 / 3.0)).add_product(c, minus_third);
        let far_even = a.mul(constant(1.0 / 6.0)).add_product(c, third);
        [
            a,
            even.add_product(b, constant(-2.0 / 3.0 * NEAR)),
            even.add_product(b, constant(2.0 / 3.0 * NEAR)),
            far_even.add_product(b, constant(FAR / 6.0)),
            far_even.add_product(b, constant(-FAR / 6.0)),
            c,
        ]
    }

    #[inline(always)]
    fn output_adjoint<V: Vector<T>>([a, b, c, d]: [V; 4]) -> [V; 6] {
        let (half, two) = (constant(0.5), constant(2.0));
        let (even, odd) = (a.add_product(c, half), b.add_product(d, half));
        let (far_even, far_odd) = (a.add_product(c, two), b.add_product(d, two));
        [
            a,
            even.add_product(odd, constant(NEAR)),
            even.add_product(odd, constant(-NEAR)),
            far_even.add_product(far_odd, constant(FAR)),
            far_even.add_product(far_odd, constant(-FAR)),
            d,
        ]
    }

    #[inline(always)]
    fn filter_adjoint<V: Vector<T>>([a, b, c, d, e, f]: [V; 6]) -> [V; 3] {
        let (near, far) = (b.add(c), d.add(e));
        let (third, minus_third) = (constant(1.0 / 3.0), constant(-1.0 / 3.0));
        [
            a.add_product(near, constant(-2.0 / 3.0)).add_product(far, constant(1.0 / 6.0)),
            b.sub(c).mul(constant(-2.0 / 3.0 * NEAR)).add_product(d.sub(e), constant(FAR / 6.0)),
            f.add_product(near, minus_third).add_product(far, third),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::cpu::simd::{Job, LANES, run_f64};

    fn values<const N: usize>(salt: f64) -> [f64; N] {
        std::array::from_fn(|i| ((i as f64 + 1.0) * salt).sin())
    }

    /// Runs a transform on numbers, in the first lane.
    struct Once<'a, F, const I: usize>(F, [f64; I], &'a mut Vec<f64>);

    trait Transform<const I: usize, const O: usize> {
        fn apply<V: Vector<f64>>(&self, x: [V; I]) -> [V; O];
    }

    macro_rules! transform {
        ($name:ident, $scheme:ident, $s:literal, $m:literal, $method:ident, $i:literal, $o:literal) => {
            struct $name;
            impl Transform<$i, $o> for $name {
                #[inline(always)]
                fn apply<V: Vector<f64>>(&self, x: [V; $i]) -> [V; $o] {
                    <$scheme as Scheme<f64, $s, $m>>::$method(x)
                }
            }
            impl Job<f64> for Once<'_, $name, $i> {
                #[inline(always)]
                fn run<V: Vector<f64>, const ROWS: usize, const FEW: usize, const BLOCKS: usize>(self) {
                    let mut x = [V::zero(); $i];
                    for (x, &value) in x.iter_mut().zip(&self.1) {
                        *x = V::splat(value);
                    }
                    for y in self.0.apply(x) {
                        let mut lanes = [0.0; LANES];
                        y.store(&mut lanes);
                        self.2.push(lanes[0]);
                    }
                }
            }
            impl $name {
                fn of(x: [f64; $i]) -> Vec<f64> {
                    let mut out = Vec::new();
                    run_f64(Once($name, x, &mut out));
                    out
                }
            }
        };
    }

    transform!(Input2, F2, 4, 2, input, 4, 4);
    transform!(Output2, F2, 4, 2, output, 4, 2);
    transform!(Filter2, F2, 4, 2, filter, 3, 4);
    transform!(OutputAdjoint2, F2, 4, 2, output_adjoint, 2, 4);
    transform!(FilterAdjoint2, F2, 4, 2, filter_adjoint, 4, 3);
    transform!(Input4, F4, 6, 4, input, 6, 6);
    transform!(Output4, F4, 6, 4, output, 6, 4);
    transform!(Filter4, F4, 6, 4, filter, 3, 6);
    transform!(OutputAdjoint4, F4, 6, 4, output_adjoint, 4, 6);
    transform!(FilterAdjoint4, F4, 6, 4, filter_adjoint, 6, 3);

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-13, "{a} is not {b}");
    }

    #[test]
    fn filtering_by_transforms_is_filtering() {
        let (d, g) = (values::<6>(1.3), values::<3>(0.7));
        let products = |a: Vec<f64>, b: Vec<f64>| -> Vec<f64> { a.into_iter().zip(b).map(|(a, b)| a * b).collect() };
        let four = Output4::of(products(Input4::of(d), Filter4::of(g)).try_into().unwrap());
        let short = *d.first_chunk::<4>().unwrap();
        let two = Output2::of(products(Input2::of(short), Filter2::of(g)).try_into().unwrap());
        for (i, &y) in four.iter().enumerate() {
            close(y, dot(&d[i..i + 3], &g));
        }
        for (i, &y) in two.iter().enumerate() {
            close(y, dot(&d[i..i + 3], &g));
        }
    }

    #[test]
    fn adjoints_are_adjoint() {
        let (m6, y4, m4, y2, g) = (values::<6>(0.9), values::<4>(1.7), values::<4>(2.1), values::<2>(0.3), values(1.1));
        close(dot(&Output4::of(m6), &y4), dot(&m6, &OutputAdjoint4::of(y4)));
        close(dot(&Output2::of(m4), &y2), dot(&m4, &OutputAdjoint2::of(y2)));
        close(dot(&Filter4::of(g), &m6), dot(&g, &FilterAdjoint4::of(m6)));
        close(dot(&Filter2::of(g), &m4), dot(&g, &FilterAdjoint2::of(m4)));
    }
}
