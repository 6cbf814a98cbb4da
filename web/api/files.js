/** Files of the model and the detector: fetched in pieces, kept in the browser's Cache API under a version. */

import { MoueError } from './error.js';

const CACHE = 'moue-files';
const VERSION = 'x-moue-version';
/** Marks the key of a copy in the cache, so that it is never taken for the address itself. */
const KEY = 'moue-version';

/** @typedef {import('./types.d.ts').Source} Source */
/** A file on its way: where from, how long, its pieces.
 * @typedef {{ source: Source, total: number | null, pieces: ReadableStream<Uint8Array> }} Incoming */

/** @param {boolean} [make] @returns {Promise<Cache | null>} null where nothing is kept or may be: not served over https, or private */
async function openCache(make = false) {
  try {
    if (!make && !await globalThis.caches?.has(CACHE)) return null;
    return await globalThis.caches?.open(CACHE) ?? null;
  } catch {
    return null;
  }
}

/**
 * @param {string} url
 * @param {string} version
 */
function keyOf(url, version) {
  const key = new URL(url);
  key.searchParams.set(KEY, version);
  key.hash = '';
  return key.href;
}

/** @param {string} key */
function urlOf(key) {
  const url = new URL(key);
  url.searchParams.delete(KEY);
  return url.href;
}

/** @param {string} url */
function withoutHash(url) {
  const plain = new URL(url);
  plain.hash = '';
  return plain.href;
}

/** @param {Response} response */
function lengthOf(response) {
  // A compressed body is longer than its length says.
  if (response.headers.get('content-encoding')) return null;
  const length = Number(response.headers.get('content-length') ?? NaN);
  return Number.isFinite(length) ? length : null;
}

/**
 * A file's pieces: from the cache if it holds this version, else from the network.
 * @param {string} url
 * @param {{ version?: string, useCache: boolean, signal?: AbortSignal }} options
 * @returns {Promise<Incoming>}
 */
export async function open(url, { version, useCache, signal }) {
  const cache = useCache ? await openCache() : null;
  if (cache && version !== undefined) {
    const kept = await cache.match(keyOf(url, version));
    if (kept?.body) return { source: 'cache', total: lengthOf(kept), pieces: kept.body };
  }
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, { signal, cache: 'no-cache' });
  } catch (thrown) {
    signal?.throwIfAborted();
    // Unreachable: any copy serves if the caller named no version.
    const kept = version === undefined ? await newest(cache, url) : null;
    if (kept?.body) return { source: 'cache', total: lengthOf(kept), pieces: kept.body };
    throw new MoueError('download-failed', `${url} could not be fetched: ${thrown instanceof Error ? thrown.message : thrown}`, { cause: thrown });
  }
  if (!response.ok || !response.body) {
    throw new MoueError('download-failed', `${url} could not be fetched: the server answered ${response.status} ${response.statusText}`);
  }
  return { source: 'network', total: lengthOf(response), pieces: response.body };
}

/**
 * @param {Cache | null} cache
 * @param {string} url
 */
async function newest(cache, url) {
  const keys = await cache?.keys() ?? [];
  const key = keys.find((request) => urlOf(request.url) === withoutHash(url));
  return key ? cache?.match(key) ?? null : null;
}

/**
 * Keeps a file whole, in place of all other versions of it.
 * @param {string} url
 * @param {string} version
 * @param {Uint8Array[]} pieces
 */
export async function keep(url, version, pieces) {
  const cache = await openCache(true);
  if (!cache) throw new MoueError('download-failed', 'this browser keeps no files for this page');
  const blob = new Blob(/** @type {BlobPart[]} */ (pieces));
  const headers = { 'content-length': String(blob.size), 'content-type': 'application/octet-stream', [VERSION]: encodeURIComponent(version) };
  const key = keyOf(url, version);
  await cache.put(key, new Response(blob, { headers }));
  for (const other of await cache.keys()) {
    if (other.url !== key && urlOf(other.url) === withoutHash(url)) await cache.delete(other);
  }
}

/** @type {typeof import('./types.d.ts').cachedFiles} */
export async function cachedFiles() {
  const cache = await openCache();
  const files = [];
  for (const request of await cache?.keys() ?? []) {
    const response = await cache?.match(request);
    files.push({
      url: urlOf(request.url),
      version: decodeURIComponent(response?.headers.get(VERSION) ?? ''),
      bytes: Number(response?.headers.get('content-length') ?? 0),
    });
  }
  return files;
}

/** @type {typeof import('./types.d.ts').deleteCachedFiles} */
export async function deleteCachedFiles() {
  const count = (await cachedFiles()).length;
  await globalThis.caches?.delete(CACHE);
  return count;
}
