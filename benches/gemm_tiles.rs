//! The best plain matrix product on each GPU adapter: what the convolutions' GFLOP/s are to be compared with.
//!
//! `cargo bench --bench gemm_tiles [-- SIZE]` multiplies two SIZE×SIZE matrices (512) with tiles of many shapes, from
//! workgroup memory and straight from storage, and prints the fastest of each adapter.

use std::{fmt::Write, time::Instant};

/// A shape of tile.
#[derive(Debug, Clone, Copy)]
struct Tile {
    /// Outputs of an invocation, rows × columns.
    outputs: [usize; 2],
    /// Invocations of a workgroup, rows × columns.
    workgroup: [usize; 2],
    /// Products between two barriers.
    step: usize,
    /// Whether the tiles go through workgroup memory.
    shared: bool,
}

impl Tile {
    fn size(self) -> [usize; 2] {
        [self.outputs[0] * self.workgroup[0], self.outputs[1] * self.workgroup[1]]
    }

    fn all() -> impl Iterator<Item = Self> {
        let outputs = [[4, 4], [4, 8], [8, 4], [8, 8], [16, 8], [8, 16]];
        let workgroups = [[4, 4], [4, 8], [8, 8], [4, 16], [16, 4], [8, 16], [16, 16]];
        let ways = [(8, true), (16, true), (32, true), (16, false)];
        outputs.into_iter().flat_map(move |outputs| {
            workgroups.into_iter().flat_map(move |workgroup| {
                ways.into_iter().map(move |(step, shared)| Self { outputs, workgroup, step, shared })
            })
        })
    }

    /// Whether browsers would take it, and it divides the matrices.
    fn fits(self, size: usize) -> bool {
        let [rows, columns] = self.size();
        let divides = size.is_multiple_of(rows) && size.is_multiple_of(columns);
        divides && rows.max(columns) <= 128 && (!self.shared || (rows + columns) * self.step * 4 <= 16_384)
    }

    /// C = A·B, all row-major and n×n, unrolled.
    fn shader(self, n: usize) -> String {
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
        if self.shared {
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
        if self.shared {
            line(format!("for (var e = lane; e < {}u; e += {invocations}u) {{", step * quads_a));
            line(format!("tile_a[e] = quad_a(top + 4u * (e % {quads_a}u), first + e / {quads_a}u); }}"));
            line(format!("for (var e = lane; e < {}u; e += {invocations}u) {{", step * quads_b));
            line(format!("tile_b[e] = quad_b(first + e / {quads_b}u, left + 4u * (e % {quads_b}u)); }}"));
            line("workgroupBarrier();".to_owned());
        }
        line(format!("for (var k = 0u; k < {step}u; k += 1u) {{"));
        for i in 0..own_a {
            let quad = i * high;
            line(if self.shared {
                format!("let a{i} = tile_a[k * {quads_a}u + {quad}u + row];")
            } else {
                format!("let a{i} = quad_a(top + 4u * ({quad}u + row), first + k);")
            });
        }
        for j in 0..own_b {
            let quad = j * wide;
            line(if self.shared {
                format!("let b{j} = tile_b[k * {quads_b}u + {quad}u + column];")
            } else {
                format!("let b{j} = quad_b(first + k, left + 4u * ({quad}u + column));")
            });
        }
        for i in 0..self.outputs[0] {
            (0..own_b).for_each(|j| line(format!("sum_{i}_{j} += a{}[{}] * b{j};", i / 4, i % 4)));
        }
        line(format!("}}\n{}}}", if self.shared { "workgroupBarrier();\n" } else { "" }));
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
    println!("| adapter | GFLOP/s | outputs an invocation | workgroup | step | workgroup memory |");
    println!("|---|---|---|---|---|---|");
    for adapter in pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all())) {
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))
            .expect("the adapter gives a device");
        let buffer = || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: (n * n * 4) as u64,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let buffers = [buffer(), buffer(), buffer()];
        let mut results: Vec<_> = Tile::all()
            .filter(|tile| tile.fits(n))
            .map(|tile| (2.0 * (n as f64).powi(3) / time(&device, &queue, tile, n, &buffers) / 1e9, tile))
            .collect();
        results.sort_by(|a, b| b.0.total_cmp(&a.0));
        let info = adapter.get_info();
        for (rate, tile) in results.iter().take(3) {
            let Tile { outputs: [i, j], workgroup: [high, wide], step, shared } = tile;
            let name = &info.name;
            println!("| {name}, {} | {rate:.1} | {i}×{j} | {high}×{wide} | {step} | {shared} |", info.backend);
        }
    }
}
