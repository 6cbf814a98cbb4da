//! Enums whose values have one name each: on the command line, in files and in reports.

/// Declares an enum of words. `Variant = "word" | "old"` is written as `word`; `old` is read as well.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $old:literal)*),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
        pub enum $name {
            $(
                $(#[$variant_doc])*
                #[serde(rename = $word $(, alias = $old)*)]
                #[cfg_attr(feature = "cli", value(name = $word $(, alias = $old)*))]
                $variant
            ),+
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word),+
                })
            }
        }
    };
}

pub(crate) use words;
