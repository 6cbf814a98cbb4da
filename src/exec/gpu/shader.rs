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
        #[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
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
    /// Which of the feature maps that it reads and writes are f16.
    pub(crate) halves: Halves,
}

impl Kernel {
    pub(crate) fn new(shader: &'static str, entry: &'static str) -> Self {
        let source = SOURCES.iter().find(|source| source.name == shader).expect("invariant: a shader of that name");
        Self { source, entry, constants: Vec::new(), halves: Halves::default() }
    }

    /// Sets an override constant.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }
}

/// The files that were read for [`Source::is_proven`].
const PROVEN: [&str; 10] = [
    "batch_norm",
    "batch_norm_grad",
    "channel_gate",
    "channel_gate_grad",
    "conv2d",
    "conv2d_coop",
    "conv2d_grad_weight",
    "conv2d_grad_weight_coop",
    "spatial_gate",
    "spatial_gate_grad",
];

/// The text of a shader: shared pieces, then its own.
#[derive(Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) name: &'static str,
    /// The file in `shaders/` that it ends with, without its ending.
    file: &'static str,
    parts: &'static [&'static str],
    /// What a device needs beyond what every browser offers.
    pub(crate) needs: wgpu::Features,
}

impl Source {
    /// Whether each of its indices is inside its array and each of its loops ends, whatever the values in the buffers
    /// are: wgpu then leaves its own checks out. The host gives sizes that fit the bindings, and indices come from these
    /// and the grid alone: values that were read, such as positions, are compared with them. In the convolutions rows and
    /// columns are clamped to the last, pixels and places outside are replaced by the first element, and stores are
    /// guarded; so are images, items, runs and strips after the last in batch norm and the gates.
    pub(crate) fn is_proven(&self) -> bool {
        PROVEN.contains(&self.file)
    }

    /// Whether it reads feature maps, and whether it writes some, which may lie in memory as f16.
    pub(crate) fn maps(&self) -> Halves {
        let has = |wide: &str| self.parts.contains(&wide);
        Halves { read: has(READ_MAP[0]), written: has(WRITE_MAP[0]) }
    }

    /// The pieces, one after the other.
    pub(crate) fn text(&self, halves: Halves) -> Cow<'static, str> {
        let [reads, writes] = [READ_MAP[usize::from(halves.read)], WRITE_MAP[usize::from(halves.written)]];
        let enable = halves.any().then_some("enable f16;");
        let pieces: Vec<_> = enable
            .into_iter()
            .chain(self.parts.iter().map(|&part| match part {
                part if part == READ_MAP[0] => reads,
                part if part == WRITE_MAP[0] => writes,
                part => part,
            }))
            .collect();
        match *pieces {
            [one] => Cow::Borrowed(one),
            _ => Cow::Owned(pieces.join("\n")),
        }
    }
}

/// Which feature maps are f16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Halves {
    /// Those that are read.
    pub read: bool,
    /// Those that are written.
    pub written: bool,
}

impl Halves {
    /// Whether some are.
    #[must_use]
    pub fn any(self) -> bool {
        self.read || self.written
    }
}

/// A shared piece for maps in f32, and its like for maps in f16, which a page never has.
macro_rules! map_pieces {
    ($wide:literal, $half:literal) => {{
        const WIDE: &str = include_str!(concat!("../../../shaders/common/", $wide, ".wgsl"));
        #[cfg(not(target_family = "wasm"))]
        const HALF: &str = include_str!(concat!("../../../shaders/common/", $half, ".wgsl"));
        #[cfg(target_family = "wasm")]
        const HALF: &str = WIDE;
        [WIDE, HALF]
    }};
}

const READ_MAP: [&str; 2] = map_pieces!("read_map", "read_map_f16");
const WRITE_MAP: [&str; 2] = map_pieces!("write_map", "write_map_f16");

#[cfg(not(target_family = "wasm"))]
const F16: wgpu::Features = wgpu::Features::SHADER_F16;
#[cfg(not(target_family = "wasm"))]
const COOPERATIVE: wgpu::Features =
    F16.union(wgpu::Features::SUBGROUP).union(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);

/// The name of the file a shader ends with: its own, or that of another.
macro_rules! file {
    ($name:literal) => {
        $name
    };
    ($name:literal $file:literal) => {
        $file
    };
}

/// `NAME [of FILE]: COMMON, …[, needs FEATURES];`
macro_rules! sources {
    ($($(#[$only:meta])? $name:literal $(of $file:literal)?: $($common:literal),* $(; needs $needs:ident)?;)*) => {
        &[$($(#[$only])? Source {
            name: $name,
            file: file!($name $($file)?),
            parts: &[
                $(include_str!(concat!("../../../shaders/common/", $common, ".wgsl")),)*
                include_str!(concat!("../../../shaders/", file!($name $($file)?), ".wgsl")),
            ],
            needs: wgpu::Features::empty()$(.union($needs))?,
        }),*]
    };
}

/// Every shader, with the shared pieces it starts with. A page has none that need more than every browser offers.
pub(crate) static SOURCES: &[Source] = sources! {
    "activation": "nan", "index";
    "activation_grad": "index";
    "augment": "write_map";
    "axis_sum": "index";
    "batch_norm": "nan", "read_map", "write_map", "reduce", "pairs", "moments", "plane", "describe", "normalise";
    "batch_norm_grad": "nan", "read_map", "write_map", "pairs", "plane", "normalise";
    "channel_attention": "nan", "reduce";
    "channel_attention_grad": "reduce";
    "channel_gate": "nan", "read_map", "write_map", "run", "index";
    "channel_gate_grad": "read_map", "write_map", "pairs", "run", "gradient_run", "index";
    "concat": "index";
    "conv2d": "read_map", "write_map", "index", "held", "tile", "conv2d";
    #[cfg(not(target_family = "wasm"))]
    "conv2d_coop": "coop_tile", "read_map", "write_map", "index", "conv2d"; needs COOPERATIVE;
    #[cfg(not(target_family = "wasm"))]
    "conv2d_f16" of "conv2d": "held_f16", "read_map", "write_map", "index", "tile", "conv2d"; needs F16;
    "conv2d_grad_weight": "read_map", "held", "tile", "conv2d_grad_weight";
    #[cfg(not(target_family = "wasm"))]
    "conv2d_grad_weight_coop": "coop_tile", "read_map", "conv2d_grad_weight"; needs COOPERATIVE;
    #[cfg(not(target_family = "wasm"))]
    "conv2d_grad_weight_f16" of "conv2d_grad_weight": "held_f16", "read_map", "tile", "conv2d_grad_weight"; needs F16;
    "cross_entropy": "reduce";
    "cross_entropy_grad": "index";
    "determinant": "nan";
    "global_pool": "nan", "read_map", "describe", "index";
    "global_pool_grad": "read_map", "write_map", "index";
    "mixture_cross_entropy": "reduce", "mixture";
    "mixture_cross_entropy_grad": "index", "mixture";
    "multiply": "index";
    "partial_sums": "index";
    "patches": "index";
    "pool2d": "nan", "index";
    "pool2d_grad": "nan", "index";
    "running_sums": "index";
    "sgd": "index";
    "similarity": "reduce";
    "similarity_grad": "index";
    "spatial_gate": "nan", "read_map", "write_map", "pairs", "moments", "run", "strip";
    "spatial_gate_grad": "read_map", "write_map", "pairs", "run", "gradient_run", "strip";
    "unit_length": "reduce", "index";
    "unit_length_grad": "reduce", "index";
    "weighted_sum": "nan", "index";
};

/// A shader as the device gets it, and the layout that the host gives its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Shader {
    /// Its name.
    pub name: &'static str,
    /// The file in `shaders/` whose entry points it has, without its ending.
    pub file: &'static str,
    /// Which of its feature maps are f16.
    pub halves: Halves,
    /// The WGSL text, with its shared pieces.
    pub text: Cow<'static, str>,
    /// What a device needs for it beyond what every browser offers.
    pub needs: wgpu::Features,
    /// The sets of override constants that it is compiled with for its tiles.
    pub constants: Vec<Vec<(&'static str, f64)>>,
    /// Names and byte offsets of the fields of its `Params`, as the host writes them.
    pub params: &'static [(&'static str, usize)],
}

/// All shaders of the executor, for checks and translation; those with feature maps once for each choice of which are
/// f16.
#[must_use]
pub fn shaders() -> Vec<Shader> {
    let shader = |source: &'static Source, halves: Halves| Shader {
        name: source.name,
        file: source.file,
        halves,
        text: source.text(halves),
        needs: if halves.any() { source.needs | wgpu::Features::SHADER_F16 } else { source.needs },
        constants: super::tile::constants_of(source.name),
        params: super::PARAMS.iter().find(|(names, _)| names.contains(&source.name)).map_or(&[], |(_, fields)| fields),
    };
    let page = cfg!(target_family = "wasm");
    let choices = |source: &'static Source| {
        let maps = source.maps();
        let all = [(false, false), (true, false), (false, true), (true, true)];
        let all = all.map(|(read, written)| Halves { read, written });
        let fits = move |halves: &Halves| (!halves.read || maps.read) && (!halves.written || maps.written);
        all.into_iter().filter(fits).filter(move |halves| !page || !halves.any())
    };
    SOURCES.iter().flat_map(|source| choices(source).map(move |halves| shader(source, halves))).collect()
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
