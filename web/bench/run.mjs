// Times the page's engine in headless Chromium, as ../shared/peer/ort_web/run.mjs times ONNX Runtime Web in it: batch 1,
// one thread, the same model. usage:
//   node bench/run.mjs --dist web/dist --model MODEL [--backend cpu|webgpu] [--runs 7]   the engine alone
//   node bench/run.mjs --dist web/dist --first [--model MODEL]   from navigation to the page's first answer, warm HTTP cache
// MODEL is a file of `moue export --web`. One JSON line on stdout: engine bytes fetched, load time, run times in milliseconds.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { launch } from '../tests/browser.mjs';
import { serve } from '../tests/server.mjs';

const { values } = parseArgs({
  options: {
    dist: { type: 'string', default: 'dist' }, model: { type: 'string' }, backend: { type: 'string', default: 'cpu' },
    runs: { type: 'string', default: '7' }, first: { type: 'boolean', default: false },
  },
});
const files = values.model ? { 'models/esr.safetensors': readFileSync(values.model) } : undefined;
const server = await serve({ root: values.dist, files });
const browser = await launch('chromium');
const page = await browser.newPage();
const sum = (/** @type {string[]} */ paths) => paths.reduce((all, path) => all + readFileSync(`${values.dist}/${path}`).length, 0);
const engineBytes = sum(['moue.js', 'moue_bg.wasm']);

/** @param {number[]} times */
const median = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];

if (values.first) {
  /** @type {number[]} */
  const times = [];
  for (let i = 0; i <= Number(values.runs); i += 1) {
    await page.goto(server.url);
    await page.waitForSelector('[data-state=ready]', { timeout: 120_000 });
    const at = await page.evaluate(() => performance.getEntriesByName('first-answer')[0]?.startTime ?? NaN);
    // The first visit fills the caches.
    if (i > 0) times.push(Number(at.toFixed(1)));
    // The HTTP cache is what is to be warm; the page's own copy would be faster still.
    await page.evaluate(async () => {
      for (const registration of await navigator.serviceWorker.getRegistrations()) await registration.unregister();
      for (const name of await caches.keys()) await caches.delete(name);
    });
  }
  const backend = await page.$eval('#badge', (element) => element.textContent);
  console.log(JSON.stringify({ engine: 'moue', what: 'navigation to first answer', backend, median_ms: median(times), runs_ms: times }));
} else {
  await page.goto(`${server.url}tests/blank.html`);
  const measured = await page.evaluate(async (backend, runs) => {
    const { start } = await import('/tests/inpage.js');
    const begin = performance.now();
    const moue = await start({ backend, allowSoftware: true });
    await moue.complete;
    const load = performance.now() - begin;
    const { size } = moue.info.model;
    const image = new ImageData(size, size);
    for (let i = 0; i < image.data.length; i += 1) image.data[i] = i % 4 === 3 ? 255 : Math.random() * 255;
    const times = [];
    const inside = [];
    for (let i = 0; i < runs; i += 1) {
      const t = performance.now();
      const { timings } = await moue.predict(image, { face: 'none' });
      times.push(Number((performance.now() - t).toFixed(1)));
      inside.push(Number(timings.run.toFixed(1)));
    }
    return { kind: moue.info.backend.kind, name: moue.info.backend.name, branches: moue.info.model.branches, size, load_ms: Math.round(load), runs_ms: times, network_ms: inside };
  }, values.backend, Number(values.runs));
  if (measured.kind !== values.backend) throw new Error(`expected ${values.backend}, found ${measured.kind}`);
  console.log(JSON.stringify({ engine: 'moue', threads: 1, engine_bytes: engineBytes, ...measured, median_ms: median(measured.runs_ms.slice(1)) }));
}
await browser.close();
await server.stop();
