//! Images in memory.

/// An image of 8 bits per channel.
///
/// `pixels` is row-major and interleaved, [height, width, channels]; channels is 1 (grey) or 3 (red, green, blue).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    /// height · width · channels bytes.
    pub pixels: Vec<u8>,
}

impl Image {
    /// What is wrong with the sizes, as (expected, found).
    pub(crate) fn check(&self) -> std::result::Result<(), (String, String)> {
        let Self { width, height, channels, pixels } = self;
        if *width == 0 || *height == 0 || !matches!(channels, 1 | 3) {
            return Err((
                "at least one pixel with 1 or 3 channels".into(),
                format!("{width}×{height} pixels with {channels} channels"),
            ));
        }
        let expected = width * height * channels;
        if pixels.len() != expected {
            return Err((format!("{width}×{height}×{channels} = {expected} bytes"), format!("{} bytes", pixels.len())));
        }
        Ok(())
    }
}
