// A server for the tests: the built page, or the sources with the double in place of the engine; it counts requests and
// can fail in known ways.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const WEB = dirname(dirname(fileURLToPath(import.meta.url)));
/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.jpg': 'image/jpeg', '.png': 'image/png', '.webp': 'image/webp',
};
export const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; " +
  "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What stands in a page of the sources: everything but what only developers need.
 * @param {string} root @returns {string[]} */
function shipped(root) {
  /** @type {string[]} */
  const out = [];
  const walk = (/** @type {string} */ dir) => {
    for (const name of readdirSync(dir).sort()) {
      const path = join(dir, name);
      const below = relative(root, path).split(sep).join('/');
      if (/^(dist|node_modules|tests|bench|package-lock\.json|tsconfig.*|\..*|files\.json)$/.test(below)) continue;
      if (statSync(path).isDirectory()) walk(path);
      else out.push(below);
    }
  };
  walk(root);
  return out;
}

const sha256 = (/** @type {Buffer | string} */ bytes) => createHash('sha256').update(bytes).digest('hex');

/** @typedef {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => void | Promise<void>} Handler */

/**
 * @param {{ root: string, files?: Record<string, Buffer | string> }} options the folder; files added or replaced
 */
export async function serve({ root, files = {} }) {
  /** @type {{ path: string, at: number }[]} */
  const requests = [];
  /** @type {Map<string, Handler>} */
  const handlers = new Map();
  /** @param {string} path @returns {Buffer} */
  const bodyOf = (path) => {
    const added = files[path];
    if (added !== undefined) return Buffer.from(added);
    if (path === 'files.json' && !(shippedHas(root, path) && Object.keys(files).length === 0)) {
      // The built list, with what a test adds to the site.
      /** @type {Record<string, string>} */
      const built = shippedHas(root, path) ? JSON.parse(readFileSync(join(root, path), 'utf8')).files : {};
      const names = new Set([...(shippedHas(root, path) ? Object.keys(built) : shipped(root)), ...Object.keys(files)]);
      /** @type {Record<string, string>} */
      const listed = Object.fromEntries([...names].sort()
        .map((name) => [name, files[name] === undefined && built[name] ? built[name] : sha256(bodyOf(name))]));
      return Buffer.from(JSON.stringify({ version: sha256(JSON.stringify(listed)), files: listed }));
    }
    return readFileSync(path.startsWith('tests/') ? join(WEB, path) : join(root, path));
  };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/').slice(1) || 'index.html';
    requests.push({ path, at: Date.now() });
    try {
      const handler = handlers.get(path);
      if (handler) {
        await handler(request, response);
        return;
      }
      const body = bodyOf(path);
      const etag = `"${sha256(body)}"`;
      const headers = {
        'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'cache-control': 'no-cache', etag,
        'content-security-policy': CSP, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer',
      };
      if (request.headers['if-none-match'] === etag) response.writeHead(304, headers).end();
      else response.writeHead(200, { ...headers, 'content-length': body.length }).end(body);
    } catch {
      if (!response.headersSent) response.writeHead(404);
      response.end();
    }
  });
  let port = 0;
  const listen = () => new Promise((/** @type {(value: void) => void} */ resolve) => server.listen(port, '127.0.0.1', () => {
    port = /** @type {import('node:net').AddressInfo} */ (server.address()).port;
    resolve();
  }));
  await listen();
  return {
    requests,
    handlers,
    files,
    get url() {
      return `http://127.0.0.1:${port}/`;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    /** Again, at the same address. */
    start: listen,
  };
}

/** @param {string} root @param {string} path */
function shippedHas(root, path) {
  try {
    return statSync(join(root, path)).isFile();
  } catch {
    return false;
  }
}

/** A model of the double: see double/moue.js.
 * @param {Record<string, unknown>} [head] */
export function doubleModel(head = {}) {
  const whole = {
    classes: ['neutral', 'happiness', 'surprise', 'sadness', 'anger', 'disgust', 'fear', 'contempt'], branches: 9, branch_bytes: 20_000,
    architecture: { model: 'esr', branches: 9, width: 0.5, size: 48, attention: true },
    data: { source: 'ferplus', hash: 'x', counts: { train: 25045, validation: 3191 } },
    result: { split: 'test', accuracy: 0.8368, images: 3137 }, answer: { temperature: 0.789, tau: 0.2, prior: Array(8).fill(1 / 8) }, ...head,
  };
  return Buffer.concat([Buffer.from(`moue-double\n${JSON.stringify(whole)}\n`), Buffer.alloc(whole.branches * Number(whole.branch_bytes), 7)]);
}

/** The sources with the double as their engine.
 * @param {string} [behaviour] as double/moue.js documents it
 * @returns {Record<string, Buffer | string>} */
export function doubleFiles(behaviour = '') {
  return {
    'moue.js': readFileSync(join(WEB, 'tests/double/moue.js'), 'utf8').replace('BEHAVIOUR', behaviour),
    'moue_bg.wasm': Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]),
    'face_detector.bin': Buffer.alloc(300_000, 3),
    'models/esr.safetensors': doubleModel(),
  };
}
