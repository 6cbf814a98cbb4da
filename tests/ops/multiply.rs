//! Products.

use moue::ops::Multiply;

use crate::support::{case::Cases, data::Array};

pub(super) fn cases(cases: &mut Cases) {
    let sizes: [(&str, &[usize]); 4] = [
        ("one_element", &[1]),
        ("a_prime_number", &[67]),
        ("one_more_than_a_workgroup", &[257]),
        ("a_map", &[2, 9, 13, 11]),
    ];
    for (size, dims) in sizes {
        let a = Array::random(&format!("{size} a"), dims);
        let b = Array::random(&format!("{size} b"), dims);
        cases.op(&format!("of_{size}"), Multiply, vec![a.clone(), b]);
        cases.op(&format!("of_{size}_by_a_number"), Multiply, vec![a.clone(), Array::filled(&[1], -1.5)]);
        cases.op(&format!("of_{size}_by_zero"), Multiply, vec![a, Array::zeros(&[1])]);
    }
}
