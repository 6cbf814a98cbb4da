//! Plain float64 tensors and how tests fill them. Every value is exact in f32, so that all executors and the
//! reference start from the same numbers.

use moue::{rng::Rng, shape::Shape};

/// A row-major tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    /// The sizes, outermost first.
    pub(crate) dims: Vec<usize>,
    /// The elements.
    pub(crate) data: Vec<f64>,
}

impl Array {
    /// Elements under a shape.
    pub(crate) fn new(dims: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(dims.iter().product::<usize>(), data.len(), "elements of {dims:?}");
        Self { dims: dims.to_vec(), data }
    }

    /// Zeros.
    pub(crate) fn zeros(dims: &[usize]) -> Self {
        Self::filled(dims, 0.0)
    }

    /// One value.
    pub(crate) fn filled(dims: &[usize], value: f64) -> Self {
        Self::new(dims, vec![value; dims.iter().product()])
    }

    /// Uniform in [low, high), from a stream of its own name.
    pub(crate) fn uniform(name: &str, dims: &[usize], low: f64, high: f64) -> Self {
        let mut rng = Rng::new(name);
        let count = dims.iter().product();
        Self::new(dims, (0..count).map(|_| rng.range(low, high)).collect()).rounded()
    }

    /// Uniform in [-1, 1).
    pub(crate) fn random(name: &str, dims: &[usize]) -> Self {
        Self::uniform(name, dims, -1.0, 1.0)
    }

    /// Multiples of `1/steps` in [-range, range]: products of two such are exact in f32, sums nearly always, and
    /// values tie often.
    pub(crate) fn grid(name: &str, dims: &[usize], range: f64, steps: f64) -> Self {
        let mut rng = Rng::new(name);
        let count = dims.iter().product();
        let span = (2.0 * range * steps) as usize + 1;
        Self::new(dims, (0..count).map(|_| rng.below(span) as f64 / steps - range).collect())
    }

    /// Every element rounded to f32.
    pub(crate) fn rounded(mut self) -> Self {
        for value in &mut self.data {
            *value = f64::from(*value as f32);
        }
        self
    }

    /// The same elements under another shape.
    pub(crate) fn reshaped(self, dims: &[usize]) -> Self {
        Self::new(dims, self.data)
    }

    /// Each element changed.
    pub(crate) fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        for value in &mut self.data {
            *value = change(*value);
        }
        self.rounded()
    }

    /// N, C, H, W; missing inner dimensions count as 1.
    pub(crate) fn nchw(&self) -> [usize; 4] {
        self.shape().nchw().expect("a tensor of at most four dimensions")
    }

    /// The element at [n, c, h, w].
    pub(crate) fn at(&self, n: usize, c: usize, h: usize, w: usize) -> f64 {
        self.data[self.offset(n, c, h, w)]
    }

    /// The place of [n, c, h, w].
    pub(crate) fn offset(&self, n: usize, c: usize, h: usize, w: usize) -> usize {
        let [_, channels, height, width] = self.nchw();
        ((n * channels + c) * height + h) * width + w
    }

    /// The shape as the crate has it.
    pub(crate) fn shape(&self) -> Shape {
        Shape::new(&self.dims)
    }

    /// The elements in f32.
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&value| value as f32).collect()
    }

    /// The root of the mean square.
    pub(crate) fn rms(&self) -> f64 {
        (self.data.iter().map(|value| value * value).sum::<f64>() / self.data.len() as f64).sqrt()
    }

    /// The largest absolute value.
    pub(crate) fn max_abs(&self) -> f64 {
        self.data.iter().fold(0.0, |most, value| most.max(value.abs()))
    }
}
