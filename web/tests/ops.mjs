// Runs the op tests and golden files on a page: node tests/ops.mjs --browser chromium|firefox --backend webgpu|cpu --built DIR
// [--only WORDS] [--golden FILE]…
// The folder is what `cargo xtask web` writes for tests (target/web-ops). First a line of JSON that says what runs there,
// then one line per test as run.mjs prints them, and the sum. Exit code 1 if one failed.
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { findBrowser, launch } from './browser.mjs';
import { blank } from './registry.mjs';
import { WEB, serve } from './server.mjs';

const { values: options } = parseArgs({
  options: {
    browser: { type: 'string', default: 'chromium' }, backend: { type: 'string', default: 'webgpu' },
    built: { type: 'string', default: join(WEB, '../target/web-ops') }, only: { type: 'string', default: '' },
    golden: { type: 'string', multiple: true, default: [] },
  },
});
const name = /** @type {import('./browser.mjs').Name} */ (options.browser);
if (!findBrowser(name)) {
  console.error(`--browser: expected an installed browser, found no ${name}; give its path in ${name.toUpperCase()}`);
  process.exit(2);
}

/** What waits for the GPU within a call, which a page cannot. */
const WAITS = options.backend === 'webgpu' ? ['programs::the_first_value_that_is_not_finite_is_named'] : [];
/** How long a test may take. */
const SECONDS = 300;

const files = Object.fromEntries(['ops.js', 'ops_bg.wasm'].map((file) => [`tests/built/${file}`, readFileSync(join(options.built, file))]));
const goldens = options.golden.map((path, index) => {
  files[`tests/built/${index}.safetensors`] = readFileSync(path);
  return `golden::${basename(path, '.safetensors')}`;
});
const server = await serve({ root: WEB, files });
const browser = await launch(name);
/** @type {(() => unknown)[]} */
const ends = [];

/** A page with the tests and an open device. */
async function fresh() {
  for (const end of ends.splice(0).reverse()) await end();
  const page = await blank({ browser, name, ends, options: {} }, server);
  page.setDefaultTimeout(SECONDS * 1000);
  const opened = await page.evaluate(async (backend) => {
    const built = /** @type {string} */ ('/tests/built/ops.js');
    const { default: init, Cases } = await import(built);
    await init({ module_or_path: '/tests/built/ops_bg.wasm' });
    /** @type {any} */ (globalThis).cases = await Cases.open(backend);
    return { device: /** @type {any} */ (globalThis).cases.device(), names: /** @type {any} */ (globalThis).cases.names() };
  }, options.backend);
  return { page, ...opened };
}

/** Tests from one on, until some time has passed: for each why it failed; a trap ends the page's engine.
 * @param {import('puppeteer-core').Page} page @param {number[]} list */
const some = (page, list) => page.evaluate(async (indices, seconds) => {
  const { cases } = /** @type {any} */ (globalThis);
  /** @type {{ why: string | undefined, trapped: boolean }[]} */
  const results = [];
  const begin = performance.now();
  for (const index of indices) {
    /** @type {Promise<never>} */
    const limit = new Promise((_, reject) => { setTimeout(() => reject(new Error(`took longer than ${seconds} s`)), seconds * 1000); });
    const golden = async () => cases.golden(new Uint8Array(await (await fetch(`/tests/built/${-1 - index}.safetensors`)).arrayBuffer()));
    try {
      results.push({ why: await Promise.race([index < 0 ? golden() : cases.run(index), limit]), trapped: false });
    } catch (thrown) {
      results.push({ why: String(thrown), trapped: true });
      break;
    }
    if (performance.now() - begin > 2000) break;
  }
  return results;
}, list, SECONDS);

const sum = { ok: 0, failed: 0, ignored: 0 };
try {
  let { page, device, names } = await fresh();
  console.log(JSON.stringify({ browser: await browser.version(), device, backend: options.backend }));
  /** @type {(index: number) => string} */
  const called = (index) => (index < 0 ? goldens[-1 - index] : names[index]) ?? '';
  const all = [...names.keys(), ...goldens.map((_, index) => -1 - index)].filter((index) => called(index).includes(options.only));
  for (const index of all.filter((each) => WAITS.includes(called(each)))) {
    sum.ignored += 1;
    console.log(`ignored ${called(index)}: it waits for the GPU within a call, which a page cannot`);
  }
  let left = all.filter((index) => !WAITS.includes(called(index)));
  while (left.length > 0) {
    const results = await some(page, left);
    results.forEach(({ why }, at) => {
      sum[why === undefined ? 'ok' : 'failed'] += 1;
      console.log(why === undefined ? `ok ${called(left[at] ?? 0)}` : `FAILED ${called(left[at] ?? 0)}: ${why.replaceAll('\n', ' ')}`);
    });
    left = left.slice(results.length);
    if (results.at(-1)?.trapped && left.length > 0) ({ page } = await fresh());
  }
  console.log(`${sum.ok} passed, ${sum.failed} failed, ${sum.ignored} ignored`);
} finally {
  await browser.close();
  await server.stop();
}
process.exit(sum.failed > 0 ? 1 : 0);
