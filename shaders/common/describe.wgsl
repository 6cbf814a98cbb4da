// Runs of `lanes` of a workgroup's 256 invocations describe a plane each: a sum, the largest value and its first place.
var<workgroup> sums: array<f32, 256>;
var<workgroup> maxima: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

// No place: that of an invocation without elements.
const NO_PLACE: u32 = 0xffffffffu;

struct Description {
    sum: f32,
    largest: f32,
    place: u32,
}

fn nothing() -> Description {
    return Description(0.0, 0.0, NO_PLACE);
}

fn first_element(value: f32, place: u32) -> Description {
    return Description(value, value, place);
}

// Adds an element; the places of an invocation's elements ascend.
fn with_element(so_far: Description, value: f32, place: u32) -> Description {
    let wins = value > so_far.largest;
    return Description(so_far.sum + value, select(so_far.largest, value, wins), select(so_far.place, place, wins));
}

// The parts from `first` on, each `step`th of them up to `end`, in order.
fn joined(first: u32, end: u32, step: u32) -> Description {
    var all = nothing();
    for (var i = first; i < end; i += step) {
        all.sum += sums[i];
        let place = places[i];
        let value = maxima[i];
        if place != NO_PLACE && (all.place == NO_PLACE || value > all.largest || (value == all.largest && place < all.place)) {
            all.largest = value;
            all.place = place;
        }
    }
    return all;
}

// Joins the parts of a run; as `sum_lanes`, at most 16 in a row, twice. `lanes` is a power of two.
// Barriers: called by whole workgroups.
fn describe_lanes(lane: u32, lanes: u32, part: Description) -> Description {
    let first = lane & ~(lanes - 1u);
    let step = min(lanes, 16u);
    workgroupBarrier();
    sums[lane] = part.sum;
    maxima[lane] = part.largest;
    places[lane] = part.place;
    workgroupBarrier();
    let leads = lane - first < step;
    var some = nothing();
    if leads {
        some = joined(lane, first + lanes, step);
    }
    workgroupBarrier();
    if leads {
        sums[lane] = some.sum;
        maxima[lane] = some.largest;
        places[lane] = some.place;
    }
    workgroupBarrier();
    return joined(first, first + step, 1u);
}
