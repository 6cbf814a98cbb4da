//! GPU executor: WGSL compute shaders through wgpu.
//!
//! A graph is compiled to a list of dispatches with their bind groups; a run encodes them into one compute pass and
//! submits it, and makes nothing. Tensors are row-major `[N, C, H, W]` in f32, feature maps in mixed precision in f16.

mod activation;
mod adapter;
mod augment;
mod axis_sum;
mod batch_norm;
#[cfg(target_family = "wasm")]
mod browser;
mod channel_attention;
mod channel_gate;
mod concat;
mod conv2d;
mod cross_entropy;
mod determinant;
mod device;
mod global_pool;
mod inspect;
mod kept;
mod lower;
mod memory;
mod mixture_cross_entropy;
mod multiply;
mod partial_sums;
mod patches;
mod pool2d;
mod program;
mod readback;
mod running_sums;
mod self_test;
mod sgd;
mod shader;
mod similarity;
mod spatial_gate;
mod tile;
mod tile_search;
mod unit_length;
mod variant;
mod weighted_sum;

#[cfg(not(target_family = "wasm"))]
pub use adapter::adapters;
pub use adapter::{AdapterReport, Selector};
pub use shader::{Halves, Shader, shaders};
pub use tile_search::{SEARCH_BUDGET, TileStore};
pub use variant::Variant;

use self::{
    device::Gpu,
    kept::Storage,
    lower::Lower,
    memory::{Variables, View},
    program::Compiled,
    readback::Readback,
    shader::Params,
    tile_search::Search,
};
use super::{DeviceInfo, Executor, OpCost, Profile, Program, Reading, Stats, programs::Programs, training};
use crate::{
    Error, Result,
    graph::{Graph, Node, Role, plan::Plan},
    ops::{Op, TensorId, shape_error},
};

/// Runs programs on a GPU adapter.
pub struct GpuExecutor {
    gpu: Gpu,
    variables: Variables,
    programs: Programs<Compiled>,
    readback: Readback,
    search: Option<Search>,
    /// Whether feature maps are kept as f16.
    half_maps: bool,
}

/// What to ask of an adapter beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The most bytes of a tensor that a dispatch may see at once; larger tensors are split by image. Without it the
    /// device's own limit holds.
    pub max_binding: Option<u64>,
    /// Whether convolutions are computed in mixed precision, see [`Variant`], and feature maps and their gradients kept
    /// as f16.
    pub mixed: bool,
    /// Whether feature maps are f32 in mixed precision too. For tests.
    pub wide_maps: bool,
    /// The tile of this number, of those that a search chooses from, for all convolutions. For tests.
    pub tile: Option<usize>,
    /// A variant in whose self-test one value is changed, so that it is refused. For tests.
    pub spoil: Option<Variant>,
    /// Whether the same is done to that of feature maps in f16. For tests.
    pub spoil_maps: bool,
}

impl GpuExecutor {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Device`] where none fits or it gives no device.
    #[cfg(not(target_family = "wasm"))]
    pub fn new(selector: &Selector) -> Result<Self> {
        Self::with_options(selector, &Options::default())
    }

    /// Opens an adapter; for mixed precision, with the fastest [`Variant`] that it offers and that passes its self-test.
    ///
    /// # Errors
    /// See [`GpuExecutor::new`]; and [`Error::Device`] where mixed precision is asked for and no variant of it is
    /// offered and passes.
    #[cfg(not(target_family = "wasm"))]
    pub fn with_options(selector: &Selector, options: &Options) -> Result<Self> {
        let gpu = pollster::block_on(adapter::open(selector, options.mixed))?;
        let mut executor = Self::on(gpu);
        executor.pick_variant(options)?;
        options.max_binding.inspect(|&most| executor.gpu.limit_binding(most));
        executor.gpu.forced = options.tile.and_then(|tile| executor.gpu.candidates().get(tile).copied());
        Ok(executor)
    }

    /// Opens an adapter where waiting is not allowed, such as in a browser: with [`Variant::Workgroup`], which needs no
    /// self-test.
    ///
    /// # Errors
    /// See [`GpuExecutor::new`].
    pub async fn open(selector: &Selector, max_binding: Option<u64>) -> Result<Self> {
        let mut gpu = adapter::open(selector, false).await?;
        max_binding.inspect(|&most| gpu.limit_binding(most));
        Ok(Self::on(gpu))
    }

    fn on(gpu: Gpu) -> Self {
        let (variables, readback) = (Variables::default(), Readback::default());
        Self { gpu, variables, programs: Programs::new(), readback, search: None, half_maps: false }
    }

    /// Whether feature maps and their gradients are kept as f16.
    #[must_use]
    pub fn has_half_maps(&self) -> bool {
        self.half_maps
    }

    /// How convolutions are computed.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.gpu.variant
    }

    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "a page cannot wait for the self-test"))]
    fn pick_variant(&mut self, options: &Options) -> Result<()> {
        if !options.mixed {
            return Ok(());
        }
        for variant in Variant::mixed(&self.gpu.device) {
            let Some(problem) = self.self_test(variant, options.spoil == Some(variant))? else {
                self.gpu.use_variant(variant);
                self.gpu.info.detail += &format!(", convolutions by {variant}");
                self.keep_maps(options)?;
                let maps = if self.half_maps { "f16" } else { "f32" };
                self.gpu.info.detail += &format!(", feature maps as {maps}");
                return Ok(());
            };
            let note = format!("convolutions by {variant} are not used, since they failed their self-test: {problem}");
            self.gpu.info.notes.push(note);
        }
        let why = match &*self.gpu.info.notes {
            [] => "it has no f16 in shaders".to_owned(),
            notes => notes.join("; "),
        };
        Err(Error::Device {
            device: self.gpu.info.name.clone(),
            problem: format!("mixed precision was asked for, but {why}"),
            hint: "use --precision f32, or choose another device with --device gpu:N".to_owned(),
        })
    }

    /// Where a graph's tensors go, and how they lie there.
    fn plan(&self, graph: &Graph) -> (Plan, Storage) {
        let plan = Plan::new(graph);
        if cfg!(target_family = "wasm") || !self.half_maps {
            return (plan, Storage::f32(graph));
        }
        let storage = Storage::half(graph, &plan.order);
        let words = |id: TensorId| storage.of(id).words(graph.tensor(id).shape.elements());
        (Plan::with_sizes(graph, words), storage)
    }

    fn compile_planned(&mut self, graph: &Graph, plan: &Plan, storage: &Storage) -> Result<Program> {
        self.variables.declare(&mut self.gpu, graph, plan)?;
        let compiled = Compiled::new(&mut self.gpu, &self.variables, graph, plan, storage)?;
        let outputs = graph.outputs().iter().map(|&id| 4 * graph.tensor(id).shape.elements() as u64);
        self.readback.reserve(&mut self.gpu, outputs.max().unwrap_or(0))?;
        Ok(self.programs.push(compiled, graph, plan))
    }

    /// A tensor of a program that can be read or written.
    fn tensor(&self, program: Program, tensor: TensorId) -> Result<View> {
        let program = self.programs.get(program)?;
        let declared = program.declared(tensor)?;
        program.tensors.view(tensor).cloned().ok_or_else(|| {
            let found = format!("{}, which no op uses", declared.name);
            shape_error("compile", "a tensor that the program has", found, "mark it as an output")
        })
    }

    /// Runs a program, also one whose inputs nobody has written.
    fn submit(&mut self, program: Program) -> Result<()> {
        self.gpu.check()?;
        let compiled = self.programs.get(program)?;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            compiled.encode(&self.gpu, &mut pass, 0..compiled.len());
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()
    }

    fn variable(&self, name: &str) -> Result<View> {
        self.variables.view(name).ok_or_else(|| {
            shape_error("variable", "the name of a variable of a compiled program", name, "compile the graph first")
        })
    }

    fn upload(&self, name: &str, view: &View, values: &[f32]) -> Result<()> {
        expect_length(name, view.elements, values)?;
        if view.kept.is_half() {
            self.gpu.queue.write_buffer(&view.buffer, view.offset(), &view.kept.encode(values));
        } else {
            self.gpu.queue.write_buffer(&view.buffer, view.offset(), bytemuck::cast_slice(values));
        }
        self.gpu.check()
    }
}

impl Executor for GpuExecutor {
    fn device(&self) -> &DeviceInfo {
        &self.gpu.info
    }

    fn compile(&mut self, graph: &Graph) -> Result<Program> {
        self.gpu.check()?;
        let (plan, storage) = self.plan(graph);
        self.find_tiles(graph, &plan)?;
        self.compile_planned(graph, &plan, &storage)
    }

    fn clear(&mut self) {
        self.programs = Programs::new();
        self.variables = Variables::default();
        self.readback = Readback::default();
        self.gpu.free_buffers();
    }

    fn has(&self, program: Program) -> bool {
        self.programs.has(program)
    }

    fn largest_tensor(&self) -> usize {
        (self.gpu.max_binding.min(self.gpu.max_buffer) / 4) as usize
    }

    fn write(&mut self, program: Program, tensor: TensorId, values: &[f32]) -> Result<()> {
        let compiled = self.programs.get(program)?;
        let declared = compiled.declared(tensor)?;
        let root = compiled.graph.root(tensor);
        // An op's result can be written too: tests look at how it is kept.
        if !matches!(compiled.graph.tensor(root).role, Role::Input | Role::Activation) {
            return Err(shape_error("write", "an input", &declared.name, "write variables by their name"));
        }
        match compiled.tensors.view(tensor) {
            Some(view) => self.upload(&declared.name, view, values)?,
            // Nothing that runs reads it.
            None => expect_length(&declared.name, declared.shape.elements(), values)?,
        }
        self.programs.wrote(program, root);
        Ok(())
    }

    fn run(&mut self, program: Program) -> Result<()> {
        self.programs.expect_written(program)?;
        self.submit(program)
    }

    fn read(&mut self, program: Program, tensor: TensorId) -> Result<Vec<f32>> {
        let view = self.tensor(program, tensor)?;
        self.readback.read(&mut self.gpu, &view)
    }

    fn read_later(&mut self, program: Program, tensors: &[TensorId]) -> Result<Reading> {
        let views = tensors.iter().map(|id| self.tensor(program, *id)).collect::<Result<Vec<_>>>()?;
        readback::read_later(&mut self.gpu, &views)
    }

    fn synchronize(&mut self) -> Result<()> {
        self.gpu.wait()
    }

    fn write_variable(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.upload(name, &self.variable(name)?, values)?;
        self.programs.wrote_variable(name);
        Ok(())
    }

    fn read_variable(&mut self, name: &str) -> Result<Vec<f32>> {
        let view = self.variable(name)?;
        self.readback.read(&mut self.gpu, &view)
    }

    fn first_not_finite(&mut self, program: Program) -> Result<Option<String>> {
        self.programs.expect_written(program)?;
        self.find_not_finite(program)
    }

    fn costs(&self, program: Program) -> Result<Vec<OpCost>> {
        Ok(self.programs.get(program)?.costs())
    }

    fn profile(&mut self, program: Program, runs: usize) -> Result<Profile> {
        self.programs.expect_written(program)?;
        self.time_ops(program, runs.max(1))
    }

    fn stats(&self, program: Program) -> Stats {
        let mut stats = Stats { resources_created: self.gpu.created, ..Stats::default() };
        if let Ok(compiled) = self.programs.get(program) {
            (stats.dispatches, stats.dispatches_by_op) = compiled.counts();
            stats.bytes = compiled.tensors.bytes + self.variables.bytes();
        }
        stats
    }
}

impl Drop for GpuExecutor {
    fn drop(&mut self) {
        self.gpu.free_buffers();
    }
}

fn expect_length(name: &str, elements: usize, values: &[f32]) -> Result<()> {
    if values.len() == elements {
        return Ok(());
    }
    let expected = format!("{elements} values for {name}");
    Err(shape_error("write", expected, values.len(), "give a value for each element"))
}

/// Appends the dispatches of one op.
fn lower_node(cx: &mut Lower<'_>, node: &Node) -> Result<()> {
    let stem = node.op.contract().stem();
    match &node.op {
        Op::Activation(op) => activation::forward(cx, node, op.function),
        Op::ActivationGrad(op) => training(stem, || activation::grad(cx, node, op.function)),
        Op::Augment(op) => training(stem, || augment::forward(cx, node, op)),
        Op::AxisRepeat(op) => axis_sum::repeat(cx, node, *op),
        Op::AxisSum(op) => axis_sum::forward(cx, node, *op),
        Op::BatchNorm(op) => training(stem, || batch_norm::forward(cx, node, *op)),
        Op::BatchNormEval(op) => batch_norm::evaluate(cx, node, *op),
        Op::BatchNormGrad(op) => training(stem, || batch_norm::grad(cx, node, *op)),
        Op::ChannelAttention(op) => channel_attention::forward(cx, node, op.groups),
        Op::ChannelAttentionGrad(op) => training(stem, || channel_attention::grad(cx, node, op.groups)),
        Op::ChannelGate(op) => channel_gate::forward(cx, node, op.groups),
        Op::ChannelGateGrad(op) => training(stem, || channel_gate::grad(cx, node, op.groups)),
        Op::Concat(op) => concat::forward(cx, node, *op),
        Op::Conv2d(op) => conv2d::forward(cx, node, *op),
        Op::Conv2dGradInput(op) => training(stem, || conv2d::grad_input(cx, node, *op)),
        Op::Conv2dGradWeight(op) => training(stem, || conv2d::grad_weight(cx, node, *op)),
        Op::CrossEntropy(_) => training(stem, || cross_entropy::forward(cx, node)),
        Op::CrossEntropyGrad(_) => training(stem, || cross_entropy::grad(cx, node)),
        Op::Determinant(op) => determinant::forward(cx, node, op.objective),
        Op::GlobalPool(op) => global_pool::forward(cx, node, op.pooling),
        Op::GlobalPoolGrad(op) => training(stem, || global_pool::grad(cx, node, *op)),
        Op::MixtureCrossEntropy(_) => training(stem, || mixture_cross_entropy::forward(cx, node)),
        Op::MixtureCrossEntropyGrad(_) => training(stem, || mixture_cross_entropy::grad(cx, node)),
        Op::Multiply(_) => multiply::forward(cx, node),
        Op::Patches(op) => patches::forward(cx, node, *op),
        Op::PatchesJoin(op) => training(stem, || patches::join(cx, node, op.patches)),
        Op::Pool2d(op) => pool2d::forward(cx, node, *op),
        Op::Pool2dGrad(op) => training(stem, || pool2d::grad(cx, node, op.pool)),
        Op::RunningSums(_) => training(stem, || running_sums::forward(cx, node)),
        Op::Sgd(op) => training(stem, || sgd::forward(cx, node, op)),
        Op::Similarity(op) => similarity::forward(cx, node, *op),
        Op::SimilarityGrad(op) => training(stem, || similarity::grad(cx, node, *op)),
        Op::Slice(op) => concat::slice(cx, node, *op),
        Op::SliceGrad(op) => training(stem, || concat::slice_grad(cx, node, *op)),
        Op::SpatialGate(op) => spatial_gate::forward(cx, node, *op),
        Op::SpatialGateEval(op) => spatial_gate::evaluate(cx, node, *op),
        Op::SpatialGateGrad(op) => training(stem, || spatial_gate::grad(cx, node, op.groups)),
        Op::UnitLength(op) => training(stem, || unit_length::forward(cx, node, *op)),
        Op::UnitLengthGrad(op) => training(stem, || unit_length::grad(cx, node, op.0)),
        Op::WeightedSum(op) => weighted_sum::forward(cx, node, op),
    }
}

/// Shaders, and the layout of their parameters.
type Layout = (&'static [&'static str], &'static [(&'static str, usize)]);

/// The layout of every shader's parameters.
static PARAMS: &[Layout] = &[
    layout::<activation::ActivationParams>(),
    layout::<activation::ActivationGradParams>(),
    layout::<augment::AugmentParams>(),
    layout::<axis_sum::AxisSumParams>(),
    layout::<batch_norm::BatchNormParams>(),
    layout::<batch_norm::BatchNormGradParams>(),
    layout::<channel_attention::ChannelAttentionParams>(),
    layout::<channel_attention::ChannelAttentionGradParams>(),
    layout::<channel_gate::ChannelGateParams>(),
    layout::<channel_gate::ChannelGateGradParams>(),
    layout::<concat::ConcatParams>(),
    layout::<conv2d::Conv2dParams>(),
    layout::<conv2d::Conv2dGradWeightParams>(),
    layout::<cross_entropy::CrossEntropyParams>(),
    layout::<determinant::DeterminantParams>(),
    layout::<global_pool::GlobalPoolParams>(),
    layout::<global_pool::GlobalPoolGradParams>(),
    layout::<mixture_cross_entropy::MixtureCrossEntropyParams>(),
    layout::<multiply::MultiplyParams>(),
    layout::<partial_sums::PartialSumsParams>(),
    layout::<patches::PatchesParams>(),
    layout::<pool2d::Pool2dParams>(),
    layout::<pool2d::Pool2dGradParams>(),
    layout::<running_sums::RunningSumsParams>(),
    layout::<sgd::SgdParams>(),
    layout::<similarity::SimilarityParams>(),
    layout::<similarity::SimilarityGradParams>(),
    layout::<spatial_gate::SpatialGateParams>(),
    layout::<spatial_gate::SpatialGateGradParams>(),
    layout::<unit_length::UnitLengthParams>(),
    layout::<weighted_sum::WeightedSumParams>(),
];

const fn layout<P: Params>() -> Layout {
    (P::SHADERS, P::FIELDS)
}
