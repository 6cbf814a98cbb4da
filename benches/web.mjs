// Times the engine of a built page in headless Chromium, at one image.
// usage: node benches/web.mjs MODEL [cpu|webgpu] [ROUNDS] [BRANCHES] [DIST]; needs puppeteer-core in web/node_modules
// prints one JSON line: milliseconds to start, to take the model, for the first answer and for further ones, and the last
// answer's probabilities, by which two devices can be compared.
import { execSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = fileURLToPath(new URL('../web/', import.meta.url));
const [model, backend = 'cpu', rounds = '15', branches = '0', dist = join(web, 'dist')] = process.argv.slice(2);
const puppeteer = createRequire(join(web, 'x.js'))('puppeteer-core');

async function time(backend, rounds, branches) {
  const { default: init, Engine } = await import('/moue.js');
  const bytes = new Uint8Array(await (await fetch('/model')).arrayBuffer());
  const begin = performance.now();
  await init({ module_or_path: '/moue_bg.wasm' });
  const engine = await Engine.create(backend, true);
  const started = performance.now();
  engine.push_model(bytes);
  engine.end_model();
  const taken = performance.now();
  const { size, parameters } = engine.info();
  const rgba = Uint8Array.from({ length: 4 * size * size }, (_, i) => (i * i * 31) >> 7);
  const times = [];
  let answer;
  for (let i = 0; i <= rounds; i++) {
    const from = performance.now();
    answer = await engine.predict(rgba, size, size, null, branches, true);
    times.push(performance.now() - from);
  }
  const first = times.shift();
  times.sort((a, b) => a - b);
  const round = (value) => Number(value.toFixed(2));
  return {
    device: engine.device(), size, parameters, start_ms: round(started - begin), model_ms: round(taken - started),
    first_ms: round(first), median_ms: round(times[times.length >> 1]), least_ms: round(times[0]),
    most_ms: round(times.at(-1)), last: answer.milliseconds,
    probabilities: answer.branches.map((branch) => [...branch.probabilities]),
    determinants: [answer.spatial?.determinant, answer.channel?.determinant],
    attention: answer.branches.map((branch) => [...(branch.attention?.values ?? [])].slice(0, 4)),
  };
}

const types = { '.js': 'text/javascript', '.wasm': 'application/wasm' };
const server = createServer((request, response) => {
  const path = request.url.split('?')[0];
  try {
    const body = path === '/' ? '<!doctype html>' : readFileSync(path === '/model' ? resolve(model) : join(dist, path.slice(1)));
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'text/html' });
    response.end(body);
  } catch {
    response.writeHead(404);
    response.end();
  }
}).listen(0, '127.0.0.1');
await new Promise((ready) => server.once('listening', ready));
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? execSync('command -v chromium').toString().trim(),
  args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'],
  protocolTimeout: 600_000,
});
try {
  const page = await browser.newPage();
  page.on('console', (message) => console.error(message.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  console.log(JSON.stringify(await page.evaluate(time, backend, Number(rounds), Number(branches))));
} finally {
  await browser.close();
  server.close();
}
