//! Images out of a pool.

use moue::ops::Augment;

use super::super::data::Array;

/// A byte of an image that starts at element `start` of one of the pool's tensors.
fn byte(range: &Array, start: usize, index: usize) -> f64 {
    let element = range.data[start + index / 3] as u64;
    ((element >> (8 * (index % 3))) % 256) as f64
}

/// p, channel c of pixel (x, y), after the changes of colour of a record.
fn coloured(row: &[f64], pool: &[Array], x: usize, y: usize) -> [f64; 3] {
    let (width, channels, block) = (row[2] as usize, row[4] as usize, row[5] as usize);
    let mut pixel = [0.0; 3];
    for (c, value) in pixel.iter_mut().enumerate() {
        for dy in 0..block {
            for dx in 0..block {
                let at = (y * block + dy) * width + x * block + dx;
                let channel = if channels == 1 { 0 } else { c };
                *value += byte(&pool[row[0] as usize], 64 * row[1] as usize, at * channels + channel);
            }
        }
        *value /= 255.0 * (block * block) as f64;
    }
    for part in 0..3 {
        let [a, b, c] = [row[12 + 3 * part], row[13 + 3 * part], row[14 + 3 * part]];
        let grey = 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        pixel = pixel.map(|p| (a * p + (b * grey + c)).clamp(0.0, 1.0));
    }
    pixel
}

fn tent(u: f64, size: f64) -> f64 {
    (u + 0.5).min(size + 0.5 - u).clamp(0.0, 1.0)
}

/// Red, green, blue of column x and row y of a record's image.
fn pixel(op: &Augment, row: &[f64], pool: &[Array], x: usize, y: usize) -> [f64; 3] {
    let erased = y as f64 >= row[21] && (y as f64) < row[23] && x as f64 >= row[22] && (x as f64) < row[24];
    if row[2] == 0.0 || erased {
        return [0.0; 3];
    }
    let size = op.size as f64;
    let (width, height) = ((row[2] / row[5]).floor(), (row[3] / row[5]).floor());
    let (centre_x, centre_y) = (x as f64 + 0.5, y as f64 + 0.5);
    let u = row[6] * centre_x + row[7] * centre_y + row[8];
    let v = row[9] * centre_x + row[10] * centre_y + row[11];
    let at_x = (u * width / size - 0.5).clamp(0.0, width - 1.0);
    let at_y = (v * height / size - 0.5).clamp(0.0, height - 1.0);
    let mut sum = [0.0; 3];
    for line in 0..height as usize {
        for column in 0..width as usize {
            let weight = (1.0 - (at_x - column as f64).abs()).max(0.0) * (1.0 - (at_y - line as f64).abs()).max(0.0);
            if weight > 0.0 {
                let p = coloured(row, pool, column, line);
                (0..3).for_each(|c| sum[c] += weight * p[c]);
            }
        }
    }
    let cover = tent(u, size) * tent(v, size);
    std::array::from_fn(|c| (cover * sum[c] - f64::from(op.mean[c])) / f64::from(op.std[c]))
}

pub(super) fn forward(op: &Augment, inputs: &[Array]) -> Vec<Array> {
    let (records, pool) = (&inputs[0], &inputs[1..]);
    let row = |i: usize| &records.data[27 * i..27 * (i + 1)];
    let mut y = Array::zeros(&[records.dims[0], 3, op.size, op.size]);
    for n in 0..records.dims[0] {
        let (partner, share) = (row(n)[25] as usize, row(n)[26]);
        for h in 0..op.size {
            for w in 0..op.size {
                let (own, other) = (pixel(op, row(n), pool, w, h), pixel(op, row(partner), pool, w, h));
                for c in 0..3 {
                    let place = y.offset(n, if op.bgr { 2 - c } else { c }, h, w);
                    y.data[place] = share * own[c] + (1.0 - share) * other[c];
                }
            }
        }
    }
    vec![y]
}
