// The API's promises, on the double.
import assert from 'node:assert/strict';
import { largePng } from './png.mjs';
import { blank, doubleSite, test } from './registry.mjs';
import { doubleModel } from './server.mjs';

/** @param {string} backend @param {string} behaviour */
const chosen = (backend, behaviour) => async (/** @type {import('./registry.mjs').Context} */ context) => {
  const page = await blank(context, await doubleSite(context, behaviour));
  return page.evaluate(async (wanted) => {
    const { start } = await import('/tests/inpage.js');
    const moue = await start({ backend: wanted });
    return moue.info.backend;
  }, backend);
};

test('auto_takes_a_real_gpu', async (context) => {
  const { kind, refused, software, name } = await chosen('auto', 'adapter=real')(context);
  assert.deepEqual({ kind, refused, software, name }, { kind: 'webgpu', refused: null, software: false, name: 'a pretended GPU' });
});

for (const [behaviour, code] of [['adapter=none', 'no-adapter'], ['adapter=software', 'software-adapter']]) {
  test(`auto_takes_the_processor_and_says_why_where_webgpu_has_${code}`, async (context) => {
    const { kind, refused, reason, requested } = await chosen('auto', String(behaviour))(context);
    assert.deepEqual({ kind, refused, requested }, { kind: 'cpu', refused: code, requested: 'auto' });
    assert.match(reason, /adapter/);
  });
  test(`webgpu_rejects_with_${code}_and_never_falls_back`, async (context) => {
    const page = await blank(context, await doubleSite(context, behaviour));
    const got = await page.evaluate(async () => {
      const { start, codeOf } = await import('/tests/inpage.js');
      return codeOf(start({ backend: 'webgpu' }));
    });
    assert.equal(got, code);
  });
}

test('a_software_adapter_is_taken_where_it_is_allowed', async (context) => {
  const page = await blank(context, await doubleSite(context, 'adapter=software'));
  const { kind, software } = await page.evaluate(async () => {
    const { start } = await import('/tests/inpage.js');
    return (await start({ backend: 'webgpu', allowSoftware: true })).info.backend;
  });
  assert.deepEqual({ kind, software }, { kind: 'webgpu', software: true });
});

test('a_lost_device_is_made_anew_and_the_answer_comes', async (context) => {
  const page = await blank(context, await doubleSite(context, 'adapter=real&lose=2'));
  const got = await page.evaluate(async () => {
    const { start, picture } = await import('/tests/inpage.js');
    const moue = await start({ backend: 'webgpu' });
    await moue.complete;
    const faces = [];
    for (let i = 0; i < 3; i += 1) faces.push((await moue.predict(picture())).faces.length);
    return { faces, recreated: moue.info.backend.recreated, reason: moue.info.backend.reason };
  });
  assert.deepEqual(got.faces, [1, 1, 1]);
  assert.equal(got.recreated, 1);
  assert.match(got.reason, /lost/);
});

test('a_device_lost_twice_is_told', async (context) => {
  const page = await blank(context, await doubleSite(context, 'adapter=real&lose=1&again=1'));
  const got = await page.evaluate(async () => {
    const { start, picture, codeOf } = await import('/tests/inpage.js');
    const moue = await start({ backend: 'webgpu' });
    await moue.complete;
    return [await codeOf(moue.predict(picture())), await codeOf(moue.predict(picture()))];
  });
  assert.deepEqual(got, ['device-lost', 'device-lost']);
});

test('an_engine_that_traps_rejects_with_a_code', async (context) => {
  const page = await blank(context, await doubleSite(context, 'trap=1'));
  const got = await page.evaluate(async () => {
    const { start, picture, codeOf } = await import('/tests/inpage.js');
    return codeOf((await start()).predict(picture()));
  });
  assert.equal(got, 'engine-failed');
});

test('missing_engine_and_worker_files_reject_with_a_code', async (context) => {
  const page = await blank(context, await doubleSite(context));
  const got = await page.evaluate(async () => {
    const { start, codeOf } = await import('/tests/inpage.js');
    return [await codeOf(start({ engine: '/none.js' })), await codeOf(start({ wasm: '/none.wasm' })), await codeOf(start({ worker: '/none.js' }))];
  });
  assert.deepEqual(got, ['engine-failed', 'engine-failed', 'engine-failed']);
});

test('two_predictions_at_once_are_answered_in_order', async (context) => {
  const page = await blank(context, await doubleSite(context, 'slow=80'));
  const got = await page.evaluate(async () => {
    const { start, picture } = await import('/tests/inpage.js');
    const moue = await start();
    await moue.complete;
    /** @type {string[]} */
    const order = [];
    // The first takes a way through a blob, which is longer than the second's.
    const canvas = new OffscreenCanvas(900, 900);
    canvas.getContext('2d')?.putImageData(picture(900, 900), 0, 0);
    const blob = await canvas.convertToBlob();
    const both = await Promise.all([
      moue.predict(blob).then((/** @type {any} */ p) => { order.push('first'); return p.width; }),
      moue.predict(picture(64, 48)).then((/** @type {any} */ p) => { order.push('second'); return p.width; }),
    ]);
    return { order, both };
  });
  assert.deepEqual(got, { order: ['first', 'second'], both: [900, 64] });
});

test('dispose_during_a_prediction_rejects_it_and_all_that_follow', async (context) => {
  const page = await blank(context, await doubleSite(context, 'slow=5000'));
  const got = await page.evaluate(async () => {
    const { start, picture, codeOf, wait } = await import('/tests/inpage.js');
    const moue = await start();
    const pending = [codeOf(moue.predict(picture())), codeOf(moue.predict(picture()))];
    await wait(100);
    const begin = performance.now();
    moue.dispose();
    const codes = await Promise.all(pending);
    const late = await codeOf(moue.predict(picture()));
    moue.dispose();
    return { codes, late, quick: performance.now() - begin < 1000 };
  });
  assert.deepEqual(got, { codes: ['disposed', 'disposed'], late: 'disposed', quick: true });
});

test('an_aborted_prediction_rejects_and_the_next_is_answered', async (context) => {
  const page = await blank(context, await doubleSite(context, 'slow=200'));
  const got = await page.evaluate(async () => {
    const { start, picture, codeOf, wait } = await import('/tests/inpage.js');
    const moue = await start();
    const controller = new AbortController();
    const running = codeOf(moue.predict(picture(), { signal: controller.signal }));
    const waiting = codeOf(moue.predict(picture(), { signal: controller.signal }));
    await wait(50);
    controller.abort();
    const before = await codeOf(moue.predict(picture(), { signal: controller.signal }));
    return [await running, await waiting, before, await codeOf(moue.predict(picture()))];
  });
  assert.deepEqual(got, ['aborted', 'aborted', 'aborted', 'resolved']);
});

test('every_kind_of_source_is_answered_and_stays_the_callers', async (context) => {
  const page = await blank(context, await doubleSite(context));
  const got = await page.evaluate(async () => {
    const { start, picture, plain } = await import('/tests/inpage.js');
    const moue = await start();
    const data = picture(80, 60);
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 80, height: 60 });
    canvas.getContext('2d')?.putImageData(data, 0, 0);
    const offscreen = new OffscreenCanvas(80, 60);
    offscreen.getContext('2d')?.putImageData(data, 0, 0);
    const bitmap = await createImageBitmap(data);
    const blob = await offscreen.convertToBlob({ type: 'image/png' });
    const image = new Image();
    image.src = URL.createObjectURL(blob);
    /** @type {Record<string, any>} */
    const sources = { data, canvas, offscreen, bitmap, blob, image };
    if (typeof VideoFrame !== 'undefined') sources.frame = new VideoFrame(canvas, { timestamp: 0 });
    /** @type {Record<string, unknown>} */
    const out = {};
    for (const [name, source] of Object.entries(sources)) {
      const answer = await moue.predict(source);
      const again = await moue.predict(source);
      const same = JSON.stringify(plain(answer.faces)) === JSON.stringify(plain(again.faces));
      out[name] = [answer.width, answer.height, answer.faces.length, same, plain(answer.faces[0].probabilities)];
    }
    return out;
  });
  const { data, frame, ...rest } = /** @type {Record<string, any[]>} */ (got);
  for (const [name, values] of Object.entries(rest)) assert.deepEqual(values, data, name);
  // A VideoFrame may have been through YUV.
  if (frame) assert.deepEqual(frame.slice(0, 4), data?.slice(0, 4));
});

test('an_answer_has_everything_that_the_types_promise', async (context) => {
  const page = await blank(context, await doubleSite(context));
  const got = await page.evaluate(async () => {
    const { start, picture, plain } = await import('/tests/inpage.js');
    const moue = await start();
    await moue.complete;
    const face = (await moue.predict(picture())).faces[0];
    const bare = (await moue.predict(picture(), { attention: false, branches: 3, face: 'none' })).faces[0];
    const typed = [face.probabilities instanceof Float32Array, face.votes instanceof Uint32Array, face.spatial.similarity instanceof Float32Array];
    return { face: plain(face), bare: plain(bare), typed, info: moue.info };
  });
  const { face, bare, info } = got;
  assert.deepEqual(got.typed, [true, true, true]);
  assert.equal(face.branches.length, 9);
  assert.equal(face.votes.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b), 9);
  assert.equal(face.label, info.model.classes[face.class]);
  assert.ok(Math.abs(face.probabilities.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b) - 1) < 1e-5);
  assert.equal(face.branches[0].attention.values.length, face.branches[0].attention.width * face.branches[0].attention.height);
  assert.equal(face.spatial.similarity.length, 81);
  assert.ok(face.box.width > 0 && face.score > 0);
  assert.equal(bare.branches.length, 3);
  assert.equal(bare.branches[0].attention, null);
  assert.equal(bare.box, null);
});

test('boxes_of_a_large_picture_are_in_its_own_pixels', async (context) => {
  const page = await blank(context, await doubleSite(context));
  const got = await page.evaluate(async () => {
    const { start, picture, plain } = await import('/tests/inpage.js');
    const moue = await start();
    const large = picture(4000, 2000);
    const found = await moue.predict(large);
    const given = await moue.predict(large, { face: [{ x: 3900, y: -50, width: 200, height: 200 }, { x: 0, y: 0, width: 10, height: 10 }] });
    return plain([found.width, found.height, found.faces[0].box, given.faces.map((/** @type {any} */ f) => f.box)]);
  });
  // The double's box: half the height, in the middle.
  assert.deepEqual(got, [4000, 2000, { x: 1500, y: 250, width: 1000, height: 1000 },
    [{ x: 3900, y: 0, width: 100, height: 150 }, { x: 0, y: 0, width: 10, height: 10 }]]);
});

test('options_out_of_range_reject_with_bad_option', async (context) => {
  const page = await blank(context, await doubleSite(context));
  const got = await page.evaluate(async () => {
    const { start, picture, codeOf } = await import('/tests/inpage.js');
    const moue = await start();
    const p = picture();
    return Promise.all([
      codeOf(start({ backend: 'tpu' })), codeOf(start({ model: 3 })), codeOf(start({ model: undefined })),
      codeOf(moue.predict(p, { branches: -1 })), codeOf(moue.predict(p, { branches: 1.5 })), codeOf(moue.predict(p, { face: 'all' })),
      codeOf(moue.predict(p, { face: { x: 0, y: 0, width: 0, height: 5 } })), codeOf(moue.predict(p, { face: { x: NaN, y: 0, width: 1, height: 5 } })),
      codeOf(moue.predict(p, { maxFaces: 0 })), codeOf(moue.predict(p, { branches: 99 })),
    ]);
  });
  assert.deepEqual(got, [...Array(9).fill('bad-option'), 'resolved']);
});

/** Bad pictures, each with its code, on any site: afterwards the same worker answers for a good one.
 * @param {import('./registry.mjs').Context} context
 * @param {Awaited<ReturnType<typeof doubleSite>>} server
 * @param {Record<string, unknown>} options of createMoue */
export async function badPictures(context, server, options) {
  server.files['large.png'] = largePng(20_000, 20_000);
  const page = await blank(context, server);
  const got = await page.evaluate(async (more) => {
    const { start, picture, even, codeOf } = await import('/tests/inpage.js');
    const moue = await start(more);
    const backend = moue.info.backend.kind;
    const closed = await createImageBitmap(picture());
    closed.close();
    const broken = new Image();
    broken.src = '/none.jpg';
    const zero = document.createElement('canvas');
    zero.width = zero.height = 0;
    const large = await (await fetch('/large.png')).blob();
    const image = new Image();
    image.src = '/large.png';
    const codes = {
      text: await codeOf(moue.predict(new Blob(['no image at all'], { type: 'image/png' }))),
      empty: await codeOf(moue.predict(new Blob([]))),
      nothing: await codeOf(moue.predict(null)),
      string: await codeOf(moue.predict('face.jpg')),
      closed: await codeOf(moue.predict(closed)),
      broken: await codeOf(moue.predict(broken)),
      zero: await codeOf(moue.predict(zero)),
      largeFile: await codeOf(moue.predict(large)),
      largeImage: await codeOf(moue.predict(image)),
      noFace: await codeOf(moue.predict(even(200, 150))),
      boxOutside: await codeOf(moue.predict(picture(), { face: { x: 500, y: 500, width: 10, height: 10 } })),
    };
    return { backend, codes, after: await codeOf(moue.predict(picture(), { face: 'none' })) };
  }, options);
  const bad = 'bad-image';
  assert.deepEqual(got.codes, {
    text: bad, empty: bad, nothing: bad, string: bad, closed: bad, broken: bad, zero: bad,
    largeFile: 'too-large', largeImage: 'too-large', noFace: 'no-face', boxOutside: bad,
  });
  assert.equal(got.after, 'resolved');
  return got.backend;
}

test('bad_pictures_reject_with_their_codes_and_the_worker_lives_on', async (context) => {
  await badPictures(context, await doubleSite(context), {});
});

test('bad_model_files_reject_with_their_codes', async (context) => {
  const server = await doubleSite(context);
  const whole = doubleModel();
  Object.assign(server.files, {
    'models/foreign': Buffer.from('GIF89a, surely not a model'), 'models/empty': Buffer.alloc(0), 'models/head': whole.subarray(0, 40),
    'models/none': whole.subarray(0, 5000), 'models/cut': whole.subarray(0, 70_000), 'models/other': doubleModel({ mismatch: true }),
  });
  const page = await blank(context, server);
  const got = await page.evaluate(async () => {
    const { start, codeOf, picture } = await import('/tests/inpage.js');
    /** @type {Record<string, string>} */
    const codes = {};
    for (const name of ['foreign', 'empty', 'head', 'none', 'other', 'absent']) codes[name] = await codeOf(start({ model: `/models/${name}` }));
    // The first branches came: they answer, and the loss of the rest is told.
    const cut = await start({ model: '/models/cut' });
    codes.cut = await codeOf(cut.complete);
    codes.cutAnswers = await codeOf(cut.predict(picture()));
    codes.bytes = await codeOf(start({ model: new TextEncoder().encode('no model, by any means') }));
    return codes;
  });
  assert.deepEqual(got, {
    foreign: 'model-foreign', empty: 'model-truncated', head: 'model-truncated', none: 'model-truncated', other: 'model-mismatch',
    absent: 'download-failed', cut: 'model-truncated', cutAnswers: 'resolved', bytes: 'model-foreign',
  });
});
