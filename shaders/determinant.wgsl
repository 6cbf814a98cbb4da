// The diversity objective of a similarity matrix and its gradient matrix.
// A workgroup eliminates one minor with partial pivoting, so that the matrix may be singular, an invocation a row; one
// more workgroup eliminates the whole matrix. A number of s that is not finite becomes every result of an elimination,
// which could lose it behind a pivot of 0.
// s [learners, learners]; d [1], c [learners, learners].
struct Params { learners: u32, objective: u32, eps: f32 }

const DET: u32 = 0u;
const LOG_DET: u32 = 1u;
const SUM: u32 = 2u;
const SHIFTED_LOG_DET: u32 = 3u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<f32>;
@group(0) @binding(2) var<storage, read_write> d: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

var<workgroup> m: array<f32, 256>;

// The pivots of the last elimination, each with its sign in the determinant.
var<private> pivots: array<f32, 16>;

// The determinant of s, or of s + eps·I for SHIFTED_LOG_DET, without a row and a column; learners stands for none.
// Barriers: called by whole workgroups, whose row is uniform.
fn determinant_without(row: u32, column: u32, lane: u32) -> f32 {
    let rows = params.learners - select(0u, 1u, row < params.learners);
    let own = lane * 16u;
    let shift = select(0.0, params.eps, params.objective == SHIFTED_LOG_DET);
    // What the previous call read is no longer needed.
    workgroupBarrier();
    if lane < rows {
        let i = lane + select(0u, 1u, lane >= row);
        for (var j = 0u; j < rows; j += 1u) {
            let k = j + select(0u, 1u, j >= column);
            m[own + j] = s[i * params.learners + k] + select(0.0, shift, i == k);
        }
    }
    var product = 1.0;
    // The rows that were no pivot yet, as bits, the same for all invocations: they stay where they are.
    var left = (1u << rows) - 1u;
    for (var k = 0u; k < rows; k += 1u) {
        // Column k is not written any more, and the pivot's row neither.
        workgroupBarrier();
        var pivot = countTrailingZeros(left);
        for (var i = pivot + 1u; i < rows; i += 1u) {
            if ((left >> i) & 1u) == 1u && abs(m[i * 16u + k]) > abs(m[pivot * 16u + k]) {
                pivot = i;
            }
        }
        let head = m[pivot * 16u + k];
        // Moving the pivot before the others that are left passes this many of them.
        let passed = countOneBits(left & ((1u << pivot) - 1u));
        pivots[k] = select(head, -head, (passed & 1u) == 1u);
        product *= pivots[k];
        left &= ~(1u << pivot);
        if ((left >> lane) & 1u) == 1u && head != 0.0 {
            let factor = m[own + k] / head;
            for (var j = k + 1u; j < rows; j += 1u) {
                m[own + j] -= factor * m[pivot * 16u + j];
            }
        }
    }
    return product;
}

// The last number of s that is not finite, and whether there is one. By its bits: comparisons may be compiled as if there
// were no NaN, and max and log may lose it.
struct Flaw { there: bool, value: f32 }

fn flaw_of(count: u32) -> Flaw {
    var flaw = Flaw(false, 0.0);
    for (var i = 0u; i < count; i += 1u) {
        if (bitcast<u32>(s[i]) & 0x7f800000u) == 0x7f800000u {
            flaw = Flaw(true, s[i]);
        }
    }
    return flaw;
}

// The logarithm of the determinant whose elimination is in `pivots`, divided by the learners, and whether that is real and
// at least log(eps). The product of the pivots themselves may be less than the smallest number.
struct MeanLog { value: f32, is_kept: bool }

fn mean_log() -> MeanLog {
    var sum = 0.0;
    var is_kept = true;
    var is_negative = false;
    for (var k = 0u; k < params.learners; k += 1u) {
        if pivots[k] == 0.0 {
            is_kept = false;
        } else {
            sum += log(abs(pivots[k]));
            is_negative = is_negative != (pivots[k] < 0.0);
        }
    }
    sum /= f32(params.learners);
    return MeanLog(sum, is_kept && !is_negative && !(sum < log(params.eps)));
}

// An element of the inverse of s + eps·I, transposed, where that matrix is regular. Pivot by pivot: neither the cofactor
// nor the determinant need be a number that f32 has.
// Barriers: called by whole workgroups, whose row is uniform.
fn inverse_at(row: u32, column: u32, lane: u32) -> f32 {
    let size = params.learners;
    determinant_without(size, size, lane);
    var whole = pivots;
    determinant_without(row, column, lane);
    var ratio = 1.0 / whole[size - 1u];
    for (var k = 0u; k + 1u < size; k += 1u) {
        ratio *= pivots[k] / whole[k];
    }
    return select(ratio, -ratio, ((row + column) & 1u) == 1u);
}

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let size = params.learners;
    let count = size * size;
    let row = group.x / size;
    let column = group.x % size;
    // Uniform, as all that follows: they come from a uniform buffer and the workgroup's number.
    if params.objective == SUM {
        if lane == 0u && group.x < count {
            c[group.x] = select(1.0, 0.0, row == column);
        }
        if lane == 0u && group.x == count {
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
    let flaw = flaw_of(count);
    if params.objective == SHIFTED_LOG_DET {
        let slope = inverse_at(min(row, size - 1u), column, lane) / f32(size);
        determinant_without(size, size, lane);
        let whole = mean_log();
        if lane == 0u && group.x == count {
            d[0] = select(select(log(params.eps), whole.value, whole.is_kept), flaw.value, flaw.there);
        }
        if lane == 0u && group.x < count {
            c[group.x] = select(select(0.0, slope, whole.is_kept), flaw.value, flaw.there);
        }
        return;
    }
    if group.x == count {
        let determinant = determinant_without(size, size, lane);
        if lane == 0u {
            // A NaN, as of products that leave the range, stays one.
            let kept = select(determinant, params.eps, determinant < params.eps);
            let takes_logarithm = params.objective == LOG_DET && !is_nan(determinant);
            let value = select(determinant, log(kept), takes_logarithm);
            d[0] = select(value, flaw.value, flaw.there);
        }
        return;
    }
    let minor = determinant_without(row, column, lane);
    var cofactor = select(minor, -minor, ((row + column) & 1u) == 1u);
    if params.objective == LOG_DET {
        let determinant = determinant_without(size, size, lane);
        cofactor = select(0.0, cofactor / determinant, determinant > params.eps);
    }
    if lane == 0u {
        c[group.x] = select(cofactor, flaw.value, flaw.there);
    }
}
