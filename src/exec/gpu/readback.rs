//! Bringing tensors back to the host through one staging buffer.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, mpsc},
    task::{Context, Poll, Waker},
};

use super::{device::Gpu, memory::View};
use crate::{Result, exec::Reading};

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
        let mut bytes = vec![0; view.bytes() as usize];
        self.read_bytes(gpu, &view.buffer, view.offset(), &mut bytes)?;
        let mut values = vec![0.0; view.elements];
        view.kept.decode(&bytes, &mut values);
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

/// The answer of `map_async`, awaited.
#[derive(Clone, Default)]
struct Mapping(Arc<Mutex<(Option<Answer>, Option<Waker>)>>);

type Answer = std::result::Result<(), wgpu::BufferAsyncError>;

impl Mapping {
    fn answer(&self, answer: Answer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Some(answer);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

impl Future for Mapping {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.0.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The elements of some views, after all work submitted so far, through one buffer that is made for them: several
/// readings may be on their way.
pub(crate) fn read_later(gpu: &mut Gpu, views: &[View]) -> Result<Reading> {
    let bytes = views.iter().map(View::bytes).sum::<u64>().max(4);
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let staging = gpu.loose_buffer("staging", bytes, usage)?;
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut at = 0;
    for view in views {
        encoder.copy_buffer_to_buffer(&view.buffer, view.offset(), &staging, at, view.bytes());
        at += view.bytes();
    }
    gpu.queue.submit([encoder.finish()]);
    let mapping = Mapping::default();
    let answered = mapping.clone();
    staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |answer| answered.answer(answer));
    // Natively nobody else looks after the device; in a browser this does nothing.
    gpu.wait()?;
    let (reports, views) = (gpu.reports().clone(), views.to_vec());
    Ok(Box::pin(async move {
        let answer = mapping.await;
        reports.check()?;
        answer.map_err(|error| reports.error(format!("reading tensors back failed: {error}")))?;
        let values = {
            let mapped = staging.slice(..bytes).get_mapped_range();
            let mapped = mapped.map_err(|error| reports.error(format!("mapping failed: {error}")))?;
            let mut rest: &[u8] = &mapped;
            let take = |view: View| {
                let mut values = vec![0.0; view.elements];
                view.kept.decode(rest.split_off(..view.bytes() as usize).unwrap_or_default(), &mut values);
                values
            };
            views.into_iter().map(take).collect()
        };
        staging.destroy();
        Ok(values)
    }))
}
