// A walk over one channel's elements in all images: element e is pixel e % plane of image e / plane.
struct Walk {
    image: u32,
    pixel: u32,
}

fn walk_from(e: u32, plane: u32) -> Walk {
    return Walk(e / plane, e % plane);
}

// The same number of elements further on: `images` whole planes and `pixels` of the next.
fn walk_on(walk: Walk, images: u32, pixels: u32, plane: u32) -> Walk {
    var next = Walk(walk.image + images, walk.pixel + pixels);
    if next.pixel >= plane {
        next.pixel -= plane;
        next.image += 1u;
    }
    return next;
}
