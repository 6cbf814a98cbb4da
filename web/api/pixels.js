/** Sources of pixels: measured before they are decoded, then handed to the worker without touching the caller's. */

import { MoueError, asMoueError } from './error.js';
import { MAX_EDGE, MAX_PIXELS, WORKING_EDGE } from './limits.js';

/** What the browser does to pixels on its own would make its answers differ from other programs'.
 * @type {ImageBitmapOptions} */
const AS_THEY_ARE = { premultiplyAlpha: 'none', colorSpaceConversion: 'none' };

/**
 * @param {string} name a global class, which this browser or thread may not have
 * @param {unknown} value
 */
function isA(name, value) {
  const type = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (globalThis))[name];
  return typeof type === 'function' && value instanceof type;
}

/**
 * @param {number} width
 * @param {number} height
 */
function checkSize(width, height) {
  if (!(width >= 1 && height >= 1)) {
    throw new MoueError('bad-image', `the image has ${width}×${height} pixels; give one with at least 1×1`);
  }
  if (width > MAX_EDGE || height > MAX_EDGE || width * height > MAX_PIXELS) {
    throw new MoueError('too-large',
      `the image has ${width}×${height} pixels; expected edges of at most ${MAX_EDGE} and at most ${MAX_PIXELS} ` +
      'pixels in all: reduce it first');
  }
}

/**
 * Waits until an image's size is known. Browsers read it from the head of the file, without decoding the rest.
 * @param {HTMLImageElement} image
 */
function loaded(image) {
  if (image.complete) return Promise.resolve();
  return new Promise((resolve, reject) => {
    image.addEventListener('load', () => resolve(undefined), { once: true });
    image.addEventListener('error', () => reject(new MoueError('bad-image', 'the image could not be loaded')), { once: true });
  });
}

/** @param {Blob} blob */
async function checkBlob(blob) {
  if (blob.size === 0) throw new MoueError('bad-image', 'the file is empty; give an image');
  // Without a document, as in a worker, the size is only known after decoding.
  if (typeof Image === 'undefined') return;
  const url = URL.createObjectURL(blob);
  try {
    const image = new Image();
    image.src = url;
    await loaded(image).catch(() => undefined);
    if (image.naturalWidth === 0) {
      throw new MoueError('bad-image', `the file (${blob.type || 'of unknown type'}, ${blob.size} bytes) is no image that ` +
        'this browser can read; give a JPEG, PNG or WebP');
    }
    checkSize(image.naturalWidth, image.naturalHeight);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/**
 * Pixels that can be moved to a worker; the source stays as it was.
 * @param {import('./types.d.ts').ImageInput} source
 * @returns {Promise<import('./messages.d.ts').Pixels>}
 */
export async function pixelsOf(source) {
  if (isA('ImageData', source)) {
    const { data, width, height } = /** @type {ImageData} */ (source);
    checkSize(width, height);
    if (Math.max(width, height) <= WORKING_EDGE && data instanceof Uint8ClampedArray) {
      return { rgba: data.slice().buffer, width, height };
    }
  } else if (isA('Blob', source)) {
    await checkBlob(/** @type {Blob} */ (source));
  } else if (isA('HTMLImageElement', source)) {
    const image = /** @type {HTMLImageElement} */ (source);
    await loaded(image);
    checkSize(image.naturalWidth, image.naturalHeight);
  } else if (isA('HTMLVideoElement', source)) {
    const video = /** @type {HTMLVideoElement} */ (source);
    if (video.readyState < video.HAVE_CURRENT_DATA) {
      throw new MoueError('bad-image', 'the video has no frame yet; wait for its event `loadeddata`');
    }
    checkSize(video.videoWidth, video.videoHeight);
  } else if (isA('VideoFrame', source)) {
    const frame = /** @type {VideoFrame} */ (source);
    checkSize(frame.displayWidth, frame.displayHeight);
  } else if (['ImageBitmap', 'HTMLCanvasElement', 'OffscreenCanvas'].some((name) => isA(name, source))) {
    const { width, height } = /** @type {ImageBitmap} */ (source);
    checkSize(width, height);
  } else {
    throw new MoueError('bad-image', 'expected an image (ImageBitmap, ImageData, VideoFrame, an image, video or canvas ' +
      `element, or a Blob), found ${source === null ? 'null' : typeof source}`);
  }
  return { bitmap: await decoded(/** @type {ImageBitmapSource} */ (source)) };
}

/** @type {typeof import('./types.d.ts').readImage} */
export async function readImage(file) {
  await checkBlob(file);
  return decoded(file);
}

/** @param {ImageBitmapSource} source */
async function decoded(source) {
  try {
    return await createImageBitmap(source, AS_THEY_ARE);
  } catch (thrown) {
    const { message } = asMoueError(thrown);
    throw new MoueError('bad-image', `the image could not be decoded: ${message}`, { cause: thrown });
  }
}
