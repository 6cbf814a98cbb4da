// The diversity objective of a similarity matrix and its gradient matrix.
// Each invocation eliminates one minor with partial pivoting, so that the matrix may be singular; one more
// invocation, or the last, eliminates the whole.
// s [learners, learners]; d [1], c [learners, learners].
struct Params { learners: u32, objective: u32, eps: f32 }

const DET: u32 = 0u;
const LOG_DET: u32 = 1u;
const SUM: u32 = 2u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<f32>;
@group(0) @binding(2) var<storage, read_write> d: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

var<workgroup> whole: f32;

// The determinant of s without a row and a column; learners stands for none.
fn determinant_without(row: u32, column: u32) -> f32 {
    let size = params.learners;
    var m: array<f32, 256>;
    var rows = 0u;
    for (var i = 0u; i < size; i += 1u) {
        if i == row {
            continue;
        }
        var columns = 0u;
        for (var j = 0u; j < size; j += 1u) {
            if j == column {
                continue;
            }
            m[rows * 16u + columns] = s[i * size + j];
            columns += 1u;
        }
        rows += 1u;
    }
    var product = 1.0;
    for (var k = 0u; k < rows; k += 1u) {
        var pivot = k;
        for (var i = k + 1u; i < rows; i += 1u) {
            if abs(m[i * 16u + k]) > abs(m[pivot * 16u + k]) {
                pivot = i;
            }
        }
        let head = m[pivot * 16u + k];
        product *= head;
        if head == 0.0 {
            return product;
        }
        if pivot != k {
            product = -product;
            for (var j = k; j < rows; j += 1u) {
                let kept = m[k * 16u + j];
                m[k * 16u + j] = m[pivot * 16u + j];
                m[pivot * 16u + j] = kept;
            }
        }
        for (var i = k + 1u; i < rows; i += 1u) {
            let factor = m[i * 16u + k] / head;
            for (var j = k + 1u; j < rows; j += 1u) {
                m[i * 16u + j] -= factor * m[k * 16u + j];
            }
        }
    }
    return product;
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    let size = params.learners;
    let count = size * size;
    let row = lane / size;
    let column = lane % size;
    // Uniform: it comes from a uniform buffer.
    if params.objective == SUM {
        if lane < count {
            c[lane] = select(1.0, 0.0, row == column);
        }
        if lane == 0u {
            var sum = 0.0;
            for (var i = 0u; i < count; i += 1u) {
                if i / size != i % size {
                    sum += s[i];
                }
            }
            d[0] = sum;
        }
        return;
    }
    var cofactor = 0.0;
    if lane < count {
        let minor = determinant_without(row, column);
        cofactor = select(minor, -minor, ((row + column) & 1u) == 1u);
    }
    if lane == min(count, 255u) {
        whole = determinant_without(size, size);
    }
    // Barrier: all invocations are here, for `objective` is uniform.
    workgroupBarrier();
    let determinant = whole;
    if params.objective == LOG_DET {
        cofactor = select(0.0, cofactor / determinant, determinant > params.eps);
    }
    if lane < count {
        c[lane] = cofactor;
    }
    if lane == 0u {
        d[0] = select(determinant, log(max(determinant, params.eps)), params.objective == LOG_DET);
    }
}
