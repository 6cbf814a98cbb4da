// The built page with the real engine, on both backends. A silent fallback fails each of these tests.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { badPictures } from './api.mjs';
import { askedSince, useEverything } from './offline.mjs';
import { answerOf, click, ready, shows, text } from './page.mjs';
import { blank, builtSite, open, test } from './registry.mjs';
import { WEB } from './server.mjs';

const BACKENDS = /** @type {const} */ (['cpu', 'webgpu']);
const built = /** @type {const} */ ({ needs: 'built', seconds: 240 });
/** A camera that shows a face: a film of one picture. */
const camera = join(mkdtempSync(join(tmpdir(), 'moue-')), 'face.mjpeg');
const face = readFileSync(join(WEB, 'samples/drawn-happiness.jpg'));
writeFileSync(camera, Buffer.concat(Array(30).fill(face)));

/** Answers for the samples' faces, as plain numbers.
 * @param {import('puppeteer-core').Page} page @param {string} backend @param {string} [model] */
const answers = (page, backend, model = '/models/esr.safetensors') => page.evaluate(async (wanted, from) => {
  const { start, plain, readImage } = await import('/tests/inpage.js');
  const moue = await start({ backend: wanted, allowSoftware: true, model: from });
  await moue.complete;
  const pictures = ['collins', 'drawn-two'];
  const out = [];
  for (const name of pictures) {
    const bitmap = await readImage(await (await fetch(`/samples/${name}.jpg`)).blob());
    out.push((await moue.predict(bitmap)).faces);
    out.push((await moue.predict(bitmap, { branches: 2 })).faces);
    out.push((await moue.predict(bitmap, { face: 'none' })).faces);
  }
  const { kind, name } = moue.info.backend;
  moue.dispose();
  return { kind, name, answers: plain(out) };
}, backend, model);

/** The largest difference between two answers' numbers; classes and shapes must be equal.
 * @param {any} a @param {any} b @param {string} [where] @returns {number} */
function difference(a, b, where = '') {
  if (typeof a === 'number' && typeof b === 'number') {
    assert.ok(Number.isFinite(a) && Number.isFinite(b), `${where}: ${a}, ${b}`);
    if (/\.(class|votes?)\b/.test(where)) assert.equal(a, b, where);
    return Math.abs(a - b);
  }
  if (a === null || typeof a !== 'object') {
    assert.equal(a, b, where);
    return 0;
  }
  assert.deepEqual(Object.keys(a), Object.keys(b), where);
  return Math.max(0, ...Object.keys(a).filter((key) => key !== 'determinant').map((key) => difference(a[key], b[key], `${where}.${key}`)));
}

test('built_both_backends_agree_to_a_thousandth', async (context) => {
  const page = await blank(context, await builtSite(context));
  const cpu = await answers(page, 'cpu');
  const gpu = await answers(page, 'webgpu');
  assert.deepEqual([cpu.kind, gpu.kind], ['cpu', 'webgpu']);
  const worst = difference(cpu.answers, gpu.answers);
  assert.ok(worst <= 1e-3, `differ by ${worst}`);
  assert.ok(cpu.answers.flat().length >= 8 && cpu.answers[0][0].branches.length > 2, 'there is much to compare');
}, built);

test('built_a_manet_answers_alike_on_both_backends', async (context) => {
  const server = await builtSite(context);
  server.files['models/manet'] = readFileSync(String(context.options.manet));
  const page = await blank(context, server);
  const cpu = await answers(page, 'cpu', '/models/manet');
  const gpu = await answers(page, 'webgpu', '/models/manet');
  assert.deepEqual([cpu.kind, gpu.kind], ['cpu', 'webgpu']);
  const worst = difference(cpu.answers, gpu.answers);
  assert.ok(worst <= 1e-3, `differ by ${worst}`);
  for (const face of cpu.answers.flat()) {
    assert.equal(face.branches.length, 3);
    assert.deepEqual(face.mean, face.branches[2].probabilities);
  }
}, { ...built, needs: 'manet' });

for (const backend of BACKENDS) {
  test(`built_${backend}_answers_are_those_of_the_program_on_every_device`, async (context) => {
    const folder = String(context.options.answers);
    const server = await builtSite(context);
    server.files['tests/face.bmp'] = readFileSync(join(folder, 'face.bmp'));
    const page = await blank(context, server);
    const { kind, classes, face } = await page.evaluate(async (wanted) => {
      const { start, plain, readImage } = await import('/tests/inpage.js');
      const moue = await start({ backend: wanted, allowSoftware: true });
      await moue.complete;
      const bitmap = await readImage(await (await fetch('/tests/face.bmp')).blob());
      const { faces } = await moue.predict(bitmap, { face: 'none' });
      return { kind: moue.info.backend.kind, classes: moue.info.model.classes, face: plain(faces[0]) };
    }, backend);
    assert.equal(kind, backend);
    const ofPage = {
      prediction: face.label, probabilities: face.probabilities,
      branches: face.branches.map((/** @type {any} */ { probabilities, class: vote, attention }) => ({ vote: classes[vote], probabilities, attention: attention.values })),
      similarity: ['spatial', 'channel'].map((of) => ({ s: face[of].similarity, determinant: face[of].determinant })),
    };
    const devices = readdirSync(folder).filter((name) => name.endsWith('.json')).sort();
    assert.ok(devices.includes('cpu.json'), String(devices));
    for (const device of devices) {
      const answer = JSON.parse(readFileSync(join(folder, device), 'utf8'));
      const inOrder = (/** @type {Record<string, number>} */ named) => answer.classes.map((/** @type {string} */ name) => named[name]);
      const ofProgram = {
        prediction: answer.prediction, probabilities: inOrder(answer.probabilities),
        branches: answer.branches.map((/** @type {any} */ { vote, probabilities, attention }) => ({ vote, probabilities: inOrder(probabilities), attention: attention.values.flat() })),
        similarity: ['spatial', 'channel'].map((of) => ({ s: answer.similarity[of].s.flat(), determinant: answer.similarity[of].determinant })),
      };
      const worst = difference(ofPage, ofProgram);
      assert.ok(worst <= 1e-3, `${device}: differs by ${worst}`);
    }
    assert.ok(ofPage.branches.length > 2 && ofPage.branches[0].attention.length >= 4, 'there is much to compare');
  }, { ...built, needs: 'answers' });
}

test('built_auto_takes_the_processor_where_the_gpu_is_software', async (context) => {
  const page = await blank(context, await builtSite(context));
  const got = await page.evaluate(async () => {
    const { start } = await import('/tests/inpage.js');
    return (await start()).info.backend;
  });
  assert.deepEqual([got.kind, got.refused], ['cpu', 'software-adapter']);
}, built);

test('built_without_webgpu_the_reason_is_told', async (context) => {
  const page = await open(context, (await builtSite(context)).url);
  await ready(page);
  assert.match(await text(page, '#badge'), /Processor/);
  assert.match(await text(page, '#badge-reason'), /because WebGPU cannot be used/);
  const code = await page.evaluate(async () => {
    const { start, codeOf } = await import('/tests/inpage.js');
    return codeOf(start({ backend: 'webgpu', allowSoftware: true }));
  });
  assert.equal(code, 'no-adapter');
}, { ...built, launch: { webgpu: false } });

test('built_models_stream_and_bad_ones_reject_with_their_codes', async (context) => {
  const server = await builtSite(context);
  const whole = server.files['models/esr.safetensors'] ?? readFileSync(join(String(context.options.dist), 'models/esr.safetensors'));
  // Another width: the tensors are then not those of the network that the file says it is.
  const changed = Buffer.from(Buffer.from(whole).toString('latin1').replace(/(width\\*":\d\.)\d/g, (_, start) => `${start}9`), 'latin1');
  assert.ok(changed.length === whole.length && !changed.equals(Buffer.from(whole)));
  Object.assign(server.files, {
    'models/foreign': Buffer.from('GIF89a, surely not a model, and long enough to hold a head of some kind'), 'models/empty': Buffer.alloc(0),
    'models/cut': Buffer.from(whole).subarray(0, Math.floor(whole.length * 0.8)), 'models/short': Buffer.from(whole).subarray(0, 5000), 'models/other': changed,
  });
  const page = await blank(context, server);
  const got = await page.evaluate(async () => {
    const { start, codeOf } = await import('/tests/inpage.js');
    /** @type {Record<string, string>} */
    const codes = {};
    for (const name of ['foreign', 'empty', 'short', 'other', 'absent']) codes[name] = await codeOf(start({ backend: 'cpu', model: `/models/${name}` }));
    const cut = await start({ backend: 'cpu', model: '/models/cut' });
    codes.cut = await codeOf(cut.complete);
    /** @type {number[]} */
    const grew = [];
    const good = await start({ backend: 'cpu', onProgress: (/** @type {any} */ p) => { if (p.stage === 'branches') grew.push(p.branches); } });
    const first = grew.length > 0;
    await good.complete;
    return { codes, first, grew, cut: cut.info.model.branches, total: good.info.model.totalBranches };
  });
  assert.deepEqual(got.codes, { foreign: 'model-foreign', empty: 'model-truncated', short: 'model-truncated', other: 'model-mismatch', absent: 'download-failed', cut: 'model-truncated' });
  assert.ok(got.cut >= 1 && got.cut < (got.total ?? 0), `${got.cut} of ${got.total}`);
  assert.ok(got.first && got.grew.at(-1) === got.total, `${got.grew} of ${got.total}`);
}, built);

for (const backend of BACKENDS) {
  test(`built_${backend}_bad_pictures_reject_with_their_codes_and_the_worker_lives_on`, async (context) => {
    const kind = await badPictures(context, await builtSite(context), { backend, allowSoftware: true });
    assert.equal(kind, backend);
  }, built);

  test(`built_${backend}_predictions_at_once_and_dispose_during_one`, async (context) => {
    const page = await blank(context, await builtSite(context));
    const got = await page.evaluate(async (wanted) => {
      const { start, picture, codeOf, wait } = await import('/tests/inpage.js');
      const moue = await start({ backend: wanted, allowSoftware: true });
      await moue.complete;
      const three = await Promise.all([1, 2, 0].map((branches) => moue.predict(picture(90, 90), { face: 'none', branches })));
      const pending = [codeOf(moue.predict(picture(), { face: 'none' })), codeOf(moue.predict(picture(), { face: 'none' }))];
      await wait(5);
      moue.dispose();
      return { kind: moue.info.backend.kind, branches: three.map(({ branches }) => branches), total: moue.info.model.totalBranches,
        codes: await Promise.all(pending) };
    }, backend);
    assert.equal(got.kind, backend);
    assert.deepEqual(got.branches, [1, 2, got.total]);
    assert.equal(got.codes[1], 'disposed');
  }, built);

  test(`built_${backend}_the_pages_flows`, async (context) => {
    const server = await builtSite(context);
    const page = await open(context, `${server.url}?backend=${backend}&software`);
    await page.waitForSelector('[data-state=ready]', { timeout: 120_000 });
    assert.match(await text(page, '#badge'), backend === 'cpu' ? /Processor/ : /WebGPU, in software/);
    const { rows, bars, headline } = await answerOf(page);
    assert.ok(rows.length > 2 && bars.some(([label]) => label === headline), headline);
    const loaded = server.requests.length;
    await click(page, '#samples button:nth-child(6)');
    await page.waitForFunction(() => document.querySelectorAll('#faces button').length === 2, { timeout: 60_000 });
    await click(page, '#faces button:nth-child(2)');
    assert.equal(await page.$eval('#faces button:nth-child(2)', (button) => button.getAttribute('aria-pressed')), 'true');
    await page.$eval('#branches', (slider) => {
      /** @type {HTMLInputElement} */ (slider).value = '1';
      slider.dispatchEvent(new Event('input'));
    });
    await page.waitForFunction(() => document.querySelectorAll('#rows button').length === 1, { timeout: 60_000 });
    assert.deepEqual(askedSince(server, loaded), []);
    assert.deepEqual(page.errors, []);
  }, built);
}

test('built_a_lost_device_is_made_anew_and_gives_the_same_answer', async (context) => {
  const page = await blank(context, await builtSite(context));
  const got = await page.evaluate(async () => {
    const { start, picture, plain, wait } = await import('/tests/inpage.js');
    const moue = await start({ backend: 'webgpu', allowSoftware: true, worker: '/tests/losing-worker.js' });
    await moue.complete;
    const before = await moue.predict(picture(90, 90), { face: 'none' });
    const lost = new Promise((resolve) => { new BroadcastChannel('lost').onmessage = ({ data }) => resolve(data); });
    new BroadcastChannel('lose').postMessage(true);
    const destroyed = await lost;
    await wait(300);
    const after = await moue.predict(picture(90, 90), { face: 'none' });
    return { destroyed, before: plain(before.faces), after: plain(after.faces), backend: moue.info.backend };
  });
  assert.equal(got.destroyed, true);
  assert.equal(got.backend.kind, 'webgpu');
  assert.equal(got.backend.recreated, 1);
  assert.deepEqual(got.after, got.before);
}, built);

test('built_after_loading_nothing_is_fetched_and_offline_works', async (context) => {
  const server = await builtSite(context);
  const page = await open(context, server.url);
  await ready(page);
  const loaded = server.requests.length;
  await useEverything(page);
  assert.deepEqual(askedSince(server, loaded), []);
  await server.stop();
  await page.reload();
  await ready(page);
  assert.ok((await answerOf(page)).rows.length > 2);
  assert.match(await text(page, '#card-what'), /read from this browser/);
  await server.start();
}, built);

test('built_the_cameras_face_is_answered_live', async (context) => {
  const page = await open(context, (await builtSite(context)).url);
  await ready(page);
  await click(page, '#camera');
  await click(page, '#notice button[value=yes]');
  await shows(page, '#caption', /Camera\. [1-9][\d.]* answers a second/);
  await shows(page, '#headline', /apparent expression/);
  const { rows } = await answerOf(page);
  assert.ok(rows.length > 2);
  await click(page, '#stop');
  await shows(page, '#caption', /Collins/);
}, { ...built, only: 'chromium', launch: { camera } });
