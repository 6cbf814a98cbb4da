//! Every shader as the executor hands it to the device: within what browsers grant by default, translatable for every
//! backend, its parameters laid out as the host writes them.
//!
//! With `MOUE_SHADERS_OUT=folder` the translations are also written there.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Trial, run};
use moue::exec::gpu::{Shader, shaders};
use naga::{
    AddressSpace, Expression, Module, ShaderStage, TypeInner,
    back::{PipelineConstants, glsl, hlsl, msl, pipeline_constants::process_overrides, spv},
    proc::Layouter,
    valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator},
};
use wgpu::Features;

/// WGSL wants this line before subgroup operations; naga goes by the device's features.
const ENABLE_SUBGROUPS: &str = "enable subgroups;\n";

const COOPERATIVE: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// What browsers grant without asking.
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16_384;
const STORAGE_BUFFERS: usize = 8;

fn main() -> ExitCode {
    let checks: [(&str, fn()); 11] = [
        ("every_file_in_the_folder_is_a_shader_of_the_executor", every_file_in_the_folder_is_a_shader_of_the_executor),
        ("shaders_say_what_they_compute_in_their_first_line", shaders_say_what_they_compute_in_their_first_line),
        ("shaders_stay_within_the_limits_of_browsers", shaders_stay_within_the_limits_of_browsers),
        ("parameters_lie_where_the_host_writes_them", parameters_lie_where_the_host_writes_them),
        ("shaders_translate_to_spir_v", shaders_translate_to_spir_v),
        ("shaders_translate_to_msl", shaders_translate_to_msl),
        ("shaders_translate_to_hlsl", shaders_translate_to_hlsl),
        ("shaders_translate_to_glsl", shaders_translate_to_glsl),
        ("a_shader_that_writes_what_it_may_only_read_is_refused", a_write_to_what_may_only_be_read_is_refused),
        ("every_shader_is_listed_for_tint_with_all_its_constants", every_shader_is_listed_for_tint),
        ("naga_knows_no_directive_for_subgroups", naga_knows_no_directive_for_subgroups),
    ];
    let trial = |(name, check): (&str, fn())| {
        Trial::test(name, move || {
            check();
            Ok(())
        })
    };
    let mut trials: Vec<_> = checks.into_iter().map(trial).collect();
    let version = spirv_val_version();
    let names: [(&str, fn(), f64); 2] = [
        ("spirv_val_accepts_every_shader", spirv_val_accepts_every_shader, 0.0),
        ("spirv_val_accepts_the_cooperative_matrices", spirv_val_accepts_the_cooperative_matrices, 2023.4),
    ];
    for (name, check, least) in names {
        let missing = version.is_none_or(|version| version < least);
        let needs = if least > 0.0 { format!("spirv-val of {least} or later") } else { "spirv-val".to_owned() };
        let name = if missing { format!("{name} (needs {needs})") } else { name.to_owned() };
        trials.push(trial((&name, check)).with_ignored_flag(missing));
    }
    run(&Arguments::from_args(), trials).exit_code()
}

/// Where translations are to be written.
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("MOUE_SHADERS_OUT")?);
    fs::create_dir_all(&folder).expect("the folder for translations");
    Some(folder)
}

fn keep(name: &str, ending: &str, bytes: impl AsRef<[u8]>) {
    if let Some(folder) = folder() {
        fs::write(folder.join(format!("{}.{ending}", name.replace(", ", "."))), bytes)
            .expect("the translation written");
    }
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn parsed(shader: &Shader) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(&shader.text)
        .unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(&shader.text)));
    let mut capabilities = Capabilities::empty();
    for (feature, capability) in [
        (Features::SUBGROUP, Capabilities::SUBGROUP),
        (Features::SHADER_F16, Capabilities::SHADER_FLOAT16),
        (Features::EXPERIMENTAL_COOPERATIVE_MATRIX, Capabilities::COOPERATIVE_MATRIX),
    ] {
        capabilities.set(capability, shader.needs.contains(feature));
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(&shader.text)));
    (module, info)
}

/// Each entry point alone, with its overrides resolved, as backends get it: by default, and as each tile sets them. Only
/// of shaders that need none of some features, because no adapter of a backend has them.
fn each_entry(without: Features, check: impl Fn(&str, &Module, &ModuleInfo, &str)) {
    for shader in shaders().iter().filter(|shader| !shader.needs.intersects(without)) {
        entries_of(shader, &check);
    }
}

fn entries_of(shader: &Shader, check: impl Fn(&str, &Module, &ModuleInfo, &str)) {
    let (module, info) = parsed(shader);
    assert!(!module.entry_points.is_empty(), "{} has no entry point", shader.name);
    for entry in &module.entry_points {
        for set in std::iter::once(&Vec::new()).chain(&shader.constants) {
            let stage = Some((ShaderStage::Compute, &*entry.name));
            let constants: PipelineConstants = set.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            let mut name = format!("{}, {}{}", shader.name, entry.name, halves(shader));
            set.iter().for_each(|(constant, value)| name += &format!(", {constant}_{value}"));
            let (module, info) =
                process_overrides(&module, &info, stage, &constants).unwrap_or_else(|error| panic!("{name}: {error}"));
            check(&name, &module, &info, &entry.name);
        }
    }
}

fn halves(shader: &Shader) -> &'static str {
    match (shader.halves.read, shader.halves.written) {
        (false, false) => "",
        (true, false) => ", maps read in f16",
        (false, true) => ", maps written in f16",
        (true, true) => ", maps in f16",
    }
}

fn every_file_in_the_folder_is_a_shader_of_the_executor() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let files: BTreeSet<_> = fs::read_dir(folder)
        .expect("the folder shaders")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    let known: BTreeSet<_> = shaders().iter().map(|shader| shader.file.to_owned()).collect();
    assert_eq!(files, known);
}

fn shaders_say_what_they_compute_in_their_first_line() {
    for shader in shaders() {
        let file = format!("{}/shaders/{}.wgsl", env!("CARGO_MANIFEST_DIR"), shader.file);
        let text = fs::read_to_string(&file).expect("the shader");
        assert!(text.starts_with("// "), "{file}");
    }
}

fn shaders_stay_within_the_limits_of_browsers() {
    each_entry(Features::empty(), |name, module, info, entry_name| {
        let index = module.entry_points.iter().position(|entry| entry.name == entry_name).expect("the entry");
        let entry = &module.entry_points[index];
        let invocations: u32 = entry.workgroup_size.iter().product();
        assert!(invocations <= INVOCATIONS, "{name}: {invocations} invocations");
        let used = |handle: naga::Handle<naga::GlobalVariable>| !info.get_entry_point(index)[handle].is_empty();
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).expect("a layout");
        let (mut buffers, mut bytes) = (0, 0);
        let mut bindings = BTreeSet::new();
        for (_, variable) in module.global_variables.iter().filter(|(handle, _)| used(*handle)) {
            if let Some(binding) = &variable.binding {
                assert_eq!(binding.group, 0, "{name}");
                assert!(bindings.insert(binding.binding), "{name}: binding {} twice", binding.binding);
            }
            match variable.space {
                AddressSpace::Storage { .. } => buffers += 1,
                AddressSpace::WorkGroup => bytes += layouter[variable.ty].size.next_multiple_of(16),
                _ => {}
            }
        }
        assert!(buffers <= STORAGE_BUFFERS, "{name}: {buffers} storage buffers");
        assert!(bytes <= WORKGROUP_BYTES, "{name}: {bytes} bytes of workgroup memory");
        let dense: BTreeSet<u32> = (0..bindings.len() as u32).collect();
        assert_eq!(bindings, dense, "{name}: bindings are numbered without gaps");
    });
}

fn parameters_lie_where_the_host_writes_them() {
    for shader in shaders() {
        let (module, _) = parsed(&shader);
        let (_, variable) = module
            .global_variables
            .iter()
            .find(|(_, variable)| variable.space == AddressSpace::Uniform)
            .unwrap_or_else(|| panic!("{} has parameters", shader.name));
        let TypeInner::Struct { members, .. } = &module.types[variable.ty].inner else {
            panic!("{}: parameters are a struct", shader.name)
        };
        let found: Vec<_> =
            members.iter().map(|member| (member.name.clone().expect("a name"), member.offset as usize)).collect();
        let expected: Vec<_> = shader.params.iter().map(|&(name, offset)| (name.to_owned(), offset)).collect();
        assert_eq!(found, expected, "{}", shader.name);
    }
}

fn shaders_translate_to_spir_v() {
    each_entry(Features::empty(), |name, module, info, entry| {
        let words = spirv(module, info, entry).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(words.len() > 5, "{name}");
        keep(name, "spv", bytes_of(&words));
    });
}

/// In the version that wgpu asks for where a device has subgroups.
fn spirv(module: &Module, info: &ModuleInfo, entry: &str) -> Result<Vec<u32>, spv::Error> {
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.to_owned() };
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    spv::write_vec(module, info, &options, Some(&pipeline))
}

/// Such as 2023.1, from `SPIRV-Tools v2023.1 …`.
fn spirv_val_version() -> Option<f64> {
    let output = Command::new("spirv-val").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find_map(|word| word.strip_prefix('v')?.parse().ok())
}

fn spirv_val_accepts_every_shader() {
    each_entry(COOPERATIVE, |name, module, info, entry| {
        let words = spirv(module, info, entry).unwrap_or_else(|error| panic!("{name}: {error}"));
        spirv_val(name, "vulkan1.1", &words);
    });
}

/// Validators know them since 2023.
fn spirv_val_accepts_the_cooperative_matrices() {
    let mut count = 0;
    for shader in shaders().into_iter().filter(|shader| shader.needs.contains(COOPERATIVE)) {
        entries_of(&shader, |name, module, info, entry| {
            let words = spirv(module, info, entry).unwrap_or_else(|error| panic!("{name}: {error}"));
            spirv_val(name, "vulkan1.3", &without_workgroup_strides(&words));
        });
        count += 1;
    }
    assert_eq!(count, 6, "a convolution in four choices of maps in f16, and its weight gradient in two");
}

fn spirv_val(name: &str, target: &str, words: &[u32]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shader.spv");
    fs::write(&file, bytes_of(words)).expect("the file written");
    let output = Command::new("spirv-val").arg("--target-env").arg(target).arg(&file).output();
    let output = output.expect("spirv-val on the path");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// naga says how far apart the elements of every array are, which validators since 2025 do not want to hear of those in
/// workgroup memory; drivers do not care.
fn without_workgroup_strides(words: &[u32]) -> Vec<u32> {
    const DECORATE: u32 = 71;
    const ARRAY_STRIDE: u32 = 6;
    const POINTER: u32 = 32;
    const WORKGROUP: u32 = 4;
    let mut instructions = Vec::new();
    let mut rest = &words[5..];
    while let [first, ..] = rest {
        let (instruction, after) = rest.split_at((first >> 16) as usize);
        instructions.push(instruction);
        rest = after;
    }
    let shown = |of: &[u32]| of[0] & 0xffff == POINTER && of[2] == WORKGROUP;
    let shared: BTreeSet<u32> = instructions.iter().filter(|of| shown(of)).map(|of| of[3]).collect();
    let is_stride = |of: &[u32]| of[0] & 0xffff == DECORATE && of[2] == ARRAY_STRIDE && shared.contains(&of[1]);
    let kept = instructions.iter().filter(|of| !is_stride(of)).flat_map(|of| of.iter().copied());
    words[..5].iter().copied().chain(kept).collect()
}

/// Not those by cooperative matrices of 16×16: Metal has 8×8.
fn shaders_translate_to_msl() {
    each_entry(COOPERATIVE, |name, module, info, entry| {
        let options = msl::Options { lang_version: (2, 3), fake_missing_bindings: true, ..Default::default() };
        let pipeline =
            msl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())), ..Default::default() };
        let (text, _) =
            msl::write_string(module, info, &options, &pipeline).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains("kernel void"), "{name}");
        keep(name, "metal", &text);
    });
}

/// Not those by cooperative matrices: D3D12 has none in wgpu.
fn shaders_translate_to_hlsl() {
    each_entry(COOPERATIVE, |name, module, info, entry| {
        let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())) };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(module, info, None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains("numthreads"), "{name}");
        keep(name, "hlsl", &text);
    });
}

/// Not those with f16: wgpu's GL has none.
fn shaders_translate_to_glsl() {
    each_entry(Features::SHADER_F16, |name, module, info, entry| {
        let options =
            glsl::Options { version: glsl::Version::Embedded { version: 310, is_webgl: false }, ..Default::default() };
        let pipeline = glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: entry.to_owned(),
            multiview: None,
        };
        let mut text = String::new();
        glsl::Writer::new(&mut text, module, info, &options, &pipeline, Default::default())
            .and_then(|mut writer| writer.write())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains("void main()"), "{name}");
        keep(name, "glsl", &text);
    });
}

fn a_write_to_what_may_only_be_read_is_refused() {
    let shader = shaders().into_iter().find(|shader| shader.name == "multiply").expect("the shader");
    let wrong = shader.text.replace("y[i] = a[i]", "a[i] = y[i]");
    assert_ne!(wrong, shader.text);
    let accepted = naga::front::wgsl::parse_str(&wrong)
        .is_ok_and(|module| Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).is_ok());
    assert!(!accepted);
}

/// Writes `shaders.json`, what `web/tests/tint.mjs` gives Tint: the modules, their entry points, and every set of constants
/// that the executor may set.
fn every_shader_is_listed_for_tint() {
    let list: Vec<_> = shaders().iter().map(listed).collect();
    assert!(!list.is_empty());
    if let Some(folder) = folder() {
        let text = serde_json::to_string(&list).expect("JSON");
        fs::write(folder.join("shaders.json"), text).expect("the list written");
    }
}

fn listed(shader: &Shader) -> serde_json::Value {
    let (module, _) = parsed(shader);
    // The tiles alone, then all combinations of the others: neither changes what the other may be.
    let mut sets: Vec<Vec<(&str, f64)>> = vec![Vec::new()];
    for (_, constant) in module.overrides.iter() {
        let name = constant.name.as_deref().unwrap_or_else(|| panic!("{}: a constant has a name", shader.name));
        let start = constant.init.unwrap_or_else(|| panic!("{}: {name} has a default", shader.name));
        let is_derived = !matches!(module.global_expressions[start], Expression::Literal(_));
        let is_of_tiles = shader.constants.iter().flatten().any(|(of_tile, _)| *of_tile == name);
        if !is_derived && !is_of_tiles {
            let (name, values) = values(shader.name, name);
            let with = |set: &Vec<_>, value: f64| [&**set, &[(name, value)]].concat();
            sets = sets.iter().flat_map(|set| values.iter().map(move |&value| with(set, value))).collect();
        }
    }
    sets.splice(0..0, shader.constants.iter().cloned());
    let sets: Vec<_> = sets
        .iter()
        .map(|set| set.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect::<serde_json::Map<_, _>>())
        .collect();
    let subgroups = if shader.needs.contains(Features::SUBGROUP) { ENABLE_SUBGROUPS } else { "" };
    serde_json::json!({
        "name": format!("{}{}", shader.name, halves(shader)),
        "text": format!("{subgroups}{}", shader.text),
        "entries": module.entry_points.iter().map(|entry| &entry.name).collect::<Vec<_>>(),
        "constants": sets,
        "extension": shader.needs.contains(COOPERATIVE).then_some("wgpu_cooperative_matrix"),
    })
}

/// The values that the executor gives a constant.
fn values(shader: &str, name: &str) -> (&'static str, &'static [f64]) {
    const ALL: [(&str, &[f64]); 12] = [
        ("ACTIVATION", &[0.0, 1.0, 2.0]),
        ("ALIGNED", &[0.0, 1.0]),
        ("COLUMN_SCALE", &[1.0, 8192.0]),
        ("DESCRIPTORS", &[0.0, 1.0]),
        ("KERNEL", &[3.0, 5.0, 7.0]),
        ("PADDED", &[0.0, 1.0]),
        ("POOL", &[0.0, 1.0]),
        ("RANGES", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("ROW_SCALE", &[1.0, 8192.0]),
        ("SIGMOID", &[0.0, 1.0]),
        ("STRIDE", &[1.0, 2.0]),
        ("TRANSPOSED", &[0.0, 1.0]),
    ];
    *ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{shader}: the values of {name} are listed"))
}

/// Else the line would stand in the shaders themselves.
fn naga_knows_no_directive_for_subgroups() {
    let refused = naga::front::wgsl::parse_str(ENABLE_SUBGROUPS).expect_err("refused");
    assert!(refused.emit_to_string(ENABLE_SUBGROUPS).contains("subgroups"));
}
