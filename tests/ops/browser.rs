//! The cases on a page, whose calls must not wait for a device: see [`Again`].
//!
//! web/tests/ops.mjs builds nothing of its own: it lists the cases, runs one after another and prints what they said.

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
        compare::UNIT_F32,
    },
};

/// All cases, and a device for them.
#[wasm_bindgen]
pub struct Cases {
    device: Again,
    list: Vec<Case>,
}

#[wasm_bindgen]
impl Cases {
    /// Opens `webgpu` or `cpu`.
    ///
    /// # Errors
    /// A sentence where there is no such device.
    pub async fn open(backend: String) -> Result<Cases, JsValue> {
        let executor: Box<dyn Executor> = match backend.as_str() {
            "webgpu" => Box::new(GpuExecutor::open(&Selector::Auto, None).await.map_err(text)?),
            "cpu" => Box::new(CpuExecutor::<f32>::new(Some(1)).map_err(text)?),
            other => return Err(format!("backend: expected webgpu or cpu, found {other}").into()),
        };
        Ok(Self { device: Again::new(executor), list: cases::all() })
    }

    /// What runs here.
    pub fn device(&self) -> String {
        let info = self.device.device();
        format!("{} ({})", info.name, info.detail)
    }

    /// The cases' names.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|case| case.name.clone()).collect()
    }

    /// Runs a case; says why it failed.
    pub async fn run(&mut self, case: usize) -> Option<String> {
        let Some(case) = self.list.get(case) else { return Some("no such case".to_owned()) };
        self.device.until_answered(|executor| (case.run)(executor, UNIT_F32)).await.err()
    }

    /// Compares with a golden file; says why it failed.
    pub async fn golden(&mut self, bytes: &[u8]) -> Option<String> {
        let golden = match Golden::read(Path::new("golden"), bytes) {
            Ok(golden) => golden,
            Err(error) => return Some(text(error)),
        };
        match self.device.until_answered(|executor| verify(&golden, executor, Precision::F32)).await {
            Ok(verdict) if verdict.passed() && verdict.compared == verdict.total && verdict.total > 0 => None,
            Ok(verdict) => Some(format!("{} of {} keys: {:?}", verdict.compared, verdict.total, verdict.failures)),
            Err(error) => Some(text(error)),
        }
    }
}
