// Times the engine in web/dist under Node, which runs WebAssembly as Chromium does (V8).
// usage: node benches/web.mjs MODEL [ROUNDS] [BRANCHES]
// prints one JSON line: milliseconds to load, for the first answer, and for further ones at one image.
import { readFileSync } from 'node:fs';

const [path, rounds = '15', branches = '0'] = process.argv.slice(2);
const dist = new URL('../web/dist/', import.meta.url);
const { default: init, Engine } = await import(new URL('moue.js', dist).href);
const begin = performance.now();
await init({ module_or_path: readFileSync(new URL('moue_bg.wasm', dist)) });
const engine = await Engine.create('cpu', false);
const started = performance.now();
engine.push_model(readFileSync(path));
engine.end_model();
const loaded = performance.now();
const { size, parameters } = engine.info();
const rgba = Uint8Array.from({ length: 4 * size * size }, (_, i) => (i * i * 31) >> 7);
const times = [], runs = [];
for (let i = 0; i <= Number(rounds); i++) {
  const from = performance.now();
  const answer = await engine.predict(rgba, size, size, null, Number(branches), true);
  times.push(performance.now() - from);
  runs.push(answer.milliseconds.run);
}
const first = times.shift();
const sorted = times.toSorted((a, b) => a - b);
const round = (value) => Number(value.toFixed(2));
console.log(JSON.stringify({
  engine: engine.device().detail, size, parameters, start_ms: round(started - begin), model_ms: round(loaded - started),
  first_ms: round(first), median_ms: round(sorted[sorted.length >> 1]), least_ms: round(sorted[0]), most_ms: round(sorted.at(-1)),
}));
