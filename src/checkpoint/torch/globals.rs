//! The globals that a checkpoint may name. None of them is looked up or run: each is a rule of the pickle machine.

use safetensors::Dtype;

/// What a global means to the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    /// A dictionary, empty or of pairs.
    OrderedDict,
    /// A tuple of sizes.
    Size,
    /// A tensor: storage, offset, sizes, strides.
    Tensor,
    /// A tensor that is trained.
    Parameter,
    /// A type of storages.
    Storage(Dtype),
    /// Something that other tools keep beside the tensors, such as a best accuracy.
    Ignored,
}

impl Global {
    /// The rule of a global, if it is allowed.
    pub(super) fn allowed(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch", storage) if storage.ends_with("Storage") => Self::Storage(match storage {
                "DoubleStorage" => Dtype::F64,
                "FloatStorage" => Dtype::F32,
                "HalfStorage" => Dtype::F16,
                "BFloat16Storage" => Dtype::BF16,
                "LongStorage" => Dtype::I64,
                "IntStorage" => Dtype::I32,
                "ShortStorage" => Dtype::I16,
                "CharStorage" => Dtype::I8,
                "ByteStorage" => Dtype::U8,
                "BoolStorage" => Dtype::BOOL,
                _ => return None,
            }),
            ("torch", "device" | "float16" | "bfloat16" | "float32" | "float64" | "int64")
            | ("numpy", "dtype")
            | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
            | ("_codecs", "encode") => Self::Ignored,
            _ => return None,
        })
    }
}
