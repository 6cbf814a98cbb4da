// Runs the browser tests: node tests/run.mjs --browser chromium|firefox [--dist DIR] [--model FILE] [--answers DIR] [--manet FILE] [--only WORDS] [--list]
// One line per test on stdout: `ok NAME`, `FAILED NAME: why` or `ignored NAME: reason`; then the sum. Exit code 1 if one failed.
//
// The tests of the API's and the page's behaviour run on a double of the engine, which also plays devices and failures
// that a machine without a GPU does not have. With --dist, the folder that `cargo xtask web` writes, those of the built
// page run too, each on both backends; --model gives it a model where it ships none. --answers: a folder with face.bmp and
// what the program said of it with that model on each device of the machine (`moue explain --json`). --manet: a MA-Net.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findBrowser, launch } from './browser.mjs';
import { tests } from './registry.mjs';
import './api.mjs';
import './loading.mjs';
import './page.mjs';
import './offline.mjs';
import './built.mjs';

const { values: options } = parseArgs({
  options: {
    browser: { type: 'string', default: 'chromium' }, dist: { type: 'string' }, model: { type: 'string' }, answers: { type: 'string' }, manet: { type: 'string' },
    only: { type: 'string' }, list: { type: 'boolean', default: false },
  },
});
const name = /** @type {import('./browser.mjs').Name} */ (options.browser);
if (!['chromium', 'firefox'].includes(name)) {
  console.error(`--browser: expected chromium or firefox, found ${name}`);
  process.exit(2);
}

/** @param {import('./registry.mjs').Test} test @returns {string | null} why it cannot run here */
function reason({ needs, only }) {
  if (only && only !== name) return `only in ${only}`;
  if (!findBrowser(name)) return `needs ${name} (Debian: ${name === 'firefox' ? 'firefox-esr' : name}), or its path in ${name.toUpperCase()}`;
  if (needs === 'double') return null;
  if (!options.dist || !existsSync(join(options.dist, 'moue_bg.wasm'))) return 'needs the built page: cargo xtask web, then --dist web/dist';
  if (!options.model && !existsSync(join(options.dist, 'models/esr.safetensors'))) return 'needs a model: --model FILE, written by `moue export --web`';
  if (needs === 'answers' && !options.answers) return 'needs the answers of the program: --answers DIR';
  if (needs === 'manet' && !options.manet) return 'needs a MA-Net: --manet FILE, written by `moue export --web`';
  return null;
}

/** @param {number} ms */
const limit = (ms) => new Promise((_, reject) => { setTimeout(() => reject(new Error(`took longer than ${ms / 1000} s`)), ms).unref(); });

const sum = { ok: 0, failed: 0, ignored: 0 };
/** @type {Map<string, import('puppeteer-core').Browser>} Browsers that are running, by how they were started. */
const browsers = new Map();
for (const test of tests.filter((each) => !options.only || each.name.includes(options.only))) {
  if (options.list) {
    console.log(test.name);
    continue;
  }
  const why = reason(test);
  if (why) {
    sum.ignored += 1;
    console.log(`ignored ${test.name}: ${why}`);
    continue;
  }
  const key = JSON.stringify(test.launch ?? {});
  const context = { browser: /** @type {import('puppeteer-core').Browser} */ (/** @type {unknown} */ (null)), name, options, ends: /** @type {(() => unknown)[]} */ ([]) };
  try {
    context.browser = browsers.get(key) ?? await launch(name, test.launch);
    browsers.set(key, context.browser);
    await Promise.race([test.run(context), limit(test.seconds * 1000)]);
    sum.ok += 1;
    console.log(`ok ${test.name}`);
  } catch (thrown) {
    sum.failed += 1;
    const text = thrown instanceof Error ? (process.env.MOUE_TRACE ? thrown.stack : thrown.message) : String(thrown);
    console.log(`FAILED ${test.name}: ${text?.replaceAll('\n', ' ')}`);
    // A browser in which something went wrong may carry it into the next test.
    await context.browser?.close().catch(() => undefined);
    browsers.delete(key);
  } finally {
    for (const end of context.ends.reverse()) await Promise.race([Promise.resolve().then(end), limit(5000)]).catch(() => undefined);
  }
}
for (const browser of browsers.values()) await Promise.race([browser.close(), limit(5000)]).catch(() => undefined);
if (!options.list) console.log(`${sum.ok} passed, ${sum.failed} failed, ${sum.ignored} ignored`);
process.exit(sum.failed > 0 ? 1 : 0);
