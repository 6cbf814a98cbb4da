//! The comparators themselves: each has a trial in which a wrong result fails.

use libtest_mimic::{Failed, Trial};
use moue::ops::{Conv2d, Op};

use crate::support::{
    compare::{Tolerance, UNIT_F32, check, tolerances},
    data::Array,
    device::slug,
    reference::reference,
};

type Claim = (&'static str, fn() -> Result<(), Failed>);

/// The comparator's own trials.
pub(crate) fn trials() -> Vec<Trial> {
    let claims: [Claim; 7] = [
        ("a_difference_beyond_the_tolerance_fails", beyond),
        ("nan_fails", nan),
        ("another_length_fails", length),
        ("an_infinity_fails_where_none_is_expected", infinity),
        ("exact_means_exact", exact),
        ("a_kernel_that_is_off_by_one_pixel_fails", off_by_one),
        ("adapters_have_short_names", names),
    ];
    claims.into_iter().map(|(name, claim)| Trial::test(format!("comparator::{name}"), claim)).collect()
}

fn expect(what: &str, actual: &[f64], tolerance: Tolerance, good: bool) -> Result<(), Failed> {
    let result = check(what, actual, &Array::new(&[2], vec![1.0, -2.0]), tolerance);
    if result.is_ok() == good { Ok(()) } else { Err(format!("{what}: {result:?}").into()) }
}

fn beyond() -> Result<(), Failed> {
    let tolerance = Tolerance::new(0.01, 0.01);
    expect("within", &[1.019, -2.029], tolerance, true)?;
    expect("beyond, above", &[1.021, -2.0], tolerance, false)?;
    expect("beyond, below", &[1.0, -2.031], tolerance, false)
}

fn nan() -> Result<(), Failed> {
    expect("NaN", &[1.0, f64::NAN], Tolerance::new(f64::MAX, 0.0), false)
}

fn length() -> Result<(), Failed> {
    let wide = Tolerance::new(10.0, 0.0);
    expect("too short", &[1.0], wide, false)?;
    expect("too long", &[1.0, -2.0, 0.0], wide, false)?;
    expect("empty", &[], wide, false)
}

fn infinity() -> Result<(), Failed> {
    expect("infinity", &[f64::INFINITY, -2.0], Tolerance::new(1.0, 1.0), false)
}

fn exact() -> Result<(), Failed> {
    expect("equal", &[1.0, -2.0], Tolerance::EXACT, true)?;
    expect("the next number", &[1.0 + f64::EPSILON, -2.0], Tolerance::EXACT, false)
}

/// The tolerance of a convolution of 1,179 terms tells it from one that starts a pixel later.
fn off_by_one() -> Result<(), Failed> {
    let op = Op::from(Conv2d { padding: 1, ..Conv2d::default() });
    let (x, weight) = (Array::random("x", &[1, 131, 6, 6]), Array::random("weight", &[3, 131, 3, 3]));
    let mut shifted = x.clone();
    shifted.data.rotate_right(1);
    let inputs = [x, weight.clone()];
    let expected = reference(&op, &inputs, &mut []);
    let tolerance = tolerances(&op, &inputs, &expected, UNIT_F32)[0];
    check("the same", &expected[0].data, &expected[0], tolerance)?;
    let wrong = reference(&op, &[shifted, weight], &mut []);
    match check("a pixel later", &wrong[0].data, &expected[0], tolerance) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{tolerance:?} lets a shifted image pass").into()),
    }
}

fn names() -> Result<(), Failed> {
    let cases = [
        ("Vulkan", "llvmpipe (LLVM 15.0.6, 256 bits)", "gpu_vulkan_llvmpipe"),
        ("Vulkan", "SwiftShader Device (LLVM 10.0.0)", "gpu_vulkan_swiftshader"),
        ("Metal", "Apple M2 Pro", "gpu_metal_apple_m2_pro"),
    ];
    for (backend, adapter, expected) in cases {
        let found = slug(backend, adapter);
        if found != expected {
            return Err(format!("{found}, expected {expected}").into());
        }
    }
    Ok(())
}
