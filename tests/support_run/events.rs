//! A reader of TensorBoard's event files that shares no code with their writer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The one event file of a run.
pub(crate) fn events_path(run: &Path) -> PathBuf {
    let found: Vec<_> = fs::read_dir(run)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("events.out.tfevents."))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// The scalars of a run's event file: tag, step, value.
pub(crate) fn values(run: &Path) -> Vec<(String, u64, f32)> {
    parse_events(&fs::read(events_path(run)).unwrap()).unwrap()
}

/// CRC-32C bit by bit, and TFRecord's mask.
fn masked_crc(data: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// An event file's scalars: tag, step, value.
pub(crate) fn parse_events(bytes: &[u8]) -> Result<Vec<(String, u64, f32)>, String> {
    let mut scalars = Vec::new();
    let mut rest = bytes;
    let mut first = true;
    while !rest.is_empty() {
        let (length, tail) = rest.split_at_checked(8).ok_or("no length")?;
        let (check, tail) = tail.split_at_checked(4).ok_or("no checksum")?;
        if masked_crc(length).to_le_bytes() != check {
            return Err("the length's checksum".into());
        }
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let (event, tail) = tail.split_at_checked(length).ok_or("a short record")?;
        let (check, tail) = tail.split_at_checked(4).ok_or("no checksum")?;
        if masked_crc(event).to_le_bytes() != check {
            return Err("the record's checksum".into());
        }
        rest = tail;
        let event = fields(event)?;
        let Field::Eight(time) = event[&1] else { return Err("no time".into()) };
        assert!(f64::from_bits(time) > 1.7e9, "a time after 2023");
        if first {
            assert_eq!(event[&3], Field::Bytes(b"brain.Event:2".to_vec()));
            first = false;
            continue;
        }
        let (Field::Varint(step), Field::Bytes(summary)) = (&event[&2], &event[&5]) else {
            return Err("fields".into());
        };
        let Field::Bytes(value) = &fields(summary)?[&1] else { return Err("no value".into()) };
        let value = fields(value)?;
        let (Field::Bytes(tag), Field::Four(bits)) = (&value[&1], &value[&2]) else {
            return Err("tag or value".into());
        };
        scalars.push((String::from_utf8(tag.clone()).unwrap(), *step, f32::from_bits(*bits)));
    }
    Ok(scalars)
}

#[derive(Debug, PartialEq)]
enum Field {
    Varint(u64),
    Eight(u64),
    Bytes(Vec<u8>),
    Four(u32),
}

/// The fields of a protocol buffer by number.
fn fields(mut bytes: &[u8]) -> Result<BTreeMap<u64, Field>, String> {
    let mut found = BTreeMap::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)?),
            1 => Field::Eight(u64::from_le_bytes(take(&mut bytes, 8)?.try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes)? as usize;
                Field::Bytes(take(&mut bytes, length)?)
            }
            5 => Field::Four(u32::from_le_bytes(take(&mut bytes, 4)?.try_into().unwrap())),
            wire => return Err(format!("wire type {wire}")),
        };
        found.insert(key >> 3, field);
    }
    Ok(found)
}

fn take(bytes: &mut &[u8], count: usize) -> Result<Vec<u8>, String> {
    let (head, tail) = bytes.split_at_checked(count).ok_or("a short field")?;
    *bytes = tail;
    Ok(head.to_vec())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a long varint".into())
}
