/** The model's way onto the page: progress, device, card, and what is kept in this browser. */

import { cachedFiles, createMoue, deleteCachedFiles } from '../api/index.js';
import { element, megabytes, percent, write } from './elements.js';
import { hashes } from './offline.js';

/** @typedef {import('../api/types.d.ts').Moue} Moue */
/** @typedef {import('../api/types.d.ts').Progress} Progress */
/** @typedef {import('../api/types.d.ts').BackendInfo} BackendInfo */

const MODEL = 'models/esr.safetensors';
const DETECTOR = 'face_detector.bin';
const SOURCES = { network: 'downloaded', cache: 'read from this browser', memory: 'read from your file' };

/**
 * @param {import('../api/types.d.ts').Backend} backend
 * @param {Blob | null} file a model in place of the page's own
 * @param {(progress: Progress) => void} onProgress
 */
export async function load(backend, file, onProgress) {
  const query = new URLSearchParams(location.search);
  const known = await hashes;
  return createMoue({
    model: file ?? MODEL,
    version: file ? undefined : known[MODEL],
    detectorVersion: known[DETECTOR],
    backend,
    allowSoftware: query.has('software'),
    onProgress: (progress) => {
      showProgress(progress);
      onProgress(progress);
    },
  });
}

/** @param {Progress} progress */
function showProgress(progress) {
  const bar = element('bar', HTMLProgressElement);
  switch (progress.stage) {
    case 'engine':
      bar.removeAttribute('value');
      write('loading-text', 'Starting the engine');
      break;
    case 'backend': showBackend(progress.backend); break;
    case 'model':
    case 'detector': {
      const { stage, source, loaded, total } = progress;
      if (total) bar.value = loaded / total;
      else bar.removeAttribute('value');
      const what = stage === 'model' ? 'Model' : 'Face detector';
      write('loading-text', `${what}: ${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ''}, ${SOURCES[source]}`);
      break;
    }
    case 'branches': break;
    case 'cache':
      if (!progress.stored) write('loading-text', `The ${progress.file} is not kept: ${progress.reason}`);
      showKept();
      break;
  }
}

/** @param {BackendInfo} backend */
export function showBackend({ kind, name, reason, software }) {
  element('badge', HTMLElement).dataset.kind = kind;
  write('badge-name', kind === 'cpu' ? 'Processor (wasm)' : `${software ? 'WebGPU, in software' : 'GPU (WebGPU)'}: ${name}`);
  write('badge-reason', `${reason.charAt(0).toUpperCase()}${reason.slice(1)}${/[.!?]$/.test(reason) ? '' : '.'}`);
}

/** @param {unknown} value */
const isObject = (value) => typeof value === 'object' && value !== null;
const count = (/** @type {unknown} */ number) => Number(number).toLocaleString('en');
const NAMES = /** @type {Record<string, string>} */ ({ ferplus: 'FER+', synthetic: 'faces drawn by moue', esr: 'ESR', manet: 'MA-Net' });
const nameOf = (/** @type {unknown} */ id) => NAMES[String(id)] ?? String(id);

/** The card's facts, as the model's file states them.
 * @param {import('../api/types.d.ts').ModelInfo} model */
export function showCard({ classes, branches, totalBranches, size, colour, parameters, architecture, data, result, answer, attention, createdBy, source, bytes }) {
  const width = Number(architecture.width ?? 1);
  write('card-what', `${nameOf(architecture.model)} with ${totalBranches ?? branches} branches` +
    `${width === 1 ? '' : ` at ${width} of the full width`}${attention ? ' and attention (CBAM)' : ''}: ${count(parameters)} parameters, ` +
    `${size}×${size} pixels (${colour}), ${classes.length} classes. Written by ${createdBy}; ${megabytes(bytes)}, ${SOURCES[source]}.`);
  const counts = isObject(data?.counts) ? Object.entries(/** @type {object} */ (data?.counts)) : [];
  write('card-data', data ? `Trained on ${nameOf(data.source)}${counts.length ? `: ${counts.map(([split, n]) => `${count(n)} ${split}`).join(', ')} images` : ''}.`
    : 'The file does not say what it was trained on.');
  write('card-result', result ? `Accuracy on the ${result.split} split: ${percent(Number(result.accuracy))}` +
    `${result['balanced_accuracy'] ? `, mean over classes ${percent(Number(result['balanced_accuracy']))}` : ''}` +
    `${result.images ? `, on ${count(result.images)} images` : ''}.` : 'The file does not say how accurate it is.');
  write('card-answer', answer ? `The probabilities are the mean of the branches' at temperature ${answer.temperature.toFixed(2)}, ` +
    `divided by the training's share of each class to the power ${answer.tau}; the answer is the largest.`
    : 'The probabilities are the mean of the branches\'; the answer is the largest.');
}

export async function showKept() {
  const files = await cachedFiles();
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  element('forget', HTMLButtonElement).disabled = files.length === 0;
  write('cache-text', files.length === 0 ? 'No model is kept in this browser.'
    : `${files.length === 1 ? 'One file is' : `${files.length} files are`} kept in this browser, ${megabytes(bytes)}, so that the next visit needs no download.`);
}

element('forget', HTMLButtonElement).addEventListener('click', async () => {
  await deleteCachedFiles();
  await showKept();
});
