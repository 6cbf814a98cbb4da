/**
 * The service worker: the page works offline, and is never older than what the server has.
 *
 * Each visit first asks for `files.json`, the list of the site's files with their hashes. If it names another version
 * than the one kept, the files that changed are fetched and compared with their hashes, and the new version takes the
 * old one's place as a whole; only then is the visit answered. Without a network the kept version answers. Models and
 * the face detector are kept by the API, under versions of their own.
 */

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const PREFIX = 'moue-page-';
const LIST = 'files.json';
const BASE = new URL('./', scope.location.href).href;

/** @typedef {{ version: string, files: Record<string, string> }} List */

/** @param {string} path */
const isApart = (path) => path.startsWith('models/') || path === 'face_detector.bin' || path === 'sw.js';

scope.addEventListener('install', (event) => event.waitUntil(scope.skipWaiting()));
scope.addEventListener('activate', (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener('message', (event) => {
  if (event.data === 'keep') event.waitUntil(renew().finally(() => event.ports[0]?.postMessage('kept')));
});
scope.addEventListener('fetch', (event) => {
  const { method, mode, url } = event.request;
  const plain = url.split(/[?#]/)[0] ?? '';
  if (method !== 'GET' || !plain.startsWith(BASE)) return;
  const path = plain.slice(BASE.length) || 'index.html';
  if (isApart(path)) return;
  event.respondWith(answer(event.request, path, mode === 'navigate'));
});

/**
 * @param {Request} request
 * @param {string} path
 * @param {boolean} isVisit
 */
async function answer(request, path, isVisit) {
  if (isVisit) await renew();
  const kept = await current();
  return await kept?.cache.match(BASE + path) ?? fetch(request);
}

/** The version that is kept whole: its list was put last.
 * @returns {Promise<{ cache: Cache, name: string, list: List } | null>} */
async function current() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX));
  for (const name of names.reverse()) {
    const cache = await caches.open(name);
    const list = await cache.match(BASE + LIST);
    if (list) return { cache, name, list: await list.json() };
  }
  return null;
}

/** @type {Promise<void> | null} */
let renewing = null;
/** Keeps the server's version, if it can be reached and is another; never fails. */
function renew() {
  renewing ??= renewOnce().catch(() => undefined).finally(() => { renewing = null; });
  return renewing;
}

async function renewOnce() {
  const response = await fetch(BASE + LIST, { cache: 'no-store', signal: AbortSignal.timeout(4000) });
  if (!response.ok) return;
  /** @type {List} */
  const list = await response.clone().json();
  const old = await current();
  if (old?.list.version === list.version) return;
  const name = PREFIX + list.version;
  const cache = await caches.open(name);
  await Promise.all(Object.entries(list.files).filter(([path]) => !isApart(path)).map(async ([path, hash]) => {
    const same = old?.list.files[path] === hash ? await old.cache.match(BASE + path) : undefined;
    await cache.put(BASE + path, same ?? await fetched(path, hash));
  }));
  await cache.put(BASE + LIST, response);
  for (const other of await caches.keys()) {
    if (other.startsWith(PREFIX) && other !== name) await caches.delete(other);
  }
}

/** The file with this hash; an older one may still lie in the browser's own cache.
 * @param {string} path
 * @param {string} hash
 */
async function fetched(path, hash) {
  for (const cache of /** @type {RequestCache[]} */ (['no-cache', 'reload'])) {
    const response = await fetch(BASE + path, { cache });
    if (!response.ok) continue;
    const digest = await crypto.subtle.digest('SHA-256', await response.clone().arrayBuffer());
    const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (hex === hash) return response;
  }
  throw new Error(`${path} is not the file that ${LIST} lists`);
}
