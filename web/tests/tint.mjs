// Gives every shader of the GPU executor to Tint, Chromium's compiler of WGSL: node tests/tint.mjs LIST
// The list is what `tests/shaders.rs` writes (`shaders.json`). Dawn's null backend has no device, but compiles modules and
// pipelines with their constants as a browser does. One line per module as run.mjs prints them, and the sum. Exit code 1
// if one failed.
import { readFileSync } from 'node:fs';
import { create, globals } from 'webgpu';

/**
 * A shader with maps of one kind. `constants` are all sets of values that the executor gives it; `extension` is one that
 * only naga has.
 * @typedef {{ name: string, text: string, entries: string[], constants: Record<string, number>[], extension: string | null }} Listed
 */

const gpu = create(['backend=null']);
// Within reach to the end: Dawn ends with the object.
Object.assign(globalThis, globals, { gpu });
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error('Dawn has no null adapter');
const requiredFeatures = /** @type {GPUFeatureName[]} */ (['shader-f16', 'subgroups']);
// Without limits: what every browser grants.
const device = await adapter.requestDevice({ requiredFeatures });

/** Each pipeline in turn. @param {Listed} shader @returns {Promise<number>} how many there are; throws what Tint says */
async function compile({ text, entries, constants }) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code: text });
  const { messages } = await module.getCompilationInfo();
  const error = await device.popErrorScope();
  const said = messages.filter(({ type }) => type === 'error').map(({ lineNum, message }) => `${text.split('\n')[lineNum - 1]?.trim()}: ${message}`);
  if (error || said.length > 0) throw new Error(said[0] ?? error?.message);
  for (const entryPoint of entries) {
    for (const set of constants) {
      device.pushErrorScope('validation');
      device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint, constants: set } });
      const refused = await device.popErrorScope();
      if (refused) throw new Error(`${entryPoint} with ${JSON.stringify(set)}: ${refused.message}`);
    }
  }
  return entries.length * constants.length;
}

/** @param {() => Promise<unknown>} action @param {string} word @returns {Promise<void>} throws where it doesn't throw an error with the word */
async function isRefused(action, word) {
  let said = 'nothing';
  try {
    await action();
  } catch (error) {
    said = String(error);
  }
  if (!said.includes(word)) throw new Error(`expected an error with \`${word}\`, found: ${said}`);
}

const sum = { ok: 0, failed: 0, ignored: 0 };

/** @param {string} name @param {() => Promise<string | void>} check returns a reason where it may not count as passed */
async function test(name, check) {
  try {
    const ignored = await check();
    sum[ignored ? 'ignored' : 'ok'] += 1;
    console.log(ignored ? `ignored ${name}: ${ignored}` : `ok ${name}`);
  } catch (error) {
    sum.failed += 1;
    console.log(`FAILED ${name}: ${String(error).replaceAll('\n', ' ')}`);
  }
}

// Broken once, to see that faults of each kind are found.
const wrong = (/** @type {string} */ text, constants = {}) => ({ name: '', text, entries: ['main'], constants: [constants], extension: null });
await test('a module that is not WGSL is refused', () =>
  isRefused(() => compile(wrong('@compute @workgroup_size(1) fn main() { let a = 1u != 0u & 2u != 0u; }')), 'mixing'));
await test('a pipeline is refused that exceeds what browsers grant once its constants are set', () =>
  isRefused(() => compile(wrong('override N: u32 = 1u; @compute @workgroup_size(N) fn main() {}', { N: 512 })), '512'));

const path = process.argv[2];
if (!path) throw new Error('expected the path of shaders.json');
const shaders = /** @type {Listed[]} */ (JSON.parse(readFileSync(path, 'utf8')));
let pipelines = 0;
for (const shader of shaders) {
  await test(shader.name, async () => {
    if (shader.extension) {
      await isRefused(() => compile(shader), shader.extension);
      return `\`enable ${shader.extension}\` is an extension of naga that Tint does not know`;
    }
    pipelines += await compile(shader);
  });
}
console.log(`Tint made ${pipelines} pipelines of ${shaders.length} modules`);
console.log(`${sum.ok} passed, ${sum.failed} failed, ${sum.ignored} ignored`);
process.exit(sum.failed > 0 ? 1 : 0);
