//! TensorBoard's event files, as far as scalars need them.
//!
//! The file is a sequence of TFRecords: length (u64, little endian), masked CRC-32C of those eight bytes, the record,
//! masked CRC-32C of the record. Each record is a protocol buffer `Event` (tensorflow/core/util/event.proto):
//! `1: wall_time double`, `2: step int64`, `3: file_version string`, `5: summary`, whose `1: value` has `1: tag string`
//! and `2: simple_value float`.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc::{CRC_32_ISCSI, Crc};

use crate::{Error, Result};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// An event file that grows.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl EventFile {
    /// Starts an event file in `folder`, which TensorBoard finds by its name.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        let seconds = now();
        let path = folder.join(format!("events.out.tfevents.{:010}.moue.{}", seconds as u64, std::process::id()));
        let file = File::create(&path).map_err(|source| failed(&path, source))?;
        let mut events = Self { path, file, length: 0 };
        let mut event = Vec::new();
        fixed64(&mut event, 1, seconds.to_bits());
        bytes(&mut event, 3, b"brain.Event:2");
        events.record(&event)?;
        Ok(events)
    }

    /// Goes on with an event file, after its first `length` bytes; the rest is cut off.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened or cut; [`Error::File`] when it is shorter.
    pub fn reopen(path: &Path, length: u64) -> Result<Self> {
        let file = cut(path, length)?;
        Ok(Self { path: path.into(), file, length })
    }

    /// Adds the value of `tag` at `step`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, tag.as_bytes());
        fixed32(&mut entry, 2, (value as f32).to_bits());
        let mut summary = Vec::new();
        bytes(&mut summary, 1, &entry);
        let mut event = Vec::new();
        fixed64(&mut event, 1, now().to_bits());
        key(&mut event, 2, 0);
        varint(&mut event, step);
        bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    /// The file's name and its length in bytes so far.
    #[must_use]
    pub fn position(&self) -> (String, u64) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, self.length)
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|source| failed(&self.path, source))
    }

    fn record(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(event.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked_crc(event).to_le_bytes());
        self.file.write_all(&record).map_err(|source| failed(&self.path, source))?;
        self.length += record.len() as u64;
        Ok(())
    }
}

/// Opens a growing file to go on after its first `length` bytes; the rest is cut off.
pub(super) fn cut(path: &Path, length: u64) -> Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|source| failed(path, source))?;
    let found = file.metadata().map_err(|source| failed(path, source))?.len();
    if found < length {
        return Err(Error::File {
            path: path.into(),
            expected: format!("at least the {length} bytes written before the checkpoint"),
            found: format!("{found} bytes"),
            hint: "restore the file, or start a new run from best.safetensors".into(),
        });
    }
    file.set_len(length).map_err(|source| failed(path, source))?;
    file.seek(SeekFrom::End(0)).map_err(|source| failed(path, source))?;
    Ok(file)
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::io(path, "writing the run's records", source, "free space on the disk, then go on with --resume")
}

/// The checksum of TFRecords: a CRC over data that holds CRCs would be weak, hence the rotation and the constant.
fn masked_crc(data: &[u8]) -> u32 {
    CRC32C.checksum(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A protocol buffer field's number and wire type: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn fixed64(out: &mut Vec<u8>, field: u64, bits: u64) {
    key(out, field, 1);
    out.extend(bits.to_le_bytes());
}

fn fixed32(out: &mut Vec<u8>, field: u64, bits: u32) {
    key(out, field, 5);
    out.extend(bits.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_gives_the_published_check_values() {
        // RFC 3720, B.4: 32 bytes of zeros and of ones.
        assert_eq!(CRC32C.checksum(&[0; 32]), 0x8A91_36AA);
        assert_eq!(CRC32C.checksum(&[0xFF; 32]), 0x62A8_AB43);
    }

    #[test]
    fn varints_have_seven_bits_a_byte() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xAC, 0x02]);
    }
}
