// Runs of `lanes` of a workgroup's 256 invocations describe a plane each: a sum, the largest value and its first place;
// NaN and the first place of one where there is one.
var<workgroup> parts: array<Description, 256>;
var<workgroup> part_rows: array<Description, 256>;

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

// Adds an element; the places of an invocation's elements ascend.
fn with_element(so_far: Description, value: f32, place: u32) -> Description {
    let wins = beats(value, so_far.largest) || so_far.place == NO_PLACE;
    return Description(so_far.sum + value, select(so_far.largest, value, wins), select(so_far.place, place, wins));
}

// Adds four elements beside each other.
fn with_quad(so_far: Description, values: vec4<f32>, place: u32) -> Description {
    let two = with_element(with_element(so_far, values.x, place), values.y, place + 1u);
    return with_element(with_element(two, values.z, place + 2u), values.w, place + 3u);
}

// What two parts describe together.
fn both(one: Description, other: Description) -> Description {
    let is_first = other.place < one.place;
    let is_larger = select(beats(other.largest, one.largest), !beats(one.largest, other.largest), is_first);
    let wins = other.place != NO_PLACE && (one.place == NO_PLACE || is_larger);
    return Description(
        one.sum + other.sum, select(one.largest, other.largest, wins), select(one.place, other.place, wins),
    );
}

// Joins the parts of a run for its first invocation; as `sum_lanes`, at most 16 in a row, twice. `lanes` is a power of
// two. Barriers: called by whole workgroups. What is written here was last read before a barrier of the previous call.
fn describe_lanes(lane: u32, lanes: u32, part: Description) -> Description {
    let first = lane & ~(lanes - 1u);
    let step = min(lanes, 16u);
    parts[lane] = part;
    workgroupBarrier();
    if lane - first < step {
        var some = nothing();
        for (var i = lane; i < first + lanes; i += step) {
            some = both(some, parts[i]);
        }
        part_rows[lane] = some;
    }
    workgroupBarrier();
    var all = nothing();
    if lane == first {
        for (var i = first; i < first + step; i += 1u) {
            all = both(all, part_rows[i]);
        }
    }
    return all;
}
