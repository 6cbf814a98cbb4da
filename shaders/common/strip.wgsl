// Strips of four pixels below each other, the last of a map's rows filled up; all strips of a group are counted
// through the images, along the rows. Remainders come from the quotients, since dividing is slow.
const STRIP: u32 = 4u;

// Which of all maps [images, groups] a strip is in, and its first pixel.
struct Strip {
    cell: u32,
    row: u32,
    column: u32,
}

fn strips_of(height: u32, width: u32) -> u32 {
    return (height + STRIP - 1u) / STRIP * width;
}

fn strip_of(strip: u32, group: u32, groups: u32, height: u32, width: u32) -> Strip {
    let strips = strips_of(height, width);
    let image = strip / strips;
    let place = strip - image * strips;
    let row = place / width;
    return Strip(image * groups + group, row * STRIP, place - row * width);
}

// Which of all maps [images, groups] a pixel of a group is in, and its place there.
struct Pixel {
    cell: u32,
    place: u32,
}

fn pixel_of(pixel: u32, group: u32, groups: u32, plane: u32) -> Pixel {
    let image = pixel / plane;
    return Pixel(image * groups + group, pixel - image * plane);
}
