// Answers a picture with the engine in web/dist under Node, and tries what must be refused; prints one line of JSON.
// usage: node answer.mjs DIST MODEL RGBA WIDTH HEIGHT [DETECTOR]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, modelPath, rgbaPath, width, height] = process.argv.slice(2);
const { default: init, Engine } = await import(pathToFileURL(join(dist, 'moue.js')).href);
await init({ module_or_path: readFileSync(join(dist, 'moue_bg.wasm')) });

const code = (work) => { try { work(); return 'none'; } catch (error) { return error.code ?? String(error); } };
const codeLater = (promise) => promise.then(() => 'none', (error) => error.code ?? String(error));
const model = new Uint8Array(readFileSync(modelPath));
const rgba = new Uint8Array(readFileSync(rgbaPath));
const size = [Number(width), Number(height)];
const codes = {};

const engine = await Engine.create('cpu', false);
codes.empty = await codeLater(engine.predict(rgba, ...size, null, 0, true));
codes.foreign = code(() => engine.push_model(new TextEncoder().encode('GIF89a and so on')));
engine.begin_model();
engine.push_model(model.subarray(0, model.length - 1));
codes.truncated = code(() => engine.end_model());
engine.push_model(model.subarray(model.length - 1));
engine.end_model();
codes.image = await codeLater(engine.predict(rgba, size[0], size[1] + 1, null, 0, true));
codes.box = await codeLater(engine.predict(rgba, ...size, { x: 0 }, 0, true));
codes.huge = await codeLater(engine.predict(new Uint8Array(4), 20000, 20000, null, 0, true));
codes.detector = code(() => engine.load_detector(rgba));
codes.undetected = code(() => engine.detect(rgba, ...size));
codes.webgpu = await codeLater(Engine.create('webgpu', true));
engine.load_detector(readFileSync(join(dist, 'face_detector.bin')));
const faces = engine.detect(rgba, ...size);

const answers = [];
const info = engine.info();
for (let branches = 1; branches <= info.branches; branches++) {
  const first = engine.predict(rgba, ...size, null, branches, true);
  // The CPU executor may have answered already; then nobody is busy.
  const second = codeLater(engine.predict(rgba, ...size, null, branches, true));
  const answer = await first;
  answers.push({
    class: answer.class, vote: answer.vote, probabilities: [...answer.probabilities], mean: [...answer.mean], votes: [...answer.votes],
    branches: answer.branches.map((b) => ({ probabilities: [...b.probabilities], attention: [...b.attention.values] })),
    spatial: answer.spatial && { similarity: [...answer.spatial.similarity], determinant: answer.spatial.determinant },
    channel: answer.channel && { similarity: [...answer.channel.similarity], determinant: answer.channel.determinant },
  });
  const outcome = await second;
  if (outcome !== 'none' && outcome !== 'busy') throw new Error(`two at once: ${outcome}`);
}
const device = engine.device();
const during = engine.predict(rgba, ...size, null, 1, false);
engine.free();
codes.freed = await codeLater(during);
console.log(JSON.stringify({ answers, codes, device, faces: faces.length, info }));
