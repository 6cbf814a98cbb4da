// Runs of four pixels beside each other, the last of a map cut off where it has fewer.
const RUN: u32 = 4u;
// Whether each run is a vector of the maps, which are bound as vectors of four elements.
override ALIGNED: bool = false;

fn runs_of(plane: u32) -> u32 {
    return (plane + RUN - 1u) / RUN;
}

// The places of a run's elements, of which there are `count`, the last repeated.
fn places_of(at: u32, count: u32) -> vec4<u32> {
    return vec4<u32>(at) + min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(count - 1u));
}
