//! Bringing tensors back to the host through one staging buffer.

use std::sync::mpsc;

use super::{device::Gpu, memory::View};
use crate::Result;

/// A buffer that the host can map, reused for every read.
#[derive(Default)]
pub(crate) struct Readback {
    staging: Option<wgpu::Buffer>,
}

impl Readback {
    /// Makes sure that reads of so many bytes need no new buffer.
    pub(crate) fn reserve(&mut self, gpu: &mut Gpu, bytes: u64) -> Result<()> {
        if self.staging.as_ref().is_none_or(|buffer| buffer.size() < bytes) {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            self.staging = Some(gpu.buffer("staging", bytes, usage)?);
        }
        Ok(())
    }

    /// The elements of a view, after all work submitted so far.
    pub(crate) fn read(&mut self, gpu: &mut Gpu, view: &View) -> Result<Vec<f32>> {
        let mut values = vec![0.0; view.elements];
        self.read_bytes(gpu, &view.buffer, view.offset(), bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }

    /// Bytes of a buffer, from `offset` on, after all work submitted so far.
    pub(crate) fn read_bytes(
        &mut self,
        gpu: &mut Gpu,
        buffer: &wgpu::Buffer,
        offset: u64,
        into: &mut [u8],
    ) -> Result<()> {
        let bytes = into.len() as u64;
        self.reserve(gpu, bytes)?;
        let staging = self.staging.as_ref().expect("invariant: reserved above");
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, offset, staging, 0, bytes);
        gpu.queue.submit([encoder.finish()]);
        let slice = staging.slice(..bytes);
        let (sender, receiver) = mpsc::channel();
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // Nobody listens any more where waiting failed.
            let _ = sender.send(result);
        });
        gpu.wait()?;
        match receiver.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(gpu.error(format!("reading a tensor back failed: {error}"))),
            Err(_) => return Err(gpu.error("reading a tensor back did not finish")),
        }
        {
            let mapped = slice.get_mapped_range().map_err(|error| gpu.error(format!("mapping failed: {error}")))?;
            into.copy_from_slice(&mapped);
        }
        staging.unmap();
        gpu.check()
    }
}
