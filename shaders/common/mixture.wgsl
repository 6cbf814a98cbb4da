// The branches' answers and their mixture, of the weighted cross-entropy of the mixture; the shader that this is a part of
// has `params`, `logits` and `weights`. At most 16 branches; those without weight take no part.
// logits [images, branches, classes], weights [branches].
struct Params { images: u32, branches: u32, classes: u32 }

// log Σ exp(z) of each branch, of the image that `normalise` was called for.
var<private> norms: array<f32, 16>;

fn normalise(image: u32) {
    for (var b = 0u; b < params.branches; b += 1u) {
        let row = (image * params.branches + b) * params.classes;
        var largest = logits[row];
        for (var k = 1u; k < params.classes; k += 1u) {
            largest = max(largest, logits[row + k]);
        }
        var sum = 0.0;
        for (var k = 0u; k < params.classes; k += 1u) {
            sum += exp(logits[row + k] - largest);
        }
        norms[b] = largest + log(sum);
    }
}

// log softmax(z)_k of a branch.
fn answer(image: u32, b: u32, k: u32) -> f32 {
    return logits[(image * params.branches + b) * params.classes + k] - norms[b];
}

fn total_weight() -> f32 {
    var total = 0.0;
    for (var b = 0u; b < params.branches; b += 1u) {
        total += max(weights[b], 0.0);
    }
    return total;
}

// log of the mixture's probability of a class, where a branch has weight.
fn mixed(image: u32, k: u32, total: f32) -> f32 {
    var top = 0.0;
    var is_first = true;
    for (var b = 0u; b < params.branches; b += 1u) {
        if weights[b] > 0.0 {
            let own = answer(image, b, k);
            top = select(max(top, own), own, is_first);
            is_first = false;
        }
    }
    var sum = 0.0;
    for (var b = 0u; b < params.branches; b += 1u) {
        if weights[b] > 0.0 {
            sum += weights[b] / total * exp(answer(image, b, k) - top);
        }
    }
    return top + log(sum);
}
