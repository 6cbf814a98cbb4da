//! Random numbers that are functions of a name and an index: the same bits in any language, on any
//! thread, in any order (splitmix64 over an FNV-1a hash).

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// FNV-1a, 64 bits, of the bytes of `name`.
#[must_use]
pub fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// splitmix64's finaliser.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A counter-based stream of random numbers.
///
/// A stream is named, never shared: `Rng::named("augment", &[seed, epoch, image])` gives the same numbers
/// whatever thread asks, which keeps loading deterministic for any thread count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    index: u64,
}

impl Rng {
    /// The stream of `name`: its i-th value is splitmix64's (i+1)-th output seeded with `fnv1a64(name)`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { seed: fnv1a64(name), index: 0 }
    }

    /// The stream of a name and some numbers, such as a seed, an epoch and an image's index.
    #[must_use]
    pub fn named(name: &str, keys: &[u64]) -> Self {
        let seed = keys.iter().fold(fnv1a64(name), |hash, key| mix(hash ^ mix(key.wrapping_add(GOLDEN))));
        Self { seed, index: 0 }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.index += 1;
        mix(self.seed.wrapping_add(self.index.wrapping_mul(GOLDEN)))
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴, hence exact in f32.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 40) as f64 / f64::from(1u32 << 24)
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A whole number in 0..count; `count` must be at least 1.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next_u64()) * count as u128) >> 64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Normal with mean 0 and standard deviation 1 (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Puts `items` into a random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a64_and_splitmix64_give_their_published_values() {
        assert_eq!(fnv1a64(""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a64("a"), 0xAF63_DC4C_8601_EC8C);
        // splitmix64 seeded with 0 starts with this number.
        let mut rng = Rng { seed: 0, index: 0 };
        assert_eq!(rng.next_u64(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn shuffle_is_a_permutation_and_depends_on_the_keys() {
        let mut first: Vec<_> = (0..100).collect();
        let mut second = first.clone();
        Rng::named("shuffle", &[1]).shuffle(&mut first);
        Rng::named("shuffle", &[2]).shuffle(&mut second);
        assert_ne!(first, second);
        first.sort_unstable();
        assert_eq!(first, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut rng = Rng::named("moments", &[7]);
        let count = 20_000;
        let mean: f64 = (0..count).map(|_| rng.uniform()).sum::<f64>() / f64::from(count);
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let square: f64 = (0..count).map(|_| rng.normal().powi(2)).sum::<f64>() / f64::from(count);
        assert!((square - 1.0).abs() < 0.05, "{square}");
    }
}
