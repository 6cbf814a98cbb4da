//! Kernels: which shader text, which entry point, which constants, and the layout of their parameters.

use std::borrow::Cow;

/// A block of numbers that a dispatch reads from a uniform buffer; all fields are 32 bits wide.
pub(crate) trait Params: bytemuck::Pod {
    /// The file names, without their endings, of the shaders that have it.
    const SHADERS: &'static [&'static str];
    /// Names and byte offsets of the fields, in order.
    const FIELDS: &'static [(&'static str, usize)];
}

/// Declares a `#[repr(C)]` parameter block beside the shaders whose `Params` it must equal.
macro_rules! params {
    ($name:ident for $($shader:literal),+ { $($field:ident: $kind:ty),* $(,)? }) => {
        #[doc = concat!("`Params` of", $(" shaders/", $shader, ".wgsl",)+ ".")]
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name { $(pub(crate) $field: $kind),* }

        impl $crate::exec::gpu::shader::Params for $name {
            const SHADERS: &'static [&'static str] = &[$($shader),+];
            const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];
        }
    };
}
pub(crate) use params;

/// An entry point of a shader with the values of its override constants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kernel {
    pub(crate) source: &'static Source,
    pub(crate) entry: &'static str,
    pub(crate) constants: Vec<(&'static str, f64)>,
}

impl Kernel {
    pub(crate) fn new(shader: &'static str, entry: &'static str) -> Self {
        let source = SOURCES.iter().find(|source| source.name == shader).expect("invariant: a shader of that name");
        Self { source, entry, constants: Vec::new() }
    }

    /// Sets an override constant.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }
}

/// The text of a shader: shared pieces, then its own.
#[derive(Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) name: &'static str,
    parts: &'static [&'static str],
    /// Whether each of its indices is inside its array and each of its loops ends, whatever the values in the buffers
    /// are: wgpu then leaves its own checks out. The host gives sizes that fit the bindings.
    pub(crate) proven: bool,
    /// Whether it exchanges values within a subgroup, for devices that have `Features::SUBGROUP` only.
    pub(crate) subgroups: bool,
}

impl Source {
    /// The pieces, one after the other.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        match self.parts {
            [one] => Cow::Borrowed(*one),
            parts => Cow::Owned(parts.join("\n")),
        }
    }
}

/// The convolutions: rows and columns are clamped to the last, pixels and places outside are replaced by the first
/// element, and stores are guarded.
const fn is_proven(name: &str) -> bool {
    matches!(name.as_bytes(), b"conv2d" | b"conv2d_grad_weight" | b"conv2d_subgroup" | b"conv2d_grad_weight_subgroup")
}

const fn has_subgroups(name: &str) -> bool {
    matches!(name.as_bytes(), b"conv2d_subgroup" | b"conv2d_grad_weight_subgroup")
}

macro_rules! sources {
    ($($name:literal: $($common:literal),*;)*) => {
        &[$(Source {
            name: $name,
            parts: &[
                $(include_str!(concat!("../../../shaders/common/", $common, ".wgsl")),)*
                include_str!(concat!("../../../shaders/", $name, ".wgsl")),
            ],
            proven: is_proven($name),
            subgroups: has_subgroups($name),
        }),*]
    };
}

/// Every shader, with the shared pieces it starts with.
pub(crate) static SOURCES: &[Source] = sources! {
    "activation": "index";
    "activation_grad": "index";
    "augment": "index";
    "axis_sum": "index";
    "batch_norm": "reduce", "plane", "describe", "normalise";
    "batch_norm_grad": "reduce", "plane", "normalise";
    "channel_attention": "reduce";
    "channel_attention_grad": "reduce";
    "channel_gate": "index";
    "channel_gate_grad": "reduce", "index";
    "concat": "index";
    "conv2d": "index", "tile", "conv2d";
    "conv2d_grad_weight": "tile", "conv2d_grad_weight";
    "conv2d_grad_weight_subgroup": "subgroup_tile", "conv2d_grad_weight";
    "conv2d_subgroup": "index", "subgroup_tile", "conv2d";
    "cross_entropy": "reduce";
    "cross_entropy_grad": "index";
    "determinant": ;
    "global_pool": "describe", "index";
    "global_pool_grad": "index";
    "multiply": "index";
    "partial_sums": "index";
    "patches": "index";
    "pool2d": "index";
    "pool2d_grad": "index";
    "sgd": "index";
    "similarity": "reduce";
    "similarity_grad": "index";
    "spatial_gate": "pairs", "strip";
    "spatial_gate_grad": "pairs", "strip";
    "weighted_sum": "index";
};

/// A shader as the device gets it, and the layout that the host gives its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Shader {
    /// The file's name in `shaders/`, without its ending.
    pub name: &'static str,
    /// The WGSL text, with its shared pieces.
    pub text: Cow<'static, str>,
    /// Whether it needs a device with subgroups, which browsers do not offer through wgpu.
    pub subgroups: bool,
    /// The sets of override constants that it is compiled with for its tiles.
    pub constants: Vec<Vec<(&'static str, f64)>>,
    /// Names and byte offsets of the fields of its `Params`, as the host writes them.
    pub params: &'static [(&'static str, usize)],
}

/// All shaders of the executor, for checks and translation.
#[must_use]
pub fn shaders() -> Vec<Shader> {
    SOURCES
        .iter()
        .map(|source| Shader {
            name: source.name,
            text: source.text(),
            subgroups: source.subgroups,
            constants: super::tile::constants_of(source.name),
            params: super::PARAMS
                .iter()
                .find(|(names, _)| names.contains(&source.name))
                .map_or(&[], |(_, fields)| fields),
        })
        .collect()
}

/// How many workgroups are needed for `items`, folded so that no dimension exceeds the browsers' limit.
pub(crate) fn folded(workgroups: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    if workgroups <= MOST {
        [workgroups as u32, 1, 1]
    } else {
        let rows = workgroups.div_ceil(MOST);
        [workgroups.div_ceil(rows) as u32, rows as u32, 1]
    }
}

/// Workgroups of 256 invocations, one item each.
pub(crate) fn one_each(items: usize) -> [u32; 3] {
    folded(items.div_ceil(256))
}
