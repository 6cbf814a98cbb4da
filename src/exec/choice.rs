//! What a user can ask for: a device and a precision.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const DEVICES: &str = "`auto`, `cpu`, `gpu`, `gpu:NUMBER` or `gpu:NAME`";

/// The device to run on: `auto`, `cpu`, `gpu`, `gpu:N` or `gpu:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// A real GPU, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first GPU, a real one before a software adapter.
    Gpu,
    /// The adapter of this number in `moue doctor`'s list.
    GpuIndex(usize),
    /// The adapter whose name contains this.
    GpuNamed(String),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("gpu:")) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("gpu", _) => Ok(Self::Gpu),
            (_, Some(rest)) if !rest.is_empty() => {
                Ok(rest.parse().map_or_else(|_| Self::GpuNamed(rest.to_owned()), Self::GpuIndex))
            }
            _ => Err(Error::Usage {
                setting: "device".into(),
                expected: DEVICES.into(),
                found: format!("`{text}`"),
                hint: "`moue doctor` lists the devices".into(),
            }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Gpu => write!(f, "gpu"),
            Self::GpuIndex(index) => write!(f, "gpu:{index}"),
            Self::GpuNamed(name) => write!(f, "gpu:{name}"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse().map_err(|_| format!("expected {DEVICES}, found `{text}`"))
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// What an executor computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32
    #[default]
    F32,
    /// float64 (processor only)
    F64,
    /// Convolutions of operands rounded to float16, summed in float32 (GPUs with f16 in shaders only)
    Mixed,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Mixed => "mixed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_parsed_printed_and_refused_with_the_choices() {
        for text in ["auto", "cpu", "gpu", "gpu:1", "gpu:llvmpipe"] {
            assert_eq!(text.parse::<DeviceChoice>().expect("a device").to_string(), text);
        }
        for wrong in ["", "cuda", "gpu:", "GPU 1"] {
            let error = wrong.parse::<DeviceChoice>().expect_err("no device");
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("gpu:NUMBER"), "{error}");
        }
    }
}
