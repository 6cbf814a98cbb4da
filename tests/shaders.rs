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
    AddressSpace, Module, ShaderStage, TypeInner,
    back::{PipelineConstants, glsl, hlsl, msl, pipeline_constants::process_overrides, spv},
    proc::Layouter,
    valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator},
};

/// What browsers grant without asking.
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16_384;
const STORAGE_BUFFERS: usize = 8;

fn main() -> ExitCode {
    let checks: [(&str, fn()); 9] = [
        ("every_file_in_the_folder_is_a_shader_of_the_executor", every_file_in_the_folder_is_a_shader_of_the_executor),
        ("shaders_say_what_they_compute_in_their_first_line", shaders_say_what_they_compute_in_their_first_line),
        ("shaders_stay_within_the_limits_of_browsers", shaders_stay_within_the_limits_of_browsers),
        ("parameters_lie_where_the_host_writes_them", parameters_lie_where_the_host_writes_them),
        ("shaders_translate_to_spir_v", shaders_translate_to_spir_v),
        ("shaders_translate_to_msl", shaders_translate_to_msl),
        ("shaders_translate_to_hlsl", shaders_translate_to_hlsl),
        ("shaders_translate_to_glsl", shaders_translate_to_glsl),
        ("a_shader_that_writes_what_it_may_only_read_is_refused", a_write_to_what_may_only_be_read_is_refused),
    ];
    let trial = |(name, check): (&str, fn())| {
        Trial::test(name, move || {
            check();
            Ok(())
        })
    };
    let mut trials: Vec<_> = checks.into_iter().map(trial).collect();
    let missing = Command::new("spirv-val").arg("--version").output().is_err();
    let name =
        if missing { "spirv_val_accepts_every_shader (needs spirv-val)" } else { "spirv_val_accepts_every_shader" };
    trials.push(trial((name, spirv_val_accepts_every_shader)).with_ignored_flag(missing));
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
    let capabilities = if shader.subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(&shader.text)));
    (module, info)
}

/// Each entry point alone, with its overrides resolved, as backends get it: by default, and as each tile sets them.
fn each_entry(check: impl Fn(&str, &Module, &ModuleInfo, &str)) {
    for shader in shaders() {
        let (module, info) = parsed(&shader);
        assert!(!module.entry_points.is_empty(), "{} has no entry point", shader.name);
        for entry in &module.entry_points {
            for set in std::iter::once(&Vec::new()).chain(&shader.constants) {
                let stage = Some((ShaderStage::Compute, &*entry.name));
                let constants: PipelineConstants = set.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
                let mut name = format!("{}, {}", shader.name, entry.name);
                set.iter().for_each(|(constant, value)| name += &format!(", {constant}_{value}"));
                let (module, info) = process_overrides(&module, &info, stage, &constants)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                check(&name, &module, &info, &entry.name);
            }
        }
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
    let known: BTreeSet<_> = shaders().iter().map(|shader| shader.name.to_owned()).collect();
    assert_eq!(files, known);
}

fn shaders_say_what_they_compute_in_their_first_line() {
    for shader in shaders() {
        let file = format!("{}/shaders/{}.wgsl", env!("CARGO_MANIFEST_DIR"), shader.name);
        let text = fs::read_to_string(&file).expect("the shader");
        assert!(text.starts_with("// "), "{file}");
    }
}

fn shaders_stay_within_the_limits_of_browsers() {
    each_entry(|name, module, info, entry_name| {
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
    each_entry(|name, module, info, entry| {
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

fn spirv_val_accepts_every_shader() {
    let folder = tempfile::tempdir().expect("a folder");
    each_entry(|name, module, info, entry| {
        let words = spirv(module, info, entry).unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = folder.path().join("shader.spv");
        fs::write(&file, bytes_of(&words)).expect("the file written");
        let output = Command::new("spirv-val").arg("--target-env").arg("vulkan1.1").arg(&file).output();
        let output = output.expect("spirv-val on the path");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    });
}

fn shaders_translate_to_msl() {
    each_entry(|name, module, info, entry| {
        let options = msl::Options { lang_version: (2, 3), fake_missing_bindings: true, ..Default::default() };
        let pipeline =
            msl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())), ..Default::default() };
        let (text, _) =
            msl::write_string(module, info, &options, &pipeline).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains("kernel void"), "{name}");
        keep(name, "metal", &text);
    });
}

fn shaders_translate_to_hlsl() {
    each_entry(|name, module, info, entry| {
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

fn shaders_translate_to_glsl() {
    each_entry(|name, module, info, entry| {
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
