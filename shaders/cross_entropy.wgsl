// Softmax cross-entropy of every branch, and hits. One workgroup; an invocation takes every 256th image.
// loss = Σ_b weight_b·mean_n −Σ_k t·log softmax(z); vote: the class that most branches of weight > 0 choose.
// logits [images, branches, classes], targets [images, rows, classes], rows 1 or branches, weights [branches];
// loss [1], own [branches], hits [branches + 1].
struct Params { images: u32, branches: u32, classes: u32, rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> own: array<f32>;
@group(0) @binding(6) var<storage, read_write> hits: array<f32>;

fn row_of(image: u32, branch: u32) -> u32 {
    return (image * params.branches + branch) * params.classes;
}

// The first largest class.
fn choice(row: u32) -> u32 {
    var best = 0u;
    for (var k = 1u; k < params.classes; k += 1u) {
        if logits[row + k] > logits[row + best] {
            best = k;
        }
    }
    return best;
}

fn targets_of(image: u32, branch: u32) -> u32 {
    return (image * params.rows + branch % params.rows) * params.classes;
}

// The first largest class of a branch's target.
fn target_of(image: u32, branch: u32) -> u32 {
    let row = targets_of(image, branch);
    var best = 0u;
    for (var k = 1u; k < params.classes; k += 1u) {
        if targets[row + k] > targets[row + best] {
            best = k;
        }
    }
    return best;
}

// The same of the sum of an image's targets.
fn target_of_all(image: u32) -> u32 {
    var best = 0u;
    var most = 0.0;
    for (var k = 0u; k < params.classes; k += 1u) {
        var sum = 0.0;
        for (var row = 0u; row < params.rows; row += 1u) {
            sum += targets[targets_of(image, row) + k];
        }
        if k == 0u || sum > most {
            best = k;
            most = sum;
        }
    }
    return best;
}

fn entropy(image: u32, branch: u32) -> f32 {
    let row = row_of(image, branch);
    var largest = logits[row];
    for (var k = 1u; k < params.classes; k += 1u) {
        largest = max(largest, logits[row + k]);
    }
    var sum = 0.0;
    for (var k = 0u; k < params.classes; k += 1u) {
        sum += exp(logits[row + k] - largest);
    }
    let log_sum = log(sum);
    var result = 0.0;
    for (var k = 0u; k < params.classes; k += 1u) {
        let share = targets[targets_of(image, branch) + k];
        // A class without a share adds nothing, also where its logit is −∞.
        if share != 0.0 {
            result += share * (log_sum - (logits[row + k] - largest));
        }
    }
    return result;
}

// The class with most votes, the lowest of several.
fn vote(image: u32) -> u32 {
    var best = 0u;
    var most = 0u;
    for (var b = 0u; b < params.branches; b += 1u) {
        if weights[b] <= 0.0 {
            continue;
        }
        let candidate = choice(row_of(image, b));
        var votes = 0u;
        for (var other = 0u; other < params.branches; other += 1u) {
            if weights[other] > 0.0 && choice(row_of(image, other)) == candidate {
                votes += 1u;
            }
        }
        if votes > most || (votes == most && candidate < best) {
            most = votes;
            best = candidate;
        }
    }
    return best;
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    var total = 0.0;
    // Barriers: `branches` is uniform, and all invocations make every turn.
    for (var b = 0u; b < params.branches; b += 1u) {
        var sum = 0.0;
        var right = 0.0;
        for (var n = lane; n < params.images; n += 256u) {
            sum += entropy(n, b);
            right += select(0.0, 1.0, choice(row_of(n, b)) == target_of(n, b));
        }
        let average = sum_lanes(lane, 256u, sum) / f32(params.images);
        right = sum_lanes(lane, 256u, right);
        total += weights[b] * average;
        if lane == 0u {
            own[b] = average;
            hits[b] = right;
        }
    }
    var right = 0.0;
    for (var n = lane; n < params.images; n += 256u) {
        right += select(0.0, 1.0, vote(n) == target_of_all(n));
    }
    right = sum_lanes(lane, 256u, right);
    if lane == 0u {
        loss[0] = total;
        hits[params.branches] = right;
    }
}
