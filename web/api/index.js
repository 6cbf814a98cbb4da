/** The package's entry: starts the worker and speaks with it. types.d.ts documents what is exported. */

import { MoueError } from './error.js';
import { cachedFiles, deleteCachedFiles } from './files.js';
import { MAX_EDGE, MAX_PIXELS } from './limits.js';
import { pixelsOf, readImage } from './pixels.js';

export { MoueError, cachedFiles, deleteCachedFiles, readImage, MAX_EDGE, MAX_PIXELS };

/** @typedef {import('./types.d.ts').Options} Options */
/** @typedef {import('./types.d.ts').Info} Info */
/** @typedef {import('./types.d.ts').Prediction} Prediction */

/** @typedef {import('./messages.d.ts').Start} Start */
/** @typedef {import('./messages.d.ts').Failure} Failure */

/** @type {typeof import('./types.d.ts').createMoue} */
export function createMoue(options) {
  return new Promise((resolve, reject) => {
    const client = new Client(options, () => resolve(client), reject);
  });
}

/** The address that a page's own address makes of `url`, since the worker's is another.
 * @param {string | URL} url */
function absolute(url) {
  return new URL(url, globalThis.location?.href).href;
}

/** @param {AbortSignal} signal */
function aborted(signal) {
  const { reason } = signal;
  return new MoueError('aborted', `aborted${reason instanceof Error ? `: ${reason.message}` : ''}`, { cause: reason });
}

/** @param {Options} options @returns {Start} */
function checked(options) {
  const { model, backend = 'auto', engine, wasm, detector, onProgress, signal, worker, ...rest } = options;
  if (!['auto', 'webgpu', 'cpu'].includes(backend)) {
    throw new MoueError('bad-option', `backend: expected auto, webgpu or cpu, found ${String(backend)}`);
  }
  const isAddress = typeof model === 'string' || model instanceof URL;
  if (!isAddress && !(model instanceof Blob) && !(model instanceof ArrayBuffer) && !(model instanceof Uint8Array)) {
    throw new MoueError('bad-option', 'model: expected an address, a Blob, an ArrayBuffer or a Uint8Array, found ' +
      (model === null ? 'null' : typeof model));
  }
  const module = engine ? absolute(engine) : new URL('../moue.js', import.meta.url).href;
  return {
    ...rest,
    backend,
    model: isAddress ? absolute(model) : model,
    engine: module,
    wasm: wasm ? absolute(wasm) : new URL('moue_bg.wasm', module).href,
    detector: detector ? absolute(detector) : new URL('face_detector.bin', module).href,
  };
}

/**
 * @typedef {import('./types.d.ts').Moue} Moue
 * @implements {Moue}
 */
class Client {
  /** @type {Worker | null} */ #worker = null;
  /** @type {Info | null} */ #info = null;
  /** @type {Map<number, { resolve: (prediction: Prediction) => void, reject: (error: MoueError) => void }>} */
  #pending = new Map();
  /** @type {MoueError | null} Why nothing can be asked any more. */ #ended = null;
  #next = 0;
  /** @type {Promise<void>} Settles when all questions so far are sent. */ #sent = Promise.resolve();
  /** @type {(progress: import('./types.d.ts').Progress) => void} */ #onProgress;
  /** @type {() => void} */ #resolveComplete = () => undefined;
  /** @type {(error: MoueError) => void} */ #rejectComplete = () => undefined;
  /** @type {() => void} */ #ready;
  /** @type {(error: MoueError) => void} */ #failed;
  /** @type {Promise<Info>} */ complete;

  /**
   * @param {Options} options
   * @param {() => void} ready
   * @param {(error: MoueError) => void} failed
   */
  constructor(options, ready, failed) {
    this.#onProgress = options.onProgress ?? (() => undefined);
    this.#ready = ready;
    this.#failed = failed;
    this.complete = new Promise((resolve, reject) => {
      this.#resolveComplete = () => resolve(this.info);
      this.#rejectComplete = reject;
    });
    // Who does not ask whether the rest came is not disturbed by its failure.
    this.complete.catch(() => undefined);
    const { signal } = options;
    if (signal?.aborted) {
      this.#end(aborted(signal));
      return;
    }
    /** @type {Start} */
    let start;
    try {
      start = checked(options);
      // The literal form is what bundlers look for.
      this.#worker = options.worker
        ? new Worker(options.worker, { type: 'module', name: 'moue' })
        : new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'moue' });
    } catch (thrown) {
      this.#end(thrown instanceof MoueError ? thrown
        : new MoueError('engine-failed', `the worker could not be started: ${thrown}`, { cause: thrown }));
      return;
    }
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new MoueError('engine-failed', `the worker ended: ${event.message ?? 'its module could not be loaded'}`));
    };
    signal?.addEventListener('abort', () => {
      if (this.#info === null) this.#end(aborted(signal));
      else this.#send({ stop: true });
    }, { once: true });
    this.#send({ start });
  }

  get info() {
    if (!this.#info) throw this.#ended ?? new MoueError('engine-failed', 'nothing is known before the model is loaded');
    return this.#info;
  }

  /** @type {import('./types.d.ts').Moue['predict']} */
  async predict(source, { signal, ...options } = {}) {
    if (this.#ended) throw this.#ended;
    if (signal?.aborted) throw aborted(signal);
    checkQuestion(options);
    const id = this.#next++;
    const begin = performance.now();
    /** @type {() => void} */
    let forget = () => undefined;
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, { resolve, reject });
        const abort = () => {
          reject(aborted(/** @type {AbortSignal} */ (signal)));
          this.#send({ cancel: id });
        };
        signal?.addEventListener('abort', abort, { once: true });
        forget = () => signal?.removeEventListener('abort', abort);
        const read = pixelsOf(source);
        read.catch(reject);
        // Sources are decoded side by side but sent in the order of the calls.
        this.#sent = this.#sent.then(() => read).then((pixels) => {
          if (this.#pending.has(id)) this.#send({ id, pixels, options }, ['bitmap' in pixels ? pixels.bitmap : pixels.rgba]);
          else if ('bitmap' in pixels) pixels.bitmap.close();
        }, () => undefined);
      }).then((prediction) => {
        prediction.timings.total = performance.now() - begin;
        return prediction;
      });
    } finally {
      this.#pending.delete(id);
      forget();
    }
  }

  dispose() {
    this.#end(new MoueError('disposed', 'this object was disposed of; create another'));
  }

  /** @param {MoueError} error */
  #end(error) {
    if (this.#ended) return;
    this.#ended = error;
    // Terminating is the one way that also ends a computation under way; the browser frees the rest.
    this.#worker?.terminate();
    this.#failed(error);
    this.#rejectComplete(error);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  /**
   * @param {import('./messages.d.ts').ToWorker} message
   * @param {Transferable[]} [transfer]
   */
  #send(message, transfer = []) {
    if (!this.#ended) this.#worker?.postMessage(message, transfer);
  }

  /** @param {import('./messages.d.ts').FromWorker} message */
  #receive(message) {
    if ('id' in message) {
      const asked = this.#pending.get(message.id);
      if ('prediction' in message) asked?.resolve(message.prediction);
      else asked?.reject(revive(message.failure));
      return;
    }
    switch (message.event) {
      case 'progress': this.#onProgress(message.progress); break;
      case 'info': this.#info = message.info; break;
      case 'ready': this.#ready(); break;
      case 'complete': this.#resolveComplete(); break;
      case 'failed':
        if (this.#info === null) this.#end(revive(message.failure));
        else this.#rejectComplete(revive(message.failure));
        break;
    }
  }
}

/** @param {Failure} failure */
function revive({ code, message }) {
  return new MoueError(code, message);
}

/** @param {import('./types.d.ts').PredictOptions} options */
function checkQuestion({ branches = 0, face = 'detect', maxFaces = 8 }) {
  if (!Number.isInteger(branches) || branches < 0) {
    throw new MoueError('bad-option', `branches: expected 0 or a number of branches, found ${branches}`);
  }
  if (!Number.isInteger(maxFaces) || maxFaces < 1) {
    throw new MoueError('bad-option', `maxFaces: expected 1 or more, found ${maxFaces}`);
  }
  const boxes = Array.isArray(face) ? face : typeof face === 'object' ? [face] : [];
  if (typeof face === 'string' && !['detect', 'none'].includes(face)) {
    throw new MoueError('bad-option', `face: expected detect, none or a box, found ${face}`);
  }
  for (const box of boxes) {
    const numbers = [box?.x, box?.y, box?.width, box?.height];
    if (!numbers.every(Number.isFinite) || !(box.width > 0 && box.height > 0)) {
      throw new MoueError('bad-option', `face: expected a box with finite x, y, width, height above 0, found ${JSON.stringify(box)}`);
    }
  }
}
