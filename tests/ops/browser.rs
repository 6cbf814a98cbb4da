//! The cases on a page, whose calls must not wait for a GPU: see [`Again`]. web/tests/ops.mjs goes through them.

use std::path::Path;

use moue::{
    exec::{
        Executor, Precision,
        cpu::CpuExecutor,
        gpu::{GpuExecutor, Selector},
    },
    verify::{Golden, verify},
};
use wasm_bindgen::prelude::*;

use crate::{
    cases,
    support::{
        again::Again,
        case::{Case, text},
        compare::{UNIT_F32, UNIT_F32_UNFUSED},
    },
};

/// All cases, and a device for them.
#[wasm_bindgen]
pub struct Cases {
    device: Device,
    list: Vec<Case>,
}

enum Device {
    Gpu(Again),
    Cpu(CpuExecutor<f32>),
}

#[wasm_bindgen]
impl Cases {
    /// Opens `webgpu` or `cpu`.
    ///
    /// # Errors
    /// A sentence where there is no such device.
    pub async fn open(backend: String) -> Result<Cases, JsValue> {
        let device = match backend.as_str() {
            "webgpu" => {
                let gpu = GpuExecutor::open(&Selector::Auto, None).await.map_err(text)?;
                Device::Gpu(Again::new(Box::new(gpu)))
            }
            "cpu" => Device::Cpu(CpuExecutor::new(Some(1)).map_err(text)?),
            other => return Err(format!("backend: expected webgpu or cpu, found {other}").into()),
        };
        Ok(Self { device, list: cases::all() })
    }

    /// What runs here.
    pub fn device(&self) -> String {
        let info = match &self.device {
            Device::Gpu(gpu) => gpu.device(),
            Device::Cpu(cpu) => cpu.device(),
        };
        format!("{} ({})", info.name, info.detail)
    }

    /// The cases' names.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|case| case.name.clone()).collect()
    }

    /// Runs a case; says why it failed.
    pub async fn run(&mut self, case: usize) -> Option<String> {
        let Some(case) = self.list.get(case) else { return Some("no such case".to_owned()) };
        match &mut self.device {
            Device::Gpu(gpu) => gpu.until_answered(|executor| (case.run)(executor, UNIT_F32)).await.err(),
            Device::Cpu(cpu) => (case.run)(cpu, UNIT_F32_UNFUSED).err(),
        }
    }

    /// Compares with a golden file; says why it failed.
    pub async fn golden(&mut self, bytes: &[u8]) -> Option<String> {
        let golden = match Golden::read(Path::new("golden"), bytes) {
            Ok(golden) => golden,
            Err(error) => return Some(text(error)),
        };
        let verdict = match &mut self.device {
            Device::Gpu(gpu) => gpu.until_answered(|executor| verify(&golden, executor, Precision::F32)).await,
            Device::Cpu(cpu) => verify(&golden, cpu, Precision::F32),
        };
        match verdict {
            Ok(verdict) if verdict.passed() && verdict.compared == verdict.total && verdict.total > 0 => None,
            Ok(verdict) => Some(format!("{} of {} keys: {:?}", verdict.compared, verdict.total, verdict.failures)),
            Err(error) => Some(text(error)),
        }
    }
}
