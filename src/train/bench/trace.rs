//! A profile for the trace viewers of browsers.

use serde_json::{Value, json};

use crate::exec::Profile;

/// A profile's typical run in the Trace Event Format, which Perfetto and `chrome://tracing` open: one track for the
/// device, a complete event for each op, times in microseconds.
#[must_use]
pub fn trace(profile: &Profile, device: &str, what: &str) -> Value {
    let named = |name: &str, value: &str| json!({"ph": "M", "name": name, "pid": 1, "tid": 1, "args": {"name": value}});
    let mut events = vec![named("process_name", &format!("moue {what}")), named("thread_name", device)];
    for ((cost, span), median) in profile.ops.iter().zip(profile.typical_run()).zip(profile.medians()) {
        events.push(json!({
            "ph": "X", "name": cost.op, "cat": cost.kind, "pid": 1, "tid": 1,
            "ts": span.start * 1e6, "dur": (span.end - span.start) * 1e6,
            "args": {
                "flops": cost.flops, "bytes": cost.bytes, "commands": cost.dispatches, "median_us": median * 1e6,
            },
        }));
    }
    json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"device": device, "clock": profile.clock.describe(), "runs": profile.runs.len()},
    })
}
