//! Elements of tensors in files: which types become f32, and how.

use half::{bf16, f16};
use safetensors::Dtype;

/// The values of little-endian floating-point elements in f32; `None` for types that are no floating point of 16, 32 or
/// 64 bits.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
        let (elements, _) = bytes.as_chunks::<SIZE>();
        elements.iter().map(|element| value(*element)).collect()
    }
    match dtype {
        Dtype::F32 => Some(each(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(each(bytes, |element| f16::from_le_bytes(element).to_f32())),
        Dtype::BF16 => Some(each(bytes, |element| bf16::from_le_bytes(element).to_f32())),
        Dtype::F64 => Some(each(bytes, |element| f64::from_le_bytes(element) as f32)),
        _ => None,
    }
}
