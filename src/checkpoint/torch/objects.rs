//! What a pickle's calls and persistent ids make: dictionaries, tensors, storages.

use super::{
    globals::Global,
    pickle::{Id, Machine, Storage, Tensor, Value},
    tensor::MAX_RANK,
};
use crate::{Error, Result};

impl Machine<'_> {
    /// Pushes a global, if it is allowed.
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let global = Global::allowed(module, name).ok_or_else(|| Error::File {
            path: self.path.into(),
            expected: "a checkpoint of tensors alone".into(),
            found: format!("a pickle that asks for `{module}.{name}`"),
            hint: "nothing of it was run; in Python, save the model's state_dict() alone with torch.save".into(),
        })?;
        self.push(Value::Global(global));
        Ok(())
    }

    /// Pushes what a global makes of its arguments.
    pub(super) fn call(&mut self, callee: Id, arguments: Id) -> Result<()> {
        let Value::Tuple(arguments) = &self.values[arguments as usize] else {
            return Err(self.unexpected("arguments", &self.values[arguments as usize].kind()));
        };
        let value = match self.values[callee as usize] {
            Value::Global(Global::OrderedDict) => self.ordered_dict(arguments),
            Value::Global(Global::Size) => match arguments.first().map(|id| &self.values[*id as usize]) {
                Some(Value::Tuple(sizes) | Value::List(sizes)) if sizes.len() <= MAX_RANK => {
                    Some(Value::Tuple(sizes.clone()))
                }
                _ => None,
            },
            Value::Global(Global::Tensor) => self.tensor(arguments),
            Value::Global(Global::Parameter) => match arguments.first().map(|id| &self.values[*id as usize]) {
                Some(Value::Tensor(tensor)) => Some(Value::Tensor(tensor.clone())),
                _ => None,
            },
            Value::Global(Global::Ignored) => Some(Value::Other),
            _ => None,
        };
        let value = value.ok_or_else(|| self.unexpected("a call that makes a tensor or a dictionary", "another"))?;
        // One list could otherwise be copied at every call.
        self.copied += if let Value::Dict(entries) = &value { entries.len() } else { 0 };
        if self.copied > self.bytes.len() {
            return Err(self.unexpected("dictionaries of different entries", "the same ones again and again"));
        }
        self.push(value);
        Ok(())
    }

    /// An empty dictionary, or one of pairs.
    fn ordered_dict(&self, arguments: &[Id]) -> Option<Value> {
        let Some(first) = arguments.first() else { return Some(Value::Dict(vec![])) };
        let Value::List(pairs) = &self.values[*first as usize] else { return None };
        let pair = |id: &Id| match &self.values[*id as usize] {
            Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        pairs.iter().map(pair).collect::<Option<_>>().map(Value::Dict)
    }

    /// A tensor from its storage, offset, sizes and strides; what may follow does not matter here.
    fn tensor(&self, arguments: &[Id]) -> Option<Value> {
        let &[storage, offset, shape, stride, ..] = arguments else { return None };
        let number = |id: Id| match self.values[id as usize] {
            Value::Int(value) => u64::try_from(value).ok(),
            _ => None,
        };
        let numbers = |id: Id| match &self.values[id as usize] {
            Value::Tuple(items) | Value::List(items) if items.len() <= MAX_RANK => {
                items.iter().map(|id| number(*id)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let Value::Storage(storage) = self.values[storage as usize] else { return None };
        let tensor = Tensor { storage, offset: number(offset)?, shape: numbers(shape)?, stride: numbers(stride)? };
        Some(Value::Tensor(tensor))
    }

    /// The storage that a persistent id names: `("storage", type, key, device, elements)`.
    pub(super) fn storage(&mut self, id: Id) -> Result<()> {
        let value = |id: &Id| &self.values[*id as usize];
        let storage = match value(&id) {
            Value::Tuple(items) if items.len() >= 5 => {
                // A sixth item is a part of another storage, as PyTorch before 0.4 could save it.
                let whole = items.get(5).is_none_or(|view| matches!(value(view), Value::None));
                match (value(&items[0]), value(&items[1]), value(&items[2]), value(&items[4])) {
                    (
                        Value::Text(kind),
                        Value::Global(Global::Storage(dtype)),
                        Value::Text(key),
                        Value::Int(elements @ 0..),
                    ) if kind == "storage" && whole => {
                        Some(Storage { dtype: *dtype, key: key.clone(), elements: elements.unsigned_abs() })
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let storage =
            storage.ok_or_else(|| self.unexpected("a storage with type, key and length", "something else"))?;
        let number = match self.keys.get(&storage.key) {
            Some(&number) if self.storages[number] == storage => number,
            Some(_) => return Err(self.unexpected("one type and length for each storage", "two")),
            None => {
                self.keys.insert(storage.key.clone(), self.storages.len());
                self.storages.push(storage);
                self.storages.len() - 1
            }
        };
        self.push(Value::Storage(number));
        Ok(())
    }
}
