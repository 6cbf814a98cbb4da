// A walk over one channel's elements in all images: element e is pixel e % plane of image e / plane.
struct Walk {
    image: u32,
    pixel: u32,
}

fn walk_from(e: u32, plane: u32) -> Walk {
    return Walk(e / plane, e % plane);
}

// 256 elements further on; `images` and `pixels` are 256 / plane and 256 % plane.
fn walk_on(walk: Walk, images: u32, pixels: u32, plane: u32) -> Walk {
    var next = Walk(walk.image + images, walk.pixel + pixels);
    if next.pixel >= plane {
        next.pixel -= plane;
        next.image += 1u;
    }
    return next;
}
