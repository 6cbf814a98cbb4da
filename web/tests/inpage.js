// What tests call inside a page, beside the API itself.
import { MoueError, createMoue } from '/api/index.js';

export * from '/api/index.js';

/** The code with which a promise rejects; `resolved`, or the whole error if it is of no known kind.
 * @param {Promise<unknown>} promise */
export async function codeOf(promise) {
  try {
    await promise;
    return 'resolved';
  } catch (error) {
    return error instanceof MoueError ? error.code : `untyped: ${error}`;
  }
}

/** A picture with a gradient, so that it is not even. */
export function picture(width = 64, height = 48, shift = 0) {
  const data = new ImageData(width, height);
  for (let i = 0; i < width * height; i += 1) data.data.set([(i + shift) % 256, (i >> 3) % 256, 90, 255], i * 4);
  return data;
}

export function even(width = 64, height = 48) {
  const data = new ImageData(width, height);
  data.data.fill(200);
  return data;
}

export const model = '/models/esr.safetensors';
/** Untyped, since tests also give what types forbid.
 * @param {Record<string, any>} options @returns {Promise<any>} */
export const start = (options = {}) => createMoue({ model, ...options });
export const wait = (/** @type {number} */ ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
/** A prediction as plain numbers, which leave the page.
 * @param {unknown} value @returns {any} */
export const plain = (value) => JSON.parse(JSON.stringify(value, (_, each) => ArrayBuffer.isView(each) ? [.../** @type {Float32Array} */ (each)] : each));
