//! What a browser says of its GPU, beyond what wgpu hands on.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

fn get(from: &JsValue, key: &str) -> Option<JsValue> {
    Reflect::get(from, &key.into()).ok().filter(|value| !value.is_null() && !value.is_undefined())
}

/// The words by which it describes its adapter, none twice; empty where it keeps them to itself, `None` where it grants
/// no adapter. To be asked before wgpu, which panics where there is neither a window nor a worker.
pub(crate) async fn adapter_name() -> Option<String> {
    let global: Object = js_sys::global();
    get(&global, "Window").or_else(|| get(&global, "WorkerGlobalScope"))?;
    let gpu = get(&get(&global, "navigator")?, "gpu")?;
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into().ok()?;
    let promise: Promise = request.call0(&gpu).ok()?.dyn_into().ok()?;
    let adapter = JsFuture::from(promise).await.ok().filter(|adapter| !adapter.is_null() && !adapter.is_undefined())?;
    let info = get(&adapter, "info").unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for key in ["vendor", "architecture", "device", "description"] {
        let word = get(&info, key).and_then(|word| word.as_string()).unwrap_or_default();
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    Some(words.join(" "))
}
