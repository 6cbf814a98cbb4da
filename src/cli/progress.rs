//! Progress on stderr: a bar on a terminal, a line an epoch elsewhere.

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::note;
use crate::{
    Result,
    exec::Stats,
    train::{
        schedule::Stage,
        trainer::{EpochRecord, Observer, StepRecord},
    },
};

/// The progress of a training, which ends it when the user interrupts.
pub(super) struct Progress {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    epochs: usize,
    clock: Instant,
    images: Option<u64>,
}

impl Progress {
    pub(super) fn new(interrupted: Arc<AtomicBool>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len}  {msg}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        Self { bar, interrupted, epochs: 0, clock: Instant::now(), images: None }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() { note!("{text}") } else { self.bar.println(text) }
    }
}

impl Observer for Progress {
    fn stage(&mut self, number: usize, stage: &Stage, _: &[f64], _: &Stats) -> Result<()> {
        self.epochs = stage.epochs;
        if number > 0 {
            self.line(&format!("stage {}: {} branches, {} epochs", number + 1, stage.branches, stage.epochs));
        }
        self.clock = Instant::now();
        Ok(())
    }

    fn step(&mut self, record: &StepRecord<'_>) -> Result<()> {
        let images = record.state.images - self.images.unwrap_or(record.state.images);
        let images_per_s = images as f64 / self.clock.elapsed().as_secs_f64().max(1e-9);
        (self.clock, self.images) = (Instant::now(), Some(record.state.images));
        self.bar.set_prefix(format!("epoch {}/{}", record.state.epoch + 1, self.epochs));
        self.bar.set_length((record.steps * self.epochs) as u64);
        self.bar.set_position((record.state.epoch * record.steps + record.state.step + 1) as u64);
        self.bar.set_message(format!(
            "loss {:.3}  accuracy {:.3}  {images_per_s:.0} images/s",
            record.means.total,
            record.means.answer_accuracy(),
        ));
        Ok(())
    }

    fn epoch(&mut self, record: &EpochRecord<'_>) -> Result<()> {
        self.line(&format!(
            "epoch {:>3}/{}  loss {:.4}  train {:.4}  validation {:.4}  lr {:.2e}  {:.0} images/s",
            record.state.epoch,
            self.epochs,
            record.means.total,
            record.means.answer_accuracy(),
            record.accuracy,
            record.lr,
            record.images as f64 / record.training_seconds.max(1e-9),
        ));
        (self.clock, self.images) = (Instant::now(), Some(record.state.images));
        Ok(())
    }

    fn stops(&mut self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}
