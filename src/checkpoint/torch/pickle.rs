//! The pickle machine: enough opcodes and globals for a state dict, and nothing that could run code.
//!
//! The opcodes and their arguments are those of Python's `pickletools`. Values lie in one arena and name each other by
//! number, so that shared, nested and cyclic values need neither recursion nor copies, and each opcode adds at most one.
//! What calls and persistent ids make is in [`super::objects`].

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::Dtype;

use super::{globals::Global, wrong};
use crate::{Error, Result};

/// More values than any state dict has; each takes some 70 bytes.
const MAX_VALUES: usize = 1 << 22;

/// The number of a value.
pub(super) type Id = u32;

/// A value that a pickle builds.
#[derive(Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// Number of a storage.
    Storage(usize),
    Tensor(Tensor),
    /// Something that no tensor depends on, such as a learning rate.
    Other,
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(value) => format!("the truth value {value}"),
            Self::Int(value) => format!("the number {value}"),
            Self::Text(_) => "a text".into(),
            Self::Tuple(_) => "a tuple".into(),
            Self::List(_) => "a list".into(),
            Self::Dict(_) => "a dictionary".into(),
            Self::Global(_) => "a function or class".into(),
            Self::Storage(_) => "a storage".into(),
            Self::Tensor(_) => "a tensor".into(),
            Self::Other => "another value".into(),
        }
    }
}

/// A run of elements that tensors are views of.
#[derive(Debug, PartialEq)]
pub(super) struct Storage {
    pub(super) dtype: Dtype,
    pub(super) key: String,
    pub(super) elements: u64,
}

impl Storage {
    pub(super) fn bytes(&self) -> u64 {
        self.elements.saturating_mul(self.dtype.bitsize() as u64 / 8)
    }
}

/// A view of a storage, as the pickle claims it.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) storage: usize,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) stride: Vec<u64>,
}

/// What a pickle has built.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    /// The value at the end.
    pub(super) root: Id,
    /// All storages that are named, each once.
    pub(super) storages: Vec<Storage>,
}

impl Pickle {
    /// Runs the pickle at the beginning of `bytes`; also returns its length.
    ///
    /// # Errors
    /// [`Error::File`] for an opcode or a global that is not allowed, and for a pickle that is cut short or damaged.
    pub(super) fn run(path: &Path, bytes: &[u8]) -> Result<(Self, usize)> {
        let machine = Machine {
            path,
            bytes,
            at: 0,
            opcode_at: 0,
            values: vec![],
            stack: vec![],
            marks: vec![],
            memo: HashMap::new(),
            storages: vec![],
            keys: BTreeMap::new(),
            copied: 0,
        };
        machine.run()
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, id: Id) -> Option<&Tensor> {
        match self.value(id) {
            Value::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

/// A pickle under way.
pub(super) struct Machine<'b> {
    pub(super) path: &'b Path,
    pub(super) bytes: &'b [u8],
    at: usize,
    opcode_at: usize,
    pub(super) values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack that opcodes take everything above of.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    pub(super) storages: Vec<Storage>,
    /// The number of each storage by its key.
    pub(super) keys: BTreeMap<String, usize>,
    /// Entries that calls have copied out of values that stay.
    pub(super) copied: usize,
}

impl Machine<'_> {
    fn run(mut self) -> Result<(Pickle, usize)> {
        loop {
            self.opcode_at = self.at;
            let opcode = self.byte()?;
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok((Pickle { values: self.values, root, storages: self.storages }, self.at));
            }
            self.step(opcode)?;
            if self.values.len() > MAX_VALUES {
                return Err(self.unexpected(&format!("at most {MAX_VALUES} values"), "more"));
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            // Protocol and frame only announce what follows.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let length = self.byte()?.into();
                self.long(length)?;
            }
            0x8b => {
                let length = self.length(4)?;
                self.long(length)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            b'U' | 0x8c => self.text(1)?,
            b'T' | b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => self.skip_bytes(1)?,
            b'B' => self.skip_bytes(4)?,
            0x8e => self.skip_bytes(8)?,
            b')' => self.push(Value::Tuple(vec![])),
            b']' => self.push(Value::List(vec![])),
            b'}' => self.push(Value::Dict(vec![])),
            0x8f => self.push(Value::Other),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let start = self.height(usize::from(opcode - 0x84))?;
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items));
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Value::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(vec![]));
                self.add_entries(&items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            // The items of a set; no tensor depends on one.
            0x90 => drop(self.pop_mark()?),
            b's' => {
                let start = self.height(2)?;
                let items = self.stack.split_off(start);
                self.add_entries(&items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.add_entries(&items)?;
            }
            b'q' => {
                let key = self.byte()?.into();
                self.memorise(key)?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.memorise(key)?;
            }
            0x94 => self.memorise(self.memo.len() as u32)?,
            b'h' => {
                let key = self.byte()?.into();
                self.recall(key)?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.global(&module, &name)?;
            }
            // A call, or an object of a class: the same to the few globals there are.
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.call(callee, arguments)?;
            }
            // The attributes of the object below, such as a state dict's versions: nothing that tensors depend on.
            b'b' => {
                self.pop()?;
                self.height(1)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)?;
            }
            other => {
                let found = format!("opcode {other:#04x} at byte {}", self.opcode_at);
                return Err(wrong(self.path, "a pickle with the opcodes of a state_dict alone", found));
            }
        }
        Ok(())
    }

    // What is read.

    fn take(&mut self, length: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            let expected = format!("{length} more bytes of the pickle at byte {}", self.at);
            return Err(wrong(self.path, expected, format!("{}: it is cut short", self.bytes.len() - self.at)));
        };
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH]> {
        Ok(self.take(LENGTH)?.try_into().expect("invariant: as many bytes as were asked for"))
    }

    /// An unsigned number of 1 to 8 bytes.
    fn number(&mut self, width: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn length(&mut self, width: usize) -> Result<usize> {
        // What does not fit is longer than any file; taking that many bytes says so.
        Ok(usize::try_from(self.number(width)?).unwrap_or(usize::MAX))
    }

    fn integer(&mut self, width: usize) -> Result<()> {
        let value = self.number(width)?;
        self.push(Value::Int(value as i64));
        Ok(())
    }

    /// A signed number of any length; those that no size or offset has are [`Value::Other`].
    fn long(&mut self, length: usize) -> Result<()> {
        let bytes = self.take(length)?;
        let value = if bytes.len() > 8 {
            Value::Other
        } else {
            let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
            let mut wide = [if negative { 0xff } else { 0 }; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(wide))
        };
        self.push(value);
        Ok(())
    }

    fn text(&mut self, width: usize) -> Result<()> {
        let length = self.length(width)?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    fn skip_bytes(&mut self, width: usize) -> Result<()> {
        let length = self.length(width)?;
        self.take(length)?;
        self.push(Value::Other);
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.byte()?;
        Ok(line)
    }

    // The stack.

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
    }

    /// Where the `count` topmost values begin; none of them lies below the last mark.
    fn height(&self, count: usize) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= floor);
        start.ok_or_else(|| {
            let found = format!("{} at opcode {:#04x}, byte {}", self.stack.len(), self.current(), self.opcode_at);
            wrong(self.path, format!("at least {count} values on the pickle's stack"), found)
        })
    }

    fn current(&self) -> u8 {
        self.bytes[self.opcode_at]
    }

    fn pop(&mut self) -> Result<Id> {
        let start = self.height(1)?;
        Ok(self.stack.split_off(start)[0])
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(wrong(self.path, "a mark on the pickle's stack", format!("none at byte {}", self.opcode_at))),
        }
    }

    fn pop_text(&mut self) -> Result<String> {
        let id = self.pop()?;
        match &self.values[id as usize] {
            Value::Text(text) => Ok(text.clone()),
            other => Err(self.unexpected("the name of a global", &other.kind())),
        }
    }

    fn top(&mut self) -> Result<&mut Value> {
        let start = self.height(1)?;
        Ok(&mut self.values[self.stack[start] as usize])
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        match self.top()? {
            Value::List(list) => list.extend(items),
            Value::Other => {}
            other => {
                let kind = other.kind();
                return Err(self.unexpected("a list", &kind));
            }
        }
        Ok(())
    }

    fn add_entries(&mut self, items: &[Id]) -> Result<()> {
        if !items.len().is_multiple_of(2) {
            return Err(self.unexpected("pairs of keys and values", &format!("{} values", items.len())));
        }
        match self.top()? {
            Value::Dict(entries) => entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Value::Other => {}
            other => {
                let kind = other.kind();
                return Err(self.unexpected("a dictionary", &kind));
            }
        }
        Ok(())
    }

    fn memorise(&mut self, key: u32) -> Result<()> {
        let start = self.height(1)?;
        self.memo.insert(key, self.stack[start]);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        match self.memo.get(&key) {
            Some(&id) => self.stack.push(id),
            None => return Err(self.unexpected(&format!("a value memorised as {key}"), "none")),
        }
        Ok(())
    }

    pub(super) fn unexpected(&self, expected: &str, found: &str) -> Error {
        wrong(self.path, expected, format!("{found} at byte {} of the pickle", self.opcode_at))
    }
}
