/** What index.js and worker.js say to each other. */

import type { Code, Info, Options, Prediction, PredictOptions, Progress } from './types.d.ts';

export type Failure = { code: Code; message: string };

/** Events while the worker loads, and one reply for each question. */
export type FromWorker =
  | { event: 'progress'; progress: Progress }
  | { event: 'info'; info: Info }
  | { event: 'ready' }
  | { event: 'complete' }
  | { event: 'failed'; failure: Failure }
  | { id: number; prediction: Prediction }
  | { id: number; failure: Failure };

export type Start = Omit<Options, 'onProgress' | 'signal' | 'worker' | 'model'> & {
  model: string | Blob | ArrayBuffer | Uint8Array;
  engine: string;
  wasm: string;
  detector: string;
};

export type Pixels = { bitmap: ImageBitmap } | { rgba: ArrayBuffer; width: number; height: number };

export type Question = { id: number; pixels: Pixels; options: Omit<PredictOptions, 'signal'> };

export type ToWorker = { start: Start } | { stop: true } | Question | { cancel: number };
