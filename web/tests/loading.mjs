// How the model reaches the page, on the double: in pieces, from the cache, or not at all.
import assert from 'node:assert/strict';
import { blank, doubleSite, test } from './registry.mjs';
import { doubleModel } from './server.mjs';

/** A server that holds the model's end back until it is let go.
 * @param {Awaited<ReturnType<typeof doubleSite>>} server @param {number} first bytes that come at once */
function heldBack(server, first) {
  const model = doubleModel();
  /** @type {() => void} */
  let release = () => undefined;
  /** @type {() => void} */
  let cut = () => undefined;
  server.handlers.set('models/esr.safetensors', (_, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': model.length, 'content-security-policy': "default-src 'none'" });
    response.write(model.subarray(0, first));
    release = () => response.end(model.subarray(first));
    cut = () => response.destroy();
  });
  return { release: () => release(), cut: () => cut() };
}

test('the_first_answer_comes_after_one_branch_and_the_rest_refine_it', async (context) => {
  const server = await doubleSite(context);
  const model = heldBack(server, 30_000);
  const page = await blank(context, server);
  const early = await page.evaluate(async () => {
    const { start, picture } = await import('/tests/inpage.js');
    /** @type {any[]} */
    const told = [];
    const moue = await start({ onProgress: (/** @type {any} */ p) => told.push(p) });
    Object.assign(globalThis, { moue, told });
    const answer = await moue.predict(picture());
    return { branches: answer.branches, total: moue.info.model.totalBranches, loaded: moue.info.model.branches };
  });
  assert.deepEqual(early, { branches: 1, total: 9, loaded: 1 });
  model.release();
  const late = await page.evaluate(async () => {
    const { picture } = await import('/tests/inpage.js');
    const { moue, told } = /** @type {any} */ (globalThis);
    await moue.complete;
    const answer = await moue.predict(picture());
    const branches = told.filter((/** @type {any} */ p) => p.stage === 'branches').map((/** @type {any} */ p) => p.branches);
    return { branches: answer.branches, loaded: moue.info.model.branches, grew: branches, stages: [...new Set(told.map((/** @type {any} */ p) => p.stage))] };
  });
  assert.equal(late.branches, 9);
  assert.equal(late.loaded, 9);
  assert.ok(late.grew.length >= 2 && late.grew[0] === 1 && late.grew.at(-1) === 9, `grew ${late.grew}`);
  assert.deepEqual(late.stages.slice(0, 2), ['engine', 'backend']);
});

test('a_download_that_breaks_off_is_told', async (context) => {
  const server = await doubleSite(context);
  const before = heldBack(server, 1000);
  const page = await blank(context, server);
  const loading = page.evaluate(async () => {
    const { start, codeOf } = await import('/tests/inpage.js');
    return codeOf(start());
  });
  await new Promise((resolve) => setTimeout(resolve, 800));
  before.cut();
  assert.equal(await loading, 'download-failed');
});

test('an_aborted_download_rejects_with_aborted', async (context) => {
  const server = await doubleSite(context);
  heldBack(server, 1000);
  const page = await blank(context, server);
  const got = await page.evaluate(async () => {
    const { start, codeOf, wait } = await import('/tests/inpage.js');
    const controller = new AbortController();
    const loading = codeOf(start({ signal: controller.signal }));
    await wait(400);
    controller.abort();
    return [await loading, await codeOf(start({ signal: controller.signal }))];
  });
  assert.deepEqual(got, ['aborted', 'aborted']);
});

test('what_was_loaded_before_an_abort_still_answers', async (context) => {
  const server = await doubleSite(context);
  heldBack(server, 50_000);
  const page = await blank(context, server);
  const got = await page.evaluate(async () => {
    const { start, codeOf, picture, wait } = await import('/tests/inpage.js');
    const controller = new AbortController();
    const moue = await start({ signal: controller.signal });
    // The first branch starts it; of what was sent the second is still on its way.
    while (moue.info.model.branches < 2) await wait(10);
    controller.abort();
    const code = await codeOf(moue.complete);
    return { code, branches: (await moue.predict(picture())).branches };
  });
  assert.deepEqual(got, { code: 'aborted', branches: 2 });
});

test('a_version_in_the_cache_is_used_without_asking_and_replaced_by_the_next', async (context) => {
  const server = await doubleSite(context);
  const page = await blank(context, server);
  const load = (/** @type {string | undefined} */ version) => page.evaluate(async (named) => {
    const { start, cachedFiles, picture, wait } = await import('/tests/inpage.js');
    /** @type {any[]} */
    const told = [];
    const moue = await start({ version: named, onProgress: (/** @type {any} */ p) => told.push(p) });
    await moue.complete;
    await moue.predict(picture(), { face: 'none' });
    if (moue.info.model.source === 'network') while (!told.some((/** @type {any} */ p) => p.stage === 'cache')) await wait(10);
    moue.dispose();
    const last = told.filter((/** @type {any} */ p) => p.stage === 'model').at(-1);
    return { source: moue.info.model.source, told: [last.source, last.loaded === last.total],
      kept: (await cachedFiles()).map(({ version }) => version) };
  }, version);
  const asked = () => server.requests.filter(({ path }) => path === 'models/esr.safetensors').length;
  assert.deepEqual(await load('1'), { source: 'network', told: ['network', true], kept: ['1'] });
  assert.deepEqual(await load('1'), { source: 'cache', told: ['cache', true], kept: ['1'] });
  assert.equal(asked(), 1);
  assert.deepEqual(await load('2'), { source: 'network', told: ['network', true], kept: ['2'] });
  assert.equal(asked(), 2);
  // Without a version the server is asked; where it is away, the copy serves.
  server.handlers.set('models/esr.safetensors', (request) => { request.socket.destroy(); });
  assert.equal((await load(undefined)).source, 'cache');
  const gone = await page.evaluate(async () => {
    const { start, codeOf, deleteCachedFiles, cachedFiles } = await import('/tests/inpage.js');
    return [await deleteCachedFiles(), (await cachedFiles()).length, await codeOf(start({ version: '2' }))];
  });
  assert.deepEqual(gone, [1, 0, 'download-failed']);
});

test('a_model_from_memory_is_neither_fetched_nor_kept', async (context) => {
  const server = await doubleSite(context);
  const page = await blank(context, server);
  const got = await page.evaluate(async () => {
    const { start, cachedFiles, picture } = await import('/tests/inpage.js');
    const bytes = await (await fetch('/models/esr.safetensors')).arrayBuffer();
    const out = [];
    for (const model of [bytes, new Uint8Array(bytes), new Blob([bytes])]) {
      const moue = await start({ model });
      await moue.complete;
      out.push([moue.info.model.source, (await moue.predict(picture(), { face: 'none' })).branches, moue.info.model.bytes === bytes.byteLength]);
      moue.dispose();
    }
    return { out, kept: (await cachedFiles()).length };
  });
  assert.deepEqual(got, { out: Array(3).fill(['memory', 9, true]), kept: 0 });
  assert.equal(server.requests.filter(({ path }) => path.startsWith('models/')).length, 1);
});

test('the_detector_is_fetched_when_it_is_first_used', async (context) => {
  const server = await doubleSite(context);
  const page = await blank(context, server);
  const asked = () => server.requests.filter(({ path }) => path === 'face_detector.bin').length;
  await page.evaluate(async () => {
    const { start, picture } = await import('/tests/inpage.js');
    const moue = await start();
    Object.assign(globalThis, { moue });
    await moue.predict(picture(), { face: 'none' });
  });
  assert.equal(asked(), 0);
  const codes = await page.evaluate(async () => {
    const { picture, codeOf } = await import('/tests/inpage.js');
    const { moue } = /** @type {any} */ (globalThis);
    return [await codeOf(moue.predict(picture())), await codeOf(moue.predict(picture()))];
  });
  assert.deepEqual(codes, ['resolved', 'resolved']);
  assert.equal(asked(), 1);
});

test('a_detector_that_cannot_be_fetched_or_read_is_told_and_the_worker_lives_on', async (context) => {
  const server = await doubleSite(context);
  server.files['bad.bin'] = Buffer.from('x');
  const page = await blank(context, server);
  const got = await page.evaluate(async () => {
    const { start, picture, codeOf } = await import('/tests/inpage.js');
    const absent = await start({ detector: '/none.bin' });
    const foreign = await start({ detector: '/bad.bin' });
    return [await codeOf(absent.predict(picture())), await codeOf(absent.predict(picture(), { face: 'none' })),
      await codeOf(foreign.predict(picture())), await codeOf(foreign.predict(picture(), { face: 'none' }))];
  });
  assert.deepEqual(got, ['download-failed', 'resolved', 'detector-foreign', 'resolved']);
});
