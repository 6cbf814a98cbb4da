/** The worker: loads the engine and the model, answers one question after the other. */

import { MoueError, asMoueError } from './error.js';
import { keep, open } from './files.js';
import { WORKING_EDGE } from './limits.js';

/** @typedef {import('./types.d.ts').Box} Box */
/** @typedef {import('./types.d.ts').Progress} Progress */
/** @typedef {import('./messages.d.ts').Start} Start */
/** @typedef {import('./messages.d.ts').Question} Question */
/** @typedef {import('./engine.d.ts').Engine} Engine */

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** @param {import('./messages.d.ts').FromWorker} message */
const send = (message, /** @type {Transferable[]} */ transfer = []) => scope.postMessage(message, transfer);
/** @param {Progress} progress */
const tell = (progress) => send({ event: 'progress', progress });
/** @param {unknown} thrown */
const failureOf = (thrown) => {
  const { code, message } = asMoueError(thrown);
  return { code, message };
};

/** @type {Start} */
let start;
/** @type {typeof import('./engine.d.ts').Engine} */
let EngineClass;
/** @type {Engine} */
let engine;
/** @type {import('./types.d.ts').BackendInfo} */
let backend;
/** What the engine was given, so that one on a new device can be given it again. */
const given = {
  /** @type {Uint8Array[]} */ model: [],
  whole: false,
  /** @type {Uint8Array | null} */ detector: null,
};
const model = { source: /** @type {import('./types.d.ts').Source} */ ('memory'), bytes: 0, totalBranches: /** @type {number | null} */ (null) };
/** Branches that answer now. */
let usable = 0;
const downloads = new AbortController();
/** @type {Set<number>} */
const cancelled = new Set();

/** Work on the engine, one piece at a time: it is not asked anything while it waits for the GPU.
 * @type {Promise<unknown>} */
let last = Promise.resolve();
/**
 * @template T
 * @param {() => T | Promise<T>} work
 * @returns {Promise<T>}
 */
function exclusively(work) {
  const result = last.then(work);
  last = result.catch(() => undefined);
  return result;
}

/** Questions wait for each other, apart from the model's pieces, which may come in between.
 * @type {Promise<unknown>} */
let questions = Promise.resolve();

scope.onmessage = ({ data }) => {
  const message = /** @type {import('./messages.d.ts').ToWorker} */ (data);
  if ('start' in message) load(message.start).catch((thrown) => send({ event: 'failed', failure: failureOf(thrown) }));
  else if ('stop' in message) downloads.abort(new MoueError('aborted', 'the download was aborted'));
  else if ('cancel' in message) cancelled.add(message.cancel);
  else questions = questions.then(() => answer(message));
};

/** @param {Start} options */
async function load(options) {
  start = options;
  tell({ stage: 'engine' });
  // The model is on its way while the engine starts.
  const incoming = openModel();
  incoming.catch(() => undefined);
  await startEngine();
  tell({ stage: 'backend', backend });
  const { source, total, pieces } = await incoming;
  model.source = source;
  engine.begin_model();
  let told = 0;
  const reader = pieces.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((thrown) => {
      throw asMoueError(thrown, downloads.signal.aborted ? 'aborted' : 'download-failed');
    });
    if (done) break;
    await exclusively(() => push(value));
    model.bytes += value.length;
    if (performance.now() - told > 50 || model.bytes === total) {
      told = performance.now();
      tell({ stage: 'model', source, loaded: model.bytes, total });
    }
  }
  await exclusively(() => engine.end_model());
  given.whole = true;
  announce();
  send({ event: 'ready' });
  send({ event: 'complete' });
  if (source === 'network') await keepFile('model', String(start.model), start.version, given.model);
}

async function openModel() {
  const { model, version, cache = true } = start;
  if (typeof model === 'string') return open(model, { version, useCache: cache, signal: downloads.signal });
  const blob = model instanceof Blob ? model : new Blob([/** @type {BlobPart} */ (model)]);
  return { source: /** @type {const} */ ('memory'), total: blob.size, pieces: blob.stream() };
}

/** @param {Uint8Array} piece */
function push(piece) {
  const before = usable;
  const { branches, total_branches: total } = engine.push_model(piece);
  given.model.push(piece);
  model.totalBranches = total;
  if (branches === before) return;
  usable = branches;
  announce();
  tell({ stage: 'branches', branches, total });
  if (before === 0) send({ event: 'ready' });
}

/** Tells what is known now. */
function announce() {
  const { created_by: createdBy, ...info } = engine.info();
  if (given.whole) usable = info.branches;
  const { source, bytes } = model;
  const totalBranches = given.whole ? usable : model.totalBranches;
  send({ event: 'info', info: { backend, model: { ...info, branches: usable, totalBranches, createdBy, source, bytes } } });
}

/**
 * @param {'model' | 'detector'} file
 * @param {string} url
 * @param {string | undefined} version
 * @param {Uint8Array[]} pieces
 */
async function keepFile(file, url, version = '', pieces) {
  if (start.cache === false) return;
  try {
    await keep(url, version, pieces);
    tell({ stage: 'cache', file, stored: true, reason: 'kept in this browser' });
  } catch (thrown) {
    // A full disk or a private window costs the next visit a download, nothing now.
    tell({ stage: 'cache', file, stored: false, reason: asMoueError(thrown).message });
  }
}

async function startEngine() {
  const { engine: module, wasm } = start;
  try {
    const glue = /** @type {typeof import('./engine.d.ts')} */ (await import(module));
    const response = await fetch(wasm);
    if (!response.ok) throw new Error(`${wasm}: the server answered ${response.status}`);
    await glue.default({ module_or_path: response });
    EngineClass = glue.Engine;
  } catch (thrown) {
    throw new MoueError('engine-failed', `the engine could not be started: ${asMoueError(thrown).message}`, { cause: thrown });
  }
  await choose();
}

/** Makes an engine on the backend asked for; never on another without saying so. */
async function choose() {
  const { backend: requested = 'auto', allowSoftware = false } = start;
  /** @type {MoueError | null} */
  let refused = null;
  if (requested !== 'cpu') {
    try {
      engine = await EngineClass.create('webgpu', requested === 'webgpu' && allowSoftware);
    } catch (thrown) {
      refused = asMoueError(thrown);
      if (requested === 'webgpu') throw refused;
    }
  }
  if (requested === 'cpu' || refused) engine = await EngineClass.create('cpu', false);
  const { kind, ...device } = engine.device();
  const reason = refused ? `the processor, because WebGPU cannot be used: ${refused.message}`
    : requested === 'auto' ? 'the GPU, because WebGPU offers a real one'
    : requested === 'cpu' ? 'the processor, as asked for'
    : `WebGPU, as asked for${device.software ? '; this adapter computes on the processor and is slow' : ''}`;
  const recreated = backend ? backend.recreated + 1 : 0;
  backend = { kind: kind === 'gpu' ? 'webgpu' : 'cpu', requested, reason, refused: refused?.code ?? null, ...device, recreated };
}

/** After a lost device: a new one, with all that the old one had. */
async function recreate() {
  try {
    engine.free();
  } catch {
    // What is lost may also fail to let go.
  }
  await choose();
  backend.reason += `; made anew after the device was lost (${backend.recreated}×)`;
  engine.begin_model();
  for (const piece of given.model) engine.push_model(piece);
  if (given.whole) engine.end_model();
  if (given.detector) engine.load_detector(given.detector);
  announce();
  tell({ stage: 'backend', backend });
}

/** Whether the device is gone; what waited for it at that moment is told that it failed.
 * @param {unknown} thrown */
function isLost(thrown) {
  const { code } = /** @type {{ code?: unknown }} */ (thrown ?? {});
  return code === 'device-lost' || code === 'device-failed';
}

/**
 * Work on the engine that survives the loss of its device, once.
 * @template T
 * @param {() => T | Promise<T>} work
 * @returns {Promise<T>}
 */
function surviving(work) {
  return exclusively(async () => {
    try {
      return await work();
    } catch (thrown) {
      if (!isLost(thrown)) throw thrown;
      await recreate();
      return work();
    }
  });
}

/** @param {Question} question */
async function answer({ id, pixels, options }) {
  if (cancelled.delete(id)) {
    if ('bitmap' in pixels) pixels.bitmap.close();
    return;
  }
  try {
    const { prediction, transfer } = await predict(pixels, options);
    send({ id, prediction }, transfer);
  } catch (thrown) {
    send({ id, failure: failureOf(thrown) });
  } finally {
    cancelled.delete(id);
  }
}

/**
 * @param {import('./messages.d.ts').Pixels} pixels
 * @param {Question['options']} options
 */
async function predict(pixels, { branches = 0, face = 'detect', attention = true, maxFaces = 8 }) {
  const begin = performance.now();
  const { rgba, width, height, scale, full } = readPixels(pixels);
  const timings = { decode: performance.now() - begin, detect: 0, prepare: 0, run: 0, read: 0, total: 0 };
  /** @type {(Box & { score: number | null } | null)[]} */
  let boxes;
  if (face === 'none') boxes = [null];
  else if (face === 'detect') {
    await needDetector();
    const found = performance.now();
    const detected = await surviving(() => engine.detect(rgba, width, height));
    timings.detect = performance.now() - found;
    if (detected.length === 0) {
      throw new MoueError('no-face', 'no face was found in the image; give a box around one, or ask for the whole image');
    }
    boxes = detected.sort((a, b) => b.width * b.height - a.width * a.height).slice(0, maxFaces);
  } else {
    const given = Array.isArray(face) ? face : [face];
    boxes = given.map((box) => ({ x: box.x * scale, y: box.y * scale, width: box.width * scale, height: box.height * scale, score: null }));
  }
  /** @type {import('./types.d.ts').Face[]} */
  const faces = [];
  /** @type {Set<ArrayBuffer>} */
  const transfer = new Set();
  const { classes } = engine.info();
  for (const candidate of boxes) {
    const box = candidate && inside(candidate, width, height);
    const { milliseconds, ...raw } = await surviving(() => engine.predict(rgba, width, height, box, branches, attention));
    timings.prepare += milliseconds.prepare;
    timings.run += milliseconds.run;
    timings.read += milliseconds.read;
    faces.push({
      ...raw,
      box: box && { x: box.x / scale, y: box.y / scale, width: box.width / scale, height: box.height / scale },
      score: candidate?.score ?? null,
      label: classes[raw.class] ?? '',
    });
    const arrays = [raw.probabilities, raw.mean, raw.votes, raw.spatial?.similarity, raw.channel?.similarity,
      ...raw.branches.flatMap((branch) => [branch.probabilities, branch.attention?.values])];
    for (const array of arrays) if (array) transfer.add(/** @type {ArrayBuffer} */ (array.buffer));
  }
  const answered = faces[0]?.branches.length ?? 0;
  return { prediction: { faces, ...full, branches: answered, timings }, transfer: [...transfer] };
}

/** Pixels in the size that is worked on; `scale` leads from the source's size, `full`, to it.
 * @param {import('./messages.d.ts').Pixels} pixels */
function readPixels(pixels) {
  if ('rgba' in pixels) {
    const { rgba, width, height } = pixels;
    return { rgba: new Uint8Array(rgba), width, height, scale: 1, full: { width, height } };
  }
  const { bitmap } = pixels;
  const full = { width: bitmap.width, height: bitmap.height };
  const scale = Math.min(1, WORKING_EDGE / Math.max(full.width, full.height));
  const width = Math.max(1, Math.round(full.width * scale));
  const height = Math.max(1, Math.round(full.height * scale));
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new MoueError('bad-image', 'this browser gave no canvas to read the image with');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return { rgba: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer), width, height, scale, full };
}

/** The part of a box that lies in the image, in whole pixels.
 * @param {Box} box @param {number} width @param {number} height @returns {Box} */
function inside(box, width, height) {
  const x = Math.max(0, Math.round(box.x));
  const y = Math.max(0, Math.round(box.y));
  const right = Math.min(width, Math.round(box.x + box.width));
  const bottom = Math.min(height, Math.round(box.y + box.height));
  if (right <= x || bottom <= y) {
    throw new MoueError('bad-image', `the box x ${box.x}, y ${box.y}, ${box.width}×${box.height} holds no pixel of the image`);
  }
  return { x, y, width: right - x, height: bottom - y };
}

async function needDetector() {
  if (given.detector) return;
  const { detector: url, detectorVersion: version, cache = true } = start;
  const { source, total, pieces } = await open(url, { version, useCache: cache });
  /** @type {Uint8Array[]} */
  const parts = [];
  let loaded = 0;
  const reader = pieces.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((thrown) => {
      throw asMoueError(thrown, 'download-failed');
    });
    if (done) break;
    parts.push(value);
    loaded += value.length;
    tell({ stage: 'detector', source, loaded, total });
  }
  const bytes = new Uint8Array(await new Blob(/** @type {BlobPart[]} */ (parts)).arrayBuffer());
  await exclusively(() => engine.load_detector(bytes));
  given.detector = bytes;
  if (source === 'network') await keepFile('detector', url, version, parts);
}
