// Adds numbers to sums, and what the additions round off to sums of its own: s ← s + x; e ← e + (s + x − fl(s + x)).
// An invocation takes an element. Up to seven inputs, one after the other, `end_…` where each ends;
// sums [2, elements]: s, then e.
struct Params {
    end_a: u32,
    end_b: u32,
    end_c: u32,
    end_d: u32,
    end_e: u32,
    end_f: u32,
    elements: u32,
    // 0, which no compiler knows.
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> d: array<f32>;
@group(0) @binding(5) var<storage, read> e: array<f32>;
@group(0) @binding(6) var<storage, read> f: array<f32>;
@group(0) @binding(7) var<storage, read> g: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;

fn value_of(i: u32) -> f32 {
    if i < params.end_a {
        return a[i];
    }
    if i < params.end_b {
        return b[i - params.end_a];
    }
    if i < params.end_c {
        return c[i - params.end_b];
    }
    if i < params.end_d {
        return d[i - params.end_c];
    }
    if i < params.end_e {
        return e[i - params.end_d];
    }
    if i < params.end_f {
        return f[i - params.end_e];
    }
    return g[i - params.end_f];
}

// The same number, as one that has been rounded: some compilers reassociate sums, and would find that nothing is
// rounded off.
fn rounded(value: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(value) ^ params.zero);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, counts, lane);
    if i >= params.elements {
        return;
    }
    let x = value_of(i);
    let before = sums[i];
    let sum = rounded(before + x);
    let added = rounded(sum - before);
    let kept = rounded(sum - added);
    let rest = rounded(before - kept) + rounded(x - added);
    sums[i] = sum;
    sums[params.elements + i] += rounded(rest);
}
