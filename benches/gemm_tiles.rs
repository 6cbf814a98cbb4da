//! The best plain matrix product on each GPU adapter: what the convolutions' GFLOP/s are to be compared with.
//!
//! `cargo bench --bench gemm_tiles [-- SIZE]` multiplies two SIZE×SIZE matrices (512) with tiles of many shapes, from
//! workgroup memory, straight from storage, and by subgroups that hand the rows' values on through registers (those of 4
//! swap them), and prints the fastest of each way and adapter. Subgroups also read the left matrix, or both, four values
//! at a time; a convolution can have its left one so, but not the right one, whose windows begin anywhere.

use std::{fmt::Write, time::Instant};

/// Where invocations have their operands from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    WorkgroupMemory,
    Storage,
    /// Each value is loaded by one invocation of a subgroup that is alone in its workgroup.
    Subgroup,
    /// The same, the left matrix by fours.
    SubgroupLeftByFours,
    /// The same, both matrices by fours.
    SubgroupByFours,
}

impl Way {
    fn is_subgroup(self) -> bool {
        matches!(self, Self::Subgroup | Self::SubgroupLeftByFours | Self::SubgroupByFours)
    }
}

/// A shape of tile.
#[derive(Debug, Clone, Copy)]
struct Tile {
    /// Outputs of an invocation, rows × columns.
    outputs: [usize; 2],
    /// Invocations of a workgroup, rows × columns.
    workgroup: [usize; 2],
    /// Products between two barriers, or of a subgroup between a load and a store of the sums.
    step: usize,
    way: Way,
}

impl Tile {
    fn size(self) -> [usize; 2] {
        [self.outputs[0] * self.workgroup[0], self.outputs[1] * self.workgroup[1]]
    }

    /// `lanes` is the size of a subgroup, where a device has subgroups of one size.
    fn all(lanes: Option<usize>) -> impl Iterator<Item = Self> {
        let by_subgroup = lanes.into_iter().flat_map(|lanes| {
            let outputs = [[16, 4], [16, 8], [32, 4], [32, 8], [64, 4], [64, 8]];
            outputs.into_iter().flat_map(move |outputs| {
                [
                    (1, Way::Subgroup),
                    (2, Way::Subgroup),
                    (4, Way::Subgroup),
                    (4, Way::SubgroupLeftByFours),
                    (4, Way::SubgroupByFours),
                ]
                .map(|(step, way)| Self { outputs, workgroup: [1, lanes], step, way })
            })
        });
        let outputs = [[4, 4], [4, 8], [8, 4], [8, 8], [16, 8], [8, 16]];
        let workgroups = [[4, 4], [4, 8], [8, 8], [4, 16], [16, 4], [8, 16], [16, 16]];
        let ways =
            [(8, Way::WorkgroupMemory), (16, Way::WorkgroupMemory), (32, Way::WorkgroupMemory), (16, Way::Storage)];
        let by_workgroup = outputs.into_iter().flat_map(move |outputs| {
            workgroups.into_iter().flat_map(move |workgroup| {
                ways.into_iter().map(move |(step, way)| Self { outputs, workgroup, step, way })
            })
        });
        by_workgroup.chain(by_subgroup)
    }

    /// Whether browsers would take it, and it divides the matrices.
    fn fits(self, size: usize) -> bool {
        let [rows, columns] = self.size();
        let divides = size.is_multiple_of(rows) && size.is_multiple_of(columns);
        let memory = if self.way == Way::WorkgroupMemory { (rows + columns) * self.step * 4 } else { 0 };
        let whole = !self.way.is_subgroup() || rows.is_multiple_of(self.workgroup[1]);
        divides && whole && rows.max(columns) <= 128 && memory <= 16_384
    }

    /// C = A·B, all row-major and n×n, unrolled.
    fn shader(self, n: usize) -> String {
        if self.way.is_subgroup() { self.by_subgroup(n) } else { self.by_workgroup(n) }
    }

    /// An invocation has all rows of the tile in every `lanes`th column, or every `lanes`th four.
    fn by_subgroup(self, n: usize) -> String {
        let ([rows, own], [_, lanes], step) = (self.outputs, self.workgroup, self.step);
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("invariant: a string takes all text");
        let right_by_fours = self.way == Way::SubgroupByFours;
        let left_by_fours = right_by_fours || self.way == Way::SubgroupLeftByFours;
        let element = |by_fours| if by_fours { "vec4<f32>" } else { "f32" };
        line(format!("@group(0) @binding(0) var<storage, read> a: array<{}>;", element(left_by_fours)));
        line(format!("@group(0) @binding(1) var<storage, read> b: array<{}>;", element(right_by_fours)));
        line("@group(0) @binding(2) var<storage, read_write> c: array<f32>;".to_owned());
        line(format!("const N = {n}u;"));
        line(format!("@compute @workgroup_size({lanes})"));
        line(
            "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {".to_owned(),
        );
        let first = if right_by_fours { "4u * lane" } else { "lane" };
        line(format!("let top = group.y * {rows}u; let left = group.x * {}u + {first};", own * lanes));
        let column = |j: usize| if right_by_fours { j / 4 * 4 * lanes + j % 4 } else { j * lanes };
        for i in 0..rows {
            (0..own).for_each(|j| line(format!("var sum_{i}_{j} = 0.0;")));
        }
        line(format!("for (var k = 0u; k < N; k += {step}u) {{"));
        for s in 0..step {
            for j in 0..own {
                let at = format!("(k + {s}u) * N + left + {}u", column(j / 4 * 4));
                match (right_by_fours, j % 4) {
                    (false, _) => line(format!("let b{s}_{j} = b[(k + {s}u) * N + left + {}u];", column(j))),
                    (true, 0) => line(format!("let four{s}_{j} = b[({at}) / 4u]; let b{s}_{j} = four{s}_{j}[0];")),
                    (true, e) => line(format!("let b{s}_{j} = four{s}_{}[{e}];", j - e)),
                }
            }
        }
        for i in 0..rows {
            if i % lanes == 0 {
                let row = i / lanes;
                if left_by_fours {
                    line(format!("let fours_{row} = a[((top + {i}u + lane) * N + k) / 4u];"));
                }
                for s in 0..step {
                    line(if left_by_fours {
                        format!("let a{s}_{row} = fours_{row}[{s}];")
                    } else {
                        format!("let a{s}_{row} = a[(top + {i}u + lane) * N + k + {s}u];")
                    });
                }
            }
            for s in 0..step {
                let of = format!("a{s}_{}", i / lanes);
                line(match (lanes, i % lanes) {
                    (4, 0) => format!("let row{s}_{i} = {of};"),
                    (4, 1) => format!("let row{s}_{i} = quadSwapX({of});"),
                    (4, 2) => format!("let row{s}_{i} = quadSwapY({of});"),
                    (4, _) => format!("let row{s}_{i} = quadSwapDiagonal({of});"),
                    (_, from) => format!("let row{s}_{i} = subgroupBroadcast({of}, {from}u);"),
                });
            }
            for j in 0..own {
                let products: Vec<_> = (0..step).map(|s| format!("row{s}_{i} * b{s}_{j}")).collect();
                line(format!("sum_{i}_{j} += {};", products.join(" + ")));
            }
        }
        line("}".to_owned());
        for i in 0..rows {
            // A lane that swapped has another row of its four.
            let row = if lanes == 4 { format!("{}u + (lane ^ {}u)", i / 4 * 4, i % 4) } else { format!("{i}u") };
            (0..own).for_each(|j| line(format!("c[(top + {row}) * N + left + {}u] = sum_{i}_{j};", column(j))));
        }
        line("}".to_owned());
        text
    }

    fn by_workgroup(self, n: usize) -> String {
        let shared = self.way == Way::WorkgroupMemory;
        let [rows, columns] = self.size();
        let [high, wide] = self.workgroup;
        let (step, invocations) = (self.step, high * wide);
        let (quads_a, quads_b) = (rows / 4, columns / 4);
        let (own_a, own_b) = (self.outputs[0] / 4, self.outputs[1] / 4);
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("invariant: a string takes all text");
        line("@group(0) @binding(0) var<storage, read> a: array<f32>;".to_owned());
        line("@group(0) @binding(1) var<storage, read> b: array<f32>;".to_owned());
        line("@group(0) @binding(2) var<storage, read_write> c: array<f32>;".to_owned());
        line(format!("const N = {n}u;"));
        if shared {
            line(format!("var<workgroup> tile_a: array<vec4<f32>, {}>;", step * quads_a));
            line(format!("var<workgroup> tile_b: array<vec4<f32>, {}>;", step * quads_b));
        }
        line("fn quad_a(row: u32, k: u32) -> vec4<f32> {".to_owned());
        line("let at = row * N + k; return vec4(a[at], a[at + N], a[at + 2u * N], a[at + 3u * N]); }".to_owned());
        line("fn quad_b(k: u32, column: u32) -> vec4<f32> {".to_owned());
        line("let at = k * N + column; return vec4(b[at], b[at + 1u], b[at + 2u], b[at + 3u]); }".to_owned());
        line(format!("@compute @workgroup_size({invocations})"));
        line(
            "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {".to_owned(),
        );
        line(format!("let row = lane / {wide}u; let column = lane % {wide}u;"));
        line(format!("let top = group.y * {rows}u; let left = group.x * {columns}u;"));
        for i in 0..self.outputs[0] {
            (0..own_b).for_each(|j| line(format!("var sum_{i}_{j} = vec4<f32>();")));
        }
        line(format!("for (var first = 0u; first < N; first += {step}u) {{"));
        if shared {
            line(format!("for (var e = lane; e < {}u; e += {invocations}u) {{", step * quads_a));
            line(format!("tile_a[e] = quad_a(top + 4u * (e % {quads_a}u), first + e / {quads_a}u); }}"));
            line(format!("for (var e = lane; e < {}u; e += {invocations}u) {{", step * quads_b));
            line(format!("tile_b[e] = quad_b(first + e / {quads_b}u, left + 4u * (e % {quads_b}u)); }}"));
            line("workgroupBarrier();".to_owned());
        }
        line(format!("for (var k = 0u; k < {step}u; k += 1u) {{"));
        for i in 0..own_a {
            let quad = i * high;
            line(if shared {
                format!("let a{i} = tile_a[k * {quads_a}u + {quad}u + row];")
            } else {
                format!("let a{i} = quad_a(top + 4u * ({quad}u + row), first + k);")
            });
        }
        for j in 0..own_b {
            let quad = j * wide;
            line(if shared {
                format!("let b{j} = tile_b[k * {quads_b}u + {quad}u + column];")
            } else {
                format!("let b{j} = quad_b(first + k, left + 4u * ({quad}u + column));")
            });
        }
        for i in 0..self.outputs[0] {
            (0..own_b).for_each(|j| line(format!("sum_{i}_{j} += a{}[{}] * b{j};", i / 4, i % 4)));
        }
        line(format!("}}\n{}}}", if shared { "workgroupBarrier();\n" } else { "" }));
        for i in 0..self.outputs[0] {
            for j in 0..own_b {
                let (down, across) = (i / 4 * high * 4 + i % 4, j * wide * 4);
                line(format!("{{ let at = (top + 4u * row + {down}u) * N + left + {across}u + 4u * column;"));
                (0..4).for_each(|e| line(format!("c[at + {e}u] = sum_{i}_{j}[{e}];")));
                line("}".to_owned());
            }
        }
        line("}".to_owned());
        text
    }
}

/// Seconds of the fastest of some runs.
fn time(device: &wgpu::Device, queue: &wgpu::Queue, tile: Tile, n: usize, buffers: &[wgpu::Buffer]) -> f64 {
    let shader = wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(tile.shader(n).into()) };
    #[expect(unsafe_code, reason = "as the executor makes its convolutions")]
    // SAFETY: the tile divides the matrices, so that no index leaves them.
    let module = unsafe { device.create_shader_module_trusted(shader, wgpu::ShaderRuntimeChecks::unchecked()) };
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    });
    let entries: Vec<_> = buffers
        .iter()
        .enumerate()
        .map(|(i, buffer)| wgpu::BindGroupEntry { binding: i as u32, resource: buffer.as_entire_binding() })
        .collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    let [rows, columns] = tile.size();
    let run = || {
        let start = Instant::now();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups((n / columns) as u32, (n / rows) as u32, 1);
        }
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
        start.elapsed().as_secs_f64()
    };
    (0..4).map(|_| run()).fold(f64::INFINITY, f64::min)
}

fn main() {
    // `cargo bench` adds `--bench`.
    let n = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(512);
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    println!("| adapter | GFLOP/s | outputs an invocation | workgroup | step | operands from |");
    println!("|---|---|---|---|---|---|");
    for adapter in pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all())) {
        let info = adapter.get_info();
        let descriptor = wgpu::DeviceDescriptor {
            required_features: adapter.features() & wgpu::Features::SUBGROUP,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).expect("the adapter gives a device");
        let has_subgroups = device.features().contains(wgpu::Features::SUBGROUP);
        let lanes = (has_subgroups && info.subgroup_min_size == info.subgroup_max_size)
            .then_some(info.subgroup_min_size as usize);
        let buffer = || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: (n * n * 4) as u64,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let buffers = [buffer(), buffer(), buffer()];
        let mut results: Vec<_> = Tile::all(lanes)
            .filter(|tile| tile.fits(n))
            .map(|tile| (2.0 * (n as f64).powi(3) / time(&device, &queue, tile, n, &buffers) / 1e9, tile))
            .collect();
        results.sort_by(|a, b| b.0.total_cmp(&a.0));
        let subgroups = [Way::Subgroup, Way::SubgroupLeftByFours, Way::SubgroupByFours];
        for way in [Way::WorkgroupMemory, Way::Storage].into_iter().chain(subgroups) {
            for (rate, tile) in results.iter().filter(|(_, tile)| tile.way == way).take(2) {
                let Tile { outputs: [i, j], workgroup: [high, wide], step, .. } = tile;
                let name = &info.name;
                println!("| {name}, {} | {rate:.1} | {i}×{j} | {high}×{wide} | {step} | {way:?} |", info.backend);
            }
        }
    }
}
