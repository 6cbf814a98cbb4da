// A stand-in for the engine: the same contract with made-up numbers, and devices and failures that this machine does
// not have. The server that hands it out writes in how it behaves:
//   adapter=real|software|none (default none)   what WebGPU offers
//   lose=N      the device is lost at the Nth prediction; again=1: the device made anew is lost as well
//   slow=MS     what a prediction takes
//   trap=1      predictions end as a wasm trap does
// Its model file: `moue-double`, a line of JSON { classes, branches, branch_bytes, … }, then that many bytes each.

const behaviour = new URLSearchParams('BEHAVIOUR');
const number = (/** @type {string} */ name) => Number(behaviour.get(name) ?? 0);
const HEAD = 'moue-double\n';
let loseIn = number('lose');
let calls = 0;

export default async function init(/** @type {any} */ arg) {
  const response = await arg.module_or_path;
  if (response instanceof Response) await response.arrayBuffer();
}

function failure(/** @type {string} */ code, /** @type {string} */ message) {
  return Object.assign(new Error(message), { code });
}

export class Engine {
  static async create(/** @type {string} */ backend, /** @type {boolean} */ allowSoftware) {
    const adapter = behaviour.get('adapter') ?? 'none';
    if (backend === 'webgpu') {
      if (adapter === 'none') throw failure('no-adapter', 'this browser offers no WebGPU adapter');
      if (adapter === 'software' && !allowSoftware) throw failure('software-adapter', 'the adapter `pretence` computes on the processor');
    }
    const engine = new Engine();
    engine.backend = backend;
    engine.software = adapter === 'software';
    return engine;
  }

  backend = 'cpu';
  software = false;
  lost = false;
  /** @type {any} */ head = null;
  bytes = new Uint8Array(0);
  offset = 0;
  detector = false;

  device() {
    const gpu = this.backend === 'webgpu';
    return { kind: gpu ? 'gpu' : 'cpu', name: gpu ? 'a pretended GPU' : 'wasm', detail: 'double', software: gpu && this.software };
  }

  begin_model() {
    this.head = null;
    this.bytes = new Uint8Array(0);
  }

  push_model(/** @type {Uint8Array} */ piece) {
    const joined = new Uint8Array(this.bytes.length + piece.length);
    joined.set(this.bytes);
    joined.set(piece, this.bytes.length);
    this.bytes = joined;
    if (!this.head && joined.length >= HEAD.length) {
      if (new TextDecoder().decode(joined.subarray(0, HEAD.length)) !== HEAD) throw failure('model-foreign', 'expected a model of the double, found other bytes');
      const end = joined.indexOf(10, HEAD.length);
      if (end > 0) {
        this.head = JSON.parse(new TextDecoder().decode(joined.subarray(HEAD.length, end)));
        this.offset = end + 1;
        if (this.head.mismatch) throw failure('model-mismatch', 'a tensor has another shape than its network');
      }
    }
    const total = this.head ? this.offset + this.head.branches * this.head.branch_bytes : null;
    return { branches: this.usable(), total_branches: this.head?.branches ?? null, total_bytes: total };
  }

  usable() {
    return this.head ? Math.min(this.head.branches, Math.floor((this.bytes.length - this.offset) / this.head.branch_bytes)) : 0;
  }

  end_model() {
    if (!this.head || this.usable() < this.head.branches) throw failure('model-truncated', `expected ${this.head?.branches} branches, found ${this.usable()}`);
  }

  info() {
    const { classes, size = 48 } = this.head;
    return {
      classes, branches: this.usable(), size, colour: 'rgb', parameters: 1234567, attention: true,
      heads: this.head.heads ?? Array.from({ length: this.head.branches }, (_, i) => `branch${i}`), votes: this.head.votes ?? true,
      architecture: this.head.architecture ?? { model: 'esr', branches: this.head.branches },
      data: this.head.data ?? null, result: this.head.result ?? null, answer: this.head.answer ?? null, created_by: 'the double',
    };
  }

  async predict(/** @type {Uint8Array} */ rgba, /** @type {number} */ width, /** @type {number} */ height, /** @type {any} */ box, /** @type {number} */ branches, /** @type {boolean} */ attention) {
    const begin = performance.now();
    calls += 1;
    if (this.usable() === 0) throw failure('no-model', 'no branch is loaded');
    if (rgba.length !== width * height * 4 || width === 0) throw failure('bad-image', 'the pixels do not fill the image');
    if (number('slow')) await new Promise((resolve) => setTimeout(resolve, number('slow')));
    if (behaviour.has('trap')) throw new WebAssembly.RuntimeError('unreachable');
    if (this.backend === 'webgpu' && loseIn > 0 && calls >= loseIn) {
      if (!behaviour.has('again')) loseIn = 0;
      throw failure('device-lost', 'the GPU was lost');
    }
    const used = branches === 0 || this.head.votes === false ? this.usable() : Math.min(branches, this.usable());
    const area = box ?? { x: 0, y: 0, width, height };
    let sum = 0;
    for (let y = area.y; y < area.y + area.height; y += 1) for (let x = area.x; x < area.x + area.width; x += 1) sum += rgba[(y * width + x) * 4] ?? 0;
    const mean = sum / (area.width * area.height * 255);
    const n = this.head.classes.length;
    const answers = Array.from({ length: used }, (_, b) => {
      const logits = Array.from({ length: n }, (_, c) => 1.8 * Math.cos(2 * Math.PI * (c / n - mean) + (b % 3) * 0.7) * (b === 3 ? -1 : 1));
      const exp = logits.map(Math.exp);
      const total = exp.reduce((a, v) => a + v);
      const probabilities = Float32Array.from(exp, (v) => v / total);
      const side = 12;
      const [cx, cy] = [3 + (b * 5) % 7, 3 + (b * 3) % 8];
      const values = Float32Array.from({ length: side * side }, (_, i) => Math.exp(-(((i % side) - cx) ** 2 + (Math.floor(i / side) - cy) ** 2) / 10));
      return { probabilities, class: probabilities.indexOf(Math.max(...probabilities)), attention: attention ? { width: side, height: side, values } : null };
    });
    const probabilities = new Float32Array(n).map((_, c) => answers.reduce((a, { probabilities }) => a + (probabilities[c] ?? 0), 0) / used);
    const votes = new Uint32Array(n);
    for (const { class: vote } of answers) votes[vote] = (votes[vote] ?? 0) + 1;
    const similarity = (/** @type {number} */ s) => used < 2 ? null : {
      similarity: Float32Array.from({ length: used * used }, (_, i) => Math.floor(i / used) === i % used ? 1 : s / (1 + Math.abs(Math.floor(i / used) - i % used))),
      determinant: 0.3 / used,
    };
    return {
      probabilities, mean: probabilities.slice(), votes, class: probabilities.indexOf(Math.max(...probabilities)), vote: votes.indexOf(Math.max(...votes)), branches: answers,
      spatial: similarity(0.7), channel: similarity(0.4), gamma: { spatial: 0.01, channel: 0.01 },
      milliseconds: { prepare: 0.1, run: performance.now() - begin, read: 0.1 },
    };
  }

  load_detector(/** @type {Uint8Array} */ bytes) {
    if (bytes.length < 4) throw failure('detector-foreign', 'no detector');
    this.detector = true;
  }

  detect(/** @type {Uint8Array} */ rgba, /** @type {number} */ width, /** @type {number} */ height) {
    if (!this.detector) throw failure('no-detector', 'no detector is loaded');
    // An even picture shows nobody.
    if (rgba.every((value, i) => value === rgba[i % 4])) return [];
    const side = Math.round(Math.min(width, height) * 0.5);
    return [{ x: Math.round((width - side) / 2), y: Math.round((height - side) / 4), width: side, height: side, score: 9.5 }];
  }

  free() {}
}
