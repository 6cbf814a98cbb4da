//! The JavaScript interface of [`super::Engine`].
//!
//! Errors are thrown as JavaScript's `Error` with the property `code` ([`Fault::code`]).

use std::{cell::RefCell, rc::Rc};

use js_sys::{Array, Float32Array, JSON, Object, Promise, Reflect, Uint32Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use super::{Crop, Fault};
use crate::{
    Error,
    exec::{
        Executor,
        cpu::CpuExecutor,
        gpu::{GpuExecutor, Selector},
    },
    predict::{Kinship, Prediction},
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);

    /// Types of types.d.ts.
    #[wasm_bindgen(typescript_type = "Box | null")]
    pub type JsBox;
}

/// Says where a fault of moue itself happened: a browser shows no more than `unreachable`.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}

/// Finds faces, and answers them with a model, on one device.
#[wasm_bindgen]
pub struct Engine(Rc<RefCell<Option<super::Engine>>>);

type Thrown<T> = Result<T, JsValue>;

#[wasm_bindgen]
impl Engine {
    /// Opens a device.
    ///
    /// # Errors
    /// `no-adapter` where the browser grants no GPU, `software-adapter` where it computes on the processor and that is
    /// not allowed, `device-failed`.
    pub async fn create(
        #[wasm_bindgen(unchecked_param_type = "'webgpu' | 'cpu'")] backend: String,
        allow_software: bool,
    ) -> Thrown<Engine> {
        let executor = open(&backend, allow_software).await.map_err(thrown)?;
        Ok(Self(Rc::new(RefCell::new(Some(super::Engine::new(executor))))))
    }

    /// What runs here.
    ///
    /// # Errors
    /// `busy` while an image is answered; so for all methods below.
    #[wasm_bindgen(unchecked_return_type = "Device")]
    pub fn device(&self) -> Thrown<Object> {
        self.with(|engine| {
            let device = engine.device();
            Ok(object([
                ("kind", device.kind.into()),
                ("name", device.name.as_str().into()),
                ("detail", device.detail.as_str().into()),
                ("software", device.software.into()),
            ]))
        })
    }

    /// Forgets the model; another one follows from its first byte.
    ///
    /// # Errors
    /// See [`Engine::device`].
    pub fn begin_model(&self) -> Thrown<()> {
        self.with(|engine| {
            engine.begin_model();
            Ok(())
        })
    }

    /// Takes the next bytes of the model; says what can be used.
    ///
    /// # Errors
    /// `model-foreign`, `model-mismatch`.
    #[wasm_bindgen(unchecked_return_type = "Progress")]
    pub fn push_model(&self, bytes: &[u8]) -> Thrown<Object> {
        self.with(|engine| {
            let progress = engine.push_model(bytes)?;
            let or_null = |number: Option<f64>| number.map_or(JsValue::NULL, Into::into);
            Ok(object([
                ("branches", (progress.branches as f64).into()),
                ("total_branches", or_null(progress.total_branches.map(|count| count as f64))),
                ("total_bytes", or_null(progress.total_bytes.map(|count| count as f64))),
            ]))
        })
    }

    /// Says that the model has no more bytes.
    ///
    /// # Errors
    /// `model-truncated`, `model-foreign`.
    pub fn end_model(&self) -> Thrown<()> {
        self.with(super::Engine::end_model)
    }

    /// What is known of the model.
    ///
    /// # Errors
    /// `no-model`.
    #[wasm_bindgen(unchecked_return_type = "ModelInfo")]
    pub fn info(&self) -> Thrown<JsValue> {
        JSON::parse(&self.with(|engine| engine.info())?.to_string())
    }

    /// Answers an image, or a part of it.
    ///
    /// Rejects with `bad-image`, `too-large`, `no-model`, `device-lost`, `device-failed`, `busy`.
    #[wasm_bindgen(unchecked_return_type = "Promise<Prediction>")]
    pub fn predict(
        &self,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        #[wasm_bindgen(js_name = "box")] part: JsBox,
        branches: usize,
        attention: bool,
    ) -> Promise {
        let cell = Rc::clone(&self.0);
        future_to_promise(async move {
            let crop = crop(&part)?;
            let mut engine = cell.borrow_mut().take().ok_or_else(busy)?;
            let outcome = engine.predict(&rgba, [width, height], crop, branches, attention).await;
            *cell.borrow_mut() = Some(engine);
            Ok(prediction(&outcome.map_err(thrown)?).into())
        })
    }

    /// Takes the face detector's model.
    ///
    /// # Errors
    /// `detector-foreign`.
    pub fn load_detector(&self, bytes: &[u8]) -> Thrown<()> {
        self.with(|engine| engine.load_detector(bytes))
    }

    /// The faces of an image, the surest first.
    ///
    /// # Errors
    /// `no-detector`, `bad-image`, `too-large`.
    #[wasm_bindgen(unchecked_return_type = "Face[]")]
    pub fn detect(&self, rgba: &[u8], width: usize, height: usize) -> Thrown<Array> {
        let faces = self.with(|engine| engine.detect(rgba, [width, height]))?;
        let face = |face: &super::Face| {
            object([
                ("x", face.x.into()),
                ("y", face.y.into()),
                ("width", face.width.into()),
                ("height", face.height.into()),
                ("score", face.score.into()),
            ])
        };
        Ok(faces.iter().map(face).collect())
    }

    fn with<R>(&self, work: impl FnOnce(&mut super::Engine) -> Result<R, Fault>) -> Thrown<R> {
        let mut cell = self.0.borrow_mut();
        work(cell.as_mut().ok_or_else(busy)?).map_err(thrown)
    }
}

async fn open(backend: &str, allow_software: bool) -> Result<Box<dyn Executor>, Fault> {
    match backend {
        "cpu" => Ok(Box::new(CpuExecutor::<f32>::new(None)?)),
        "webgpu" => {
            let gpu = GpuExecutor::open(&Selector::Auto, None).await.map_err(|error| match error {
                Error::Device { problem, .. } => Fault::new("no-adapter", format!("{problem}; use the processor")),
                error => error.into(),
            })?;
            if gpu.device().software && !allow_software {
                let name = &gpu.device().name;
                let message = format!("the only GPU, {name}, computes on the processor, which is faster used directly");
                return Err(Fault::new("software-adapter", message));
            }
            Ok(Box::new(gpu))
        }
        other => Err(Fault::new("failed", format!("backend: expected `webgpu` or `cpu`, found `{other}`"))),
    }
}

fn busy() -> JsValue {
    thrown(Fault::new("busy", "an image is being answered; wait for its answer"))
}

fn thrown(fault: Fault) -> JsValue {
    let error = js_sys::Error::new(&fault.message);
    set(&error, "code", &fault.code.into());
    error.into()
}

fn set(object: &JsValue, key: &str, value: &JsValue) {
    // Fails for frozen objects alone.
    let _ = Reflect::set(object, &key.into(), value);
}

fn object<const N: usize>(entries: [(&str, JsValue); N]) -> Object {
    let object = Object::new();
    for (key, value) in entries {
        set(&object, key, &value);
    }
    object
}

fn crop(part: &JsValue) -> Thrown<Option<Crop>> {
    if part.is_null() || part.is_undefined() {
        return Ok(None);
    }
    let number = |key: &str| {
        let value = Reflect::get(part, &key.into()).ok().and_then(|value| value.as_f64());
        value.ok_or_else(|| thrown(Fault::new("bad-image", format!("box: expected a number `{key}`, found none"))))
    };
    Ok(Some(Crop { x: number("x")?, y: number("y")?, width: number("width")?, height: number("height")? }))
}

fn floats(values: &[f32]) -> JsValue {
    Float32Array::from(values).into()
}

fn prediction(p: &Prediction) -> Object {
    let branches: Array = p
        .branches
        .iter()
        .map(|branch| {
            let attention = branch.attention.as_ref().map_or(JsValue::NULL, |map| {
                let values = floats(&map.values);
                object([("width", map.width.into()), ("height", map.height.into()), ("values", values)]).into()
            });
            object([
                ("probabilities", floats(&branch.probabilities)),
                ("class", branch.class.into()),
                ("attention", attention),
            ])
        })
        .collect();
    let kinship = |kinship: &Option<Kinship>| {
        kinship.as_ref().map_or(JsValue::NULL, |kinship| {
            let similarity = floats(&kinship.similarity);
            object([("similarity", similarity), ("determinant", kinship.determinant.into())]).into()
        })
    };
    let [spatial, channel] = &p.kinships;
    let times = p.times;
    object([
        ("probabilities", floats(&p.probabilities)),
        ("mean", floats(&p.mean)),
        ("votes", Uint32Array::from(&*p.votes).into()),
        ("class", p.class.into()),
        ("vote", p.vote.into()),
        ("branches", branches.into()),
        ("spatial", kinship(spatial)),
        ("channel", kinship(channel)),
        ("gamma", object([("spatial", p.gammas[0].into()), ("channel", p.gammas[1].into())]).into()),
        (
            "milliseconds",
            object([("prepare", times.prepare.into()), ("run", times.run.into()), ("read", times.read.into())]).into(),
        ),
    ])
}
