//! Sizes of tensors.

use std::fmt;

/// The sizes of a tensor's dimensions, outermost first, row-major and contiguous; at least one dimension.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape of these dimensions.
    #[must_use]
    pub fn new(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }

    /// The dimensions, outermost first.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The number of dimensions.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// The four dimensions `[N, C, H, W]`; missing inner ones count as 1, so that `[N, C]` is a 1×1 map.
    #[must_use]
    pub fn nchw(&self) -> Option<[usize; 4]> {
        let mut dims = [1; 4];
        if self.rank() > 4 {
            return None;
        }
        dims[..self.rank()].copy_from_slice(&self.0);
        Some(dims)
    }
}

impl<const R: usize> From<[usize; R]> for Shape {
    fn from(dims: [usize; R]) -> Self {
        Self(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
