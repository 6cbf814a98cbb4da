// The page's flows, on the double.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { doubleSite, open, test } from './registry.mjs';
import { WEB, doubleModel } from './server.mjs';
import { largePng } from './png.mjs';

/** @typedef {import('puppeteer-core').Page} Page */

/** @param {Page} page */
export const ready = (page) => page.waitForSelector('[data-state=ready]', { timeout: 90_000 });
/** @param {Page} page @param {string} selector */
export const text = (page, selector) => page.$eval(selector, (element) => element.textContent?.replace(/\s+/g, ' ').trim() ?? '');
/** Waits until an element's text matches.
 * @param {Page} page @param {string} selector @param {RegExp} pattern */
export async function shows(page, selector, pattern) {
  try {
    await page.waitForFunction((sel, source, flags) => new RegExp(source, flags).test(document.querySelector(sel)?.textContent ?? ''),
      { timeout: 15_000, polling: 50 }, selector, pattern.source, pattern.flags);
  } catch {
    throw new Error(`${selector}: expected ${pattern}, found “${await text(page, selector)}”`);
  }
}
/** Clicks by the element itself: it may lie below the window's edge.
 * @param {Page} page @param {string} selector */
export const click = (page, selector) => page.$eval(selector, (element) => /** @type {HTMLElement} */ (element).click());

/** A file as a visitor would give it.
 * @param {Page} page @param {'choose' | 'drop' | 'paste' | 'model'} way @param {string} path on the server @param {string} name @param {string} type */
export async function give(page, way, path, name, type) {
  await page.evaluate(async (how, from, called, kind) => {
    const bytes = await (await fetch(from)).arrayBuffer();
    const data = new DataTransfer();
    data.items.add(new File([bytes], called, { type: kind }));
    if (how === 'drop') {
      document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: data }));
    } else if (how === 'paste') {
      const event = new ClipboardEvent('paste', { bubbles: true, clipboardData: data });
      // Firefox makes an empty one of its own.
      if (!event.clipboardData?.files.length) Object.defineProperty(event, 'clipboardData', { value: data });
      document.body.dispatchEvent(event);
    } else {
      const input = /** @type {HTMLInputElement} */ (document.querySelector(how === 'model' ? '#model-file' : '#file'));
      input.files = data.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));
    }
  }, way, path, name, type);
}

/** The page with the double, after it has loaded.
 * @param {import('./registry.mjs').Context} context @param {string} [behaviour] @param {Parameters<typeof open>[2] & { query?: string }} [more] */
async function visit(context, behaviour, more = {}) {
  const server = await doubleSite(context, behaviour);
  const page = await open(context, server.url + (more.query ?? ''), more);
  await ready(page);
  return { server, page };
}

/** What the page shows of an answer. @param {Page} page */
export function answerOf(page) {
  return page.evaluate(() => ({
    headline: document.querySelector('#headline strong')?.textContent ?? '',
    bars: [...document.querySelectorAll('#bars tr')].map((row) => [...row.children].map((cell) => cell.textContent)),
    rows: [...document.querySelectorAll('#rows button')].map((row) => row.textContent?.replace(/\s+/g, ' ').trim() ?? ''),
    branches: document.querySelector('#branches-text')?.textContent ?? '',
    spatial: document.querySelector('#spatial-text')?.textContent ?? '',
  }));
}

test('the_page_answers_for_a_sample_as_soon_as_it_is_loaded', async (context) => {
  const { page } = await visit(context);
  const answer = await answerOf(page);
  assert.ok(answer.bars.length === 8 && answer.bars.every(([, , share]) => /%$/.test(share ?? '')), JSON.stringify(answer.bars));
  assert.equal(answer.rows.length, 9);
  assert.ok(answer.bars.some(([label]) => label === answer.headline));
  assert.match(answer.rows[0] ?? '', /^Branch 1 \w+ (differs )?[\d.]+ %/);
  assert.match(answer.spatial, /^determinant 0\.\d+/);
  assert.equal(answer.branches, '9 of 9');
  assert.match(await text(page, '#card-what'), /ESR with 9 branches at 0\.5 of the full width and attention/);
  assert.match(await text(page, '#card-data'), /Trained on FER\+: 25,045 train, 3,191 validation images/);
  assert.match(await text(page, '#card-result'), /Accuracy on the test split: 83\.7 %.* 3,137 images/);
  assert.match(await text(page, '#card-answer'), /at temperature 0\.79, divided by the training's share of each class to the power 0\.2;/);
  assert.match(await text(page, '#card'), /Apparent expression, not felt emotion.*Art\. 5\(1\)\(f\)/);
  assert.deepEqual(page.errors, []);
});

test('the_badge_says_why_there_is_no_webgpu', async (context) => {
  const { page } = await visit(context, 'adapter=none');
  assert.match(await text(page, '#badge'), /Processor \(wasm\)/);
  assert.match(await text(page, '#badge-reason'), /because WebGPU cannot be used: this browser offers no WebGPU adapter/);
});

test('the_badge_names_a_real_gpu', async (context) => {
  const { page } = await visit(context, 'adapter=real');
  assert.match(await text(page, '#badge'), /GPU \(WebGPU\): a pretended GPU/);
});

test('webgpu_where_there_is_none_is_told_and_another_choice_helps', async (context) => {
  const { page } = await visit(context, 'adapter=none', { query: '?backend=webgpu' });
  await shows(page, '#problem', /no WebGPU adapter/);
  assert.match(await text(page, '#loading-text'), /choose another device/);
  await page.select('#backend', 'cpu');
  await shows(page, '#badge', /Processor/);
  await shows(page, '#branches-text', /9 of 9/);
  assert.equal(await page.$eval('#problem', (element) => /** @type {HTMLElement} */ (element).hidden), true);
});

test('a_lost_gpu_is_told_on_the_page', async (context) => {
  const { page } = await visit(context, 'adapter=real&lose=3');
  await click(page, '#samples button');
  await shows(page, '#badge-reason', /lost/);
  assert.equal((await answerOf(page)).rows.length, 9);
});

for (const way of /** @type {const} */ (['choose', 'drop', 'paste'])) {
  test(`a_picture_that_is_given_by_${way}_is_answered`, async (context) => {
    const { page } = await visit(context);
    await give(page, way, 'samples/collins.jpg', `${way}.jpg`, 'image/jpeg');
    await shows(page, '#caption', new RegExp(`${way}\\.jpg`));
    await page.waitForSelector('#rows button');
    assert.equal((await answerOf(page)).rows.length, 9);
    assert.equal(await page.$eval('#samples button', (button) => button.getAttribute('aria-pressed')), 'false');
  });
}

test('bad_files_are_told_in_words_and_the_page_works_on', async (context) => {
  const { server, page } = await visit(context);
  Object.assign(server.files, { 'large.png': largePng(20_000, 20_000), 'text.png': 'no image', 'even.png': largePng(300, 200) });
  await give(page, 'choose', 'text.png', 'text.png', 'image/png');
  await shows(page, '#problem', /no image that this browser can read/);
  await give(page, 'choose', 'large.png', 'large.png', 'image/png');
  await shows(page, '#problem', /20000×20000 pixels; expected edges of at most/);
  await give(page, 'choose', 'text.png', 'clip.webm', 'video/webm');
  await shows(page, '#problem', /video cannot be played/);
  await give(page, 'choose', 'even.png', 'even.png', 'image/png');
  await shows(page, '#headline', /no face found/);
  assert.equal(await page.$eval('#crop', (element) => /** @type {HTMLElement} */ (element).hidden), false);
  await click(page, '#crop-whole');
  await shows(page, '#headline', /apparent expression/);
  await click(page, '#samples button');
  await shows(page, '#caption', /Collins/);
  await page.waitForSelector('#rows button');
});

test('a_face_can_be_marked_with_the_sliders_and_with_the_pointer', async (context) => {
  const { page } = await visit(context);
  const before = await answerOf(page);
  await click(page, '#mark');
  await page.focus('#crop-size');
  for (let i = 0; i < 6; i += 1) await page.keyboard.press('ArrowLeft');
  await page.waitForFunction((old) => document.querySelector('#bars')?.textContent !== old, {}, before.bars.flat().join(''));
  const sliders = await text(page, '#bars');
  const box = await (await page.$('#canvas'))?.boundingBox();
  assert.ok(box);
  await page.mouse.move(box.x + box.width * 0.45, box.y + box.height * 0.1);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.35, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction((old) => document.querySelector('#bars')?.textContent?.replace(/\s+/g, ' ').trim() !== old, {}, sliders);
  assert.equal((await answerOf(page)).rows.length, 9);
});

test('the_slider_sets_how_many_branches_vote', async (context) => {
  const { page } = await visit(context);
  await page.focus('#branches');
  for (let i = 0; i < 5; i += 1) await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => document.querySelectorAll('#rows button').length === 4);
  const answer = await answerOf(page);
  assert.equal(answer.branches, '4 of 9');
  assert.equal(answer.bars.reduce((sum, cells) => sum + Number.parseInt(cells[3] || '0', 10), 0), 4);
  assert.match(await text(page, '#cost-text'), /ms with 4; .* with all 9/);
  await page.keyboard.press('Home');
  await page.waitForFunction(() => document.querySelectorAll('#rows button').length === 1);
  assert.match((await answerOf(page)).spatial, /two branches/);
  await page.keyboard.press('End');
  await page.waitForFunction(() => document.querySelectorAll('#rows button').length === 9);
});

test('a_branchs_attention_lies_over_the_picture_when_it_is_chosen', async (context) => {
  const { page } = await visit(context);
  const pixels = () => page.$eval('#canvas', (canvas) => /** @type {HTMLCanvasElement} */ (canvas).toDataURL());
  const before = await pixels();
  await page.focus('#rows li:nth-child(2) button');
  await page.keyboard.press('Enter');
  assert.equal(await page.$eval('#rows li:nth-child(2) button', (button) => button.getAttribute('aria-pressed')), 'true');
  assert.notEqual(await pixels(), before);
  await page.keyboard.press('Enter');
  assert.equal(await pixels(), before);
});

test('a_model_from_a_file_takes_the_place_of_the_pages_own', async (context) => {
  const { server, page } = await visit(context);
  server.files['mine.bin'] = doubleModel({ branches: 3, architecture: { model: 'esr', branches: 3 }, data: null, result: null });
  server.files['foreign.bin'] = 'not a model at all';
  await give(page, 'model', 'mine.bin', 'mine.safetensors', '');
  await shows(page, '#branches-text', /^3 of 3$/);
  await ready(page);
  assert.match(await text(page, '#card-what'), /3 branches.*read from your file/);
  assert.match(await text(page, '#card-data'), /does not say what it was trained on/);
  await give(page, 'drop', 'foreign.bin', 'foreign.safetensors', '');
  await shows(page, '#problem', /expected a model/i);
});

test('a_truncated_model_is_told_and_what_came_answers', async (context) => {
  const server = await doubleSite(context);
  server.files['models/esr.safetensors'] = doubleModel().subarray(0, 70_000);
  const page = await open(context, server.url);
  await ready(page);
  await shows(page, '#problem', /expected 9 branches/i);
  assert.equal((await answerOf(page)).rows.length, 3);
});

test('a_site_without_a_model_says_what_to_do', async (context) => {
  const server = await doubleSite(context);
  server.handlers.set('models/esr.safetensors', (_, response) => { response.writeHead(404).end(); });
  const page = await open(context, server.url);
  await shows(page, '#problem', /^http.*404.*open a model file below/);
});

test('the_kept_model_can_be_deleted', async (context) => {
  const { page } = await visit(context);
  await shows(page, '#cache-text', /2 files are kept in this browser, 0\.5 MB/);
  await click(page, '#forget');
  await shows(page, '#cache-text', /No model is kept/);
  assert.equal(await page.evaluate(async () => (await caches.keys()).filter((name) => name === 'moue-files').length), 0);
});

test('a_model_whose_branches_do_not_vote_shows_their_names_and_leaves_the_number_alone', async (context) => {
  const server = await doubleSite(context);
  const architecture = { model: 'manet', width: 0.5, size: 48 };
  server.files['models/esr.safetensors'] = doubleModel({ branches: 3, votes: false, heads: ['local', 'global', 'combined'], architecture });
  const page = await open(context, server.url);
  await ready(page);
  const { headline } = await answerOf(page);
  assert.ok(headline);
  assert.deepEqual(await page.$$eval('#rows .which', (all) => all.map(({ textContent }) => textContent)), ['local', 'global', 'combined']);
  assert.equal(await page.$eval('#branches', (slider) => /** @type {HTMLInputElement} */ (slider).disabled), true);
  assert.doesNotMatch(await text(page, '#headline'), /agree/);
  assert.match(await text(page, '#card-what'), /^MA-Net/);
});

// ——— Moving pictures ———

/** Waits until a film plays; what the page says instead is the failure's text.
 * @param {Page} page @param {'camera' | 'video'} kind */
async function filmed(page, kind) {
  try {
    await page.waitForSelector(`[data-film=${kind}]`, { timeout: 60_000 });
  } catch {
    throw new Error(`no film of a ${kind}: “${await text(page, '#problem')}”`);
  }
}

test('the_camera_starts_after_a_notice_and_stop_ends_its_tracks', async (context) => {
  const { page } = await visit(context, '', {
    before: (page) => page.evaluateOnNewDocument(() => {
      const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      /** @type {any} */ (globalThis).asked = 0;
      navigator.mediaDevices.getUserMedia = async (constraints) => {
        /** @type {any} */ (globalThis).asked += 1;
        const stream = await get(constraints);
        /** @type {any} */ (globalThis).stream = stream;
        return stream;
      };
    }),
  });
  const asked = () => page.evaluate(() => /** @type {any} */ (globalThis).asked);
  assert.equal(await asked(), 0);
  await click(page, '#camera');
  assert.equal(await page.$eval('#notice', (dialog) => /** @type {HTMLDialogElement} */ (dialog).open), true);
  await click(page, '#notice button[value=no]');
  assert.equal(await asked(), 0);
  await click(page, '#camera');
  await click(page, '#notice button[value=yes]');
  await filmed(page, 'camera');
  await shows(page, '#caption', /Camera\. [1-9][\d.]* answers a second; \d+ frames shown/);
  const states = () => page.evaluate(() => /** @type {any} */ (globalThis).stream.getTracks().map((/** @type {MediaStreamTrack} */ track) => track.readyState));
  assert.deepEqual(await states(), ['live']);
  await click(page, '#stop');
  assert.deepEqual(await states(), ['ended']);
  await shows(page, '#caption', /Collins/);
  assert.equal(await page.$eval('#stop', (button) => /** @type {HTMLElement} */ (button).hidden), true);
  assert.deepEqual(page.errors, []);
});

test('a_camera_that_opens_after_a_picture_was_chosen_is_closed_again', async (context) => {
  const { page } = await visit(context);
  await page.evaluate(() => {
    const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (constraints) => {
      const stream = await get(constraints);
      await new Promise((resolve) => { /** @type {any} */ (globalThis).letCameraOpen = resolve; });
      /** @type {any} */ (globalThis).stream = stream;
      return stream;
    };
  });
  await click(page, '#camera');
  await click(page, '#notice button[value=yes]');
  await page.waitForFunction(() => typeof /** @type {any} */ (globalThis).letCameraOpen === 'function');
  await click(page, '#samples button:nth-of-type(2)');
  await page.evaluate(() => /** @type {any} */ (globalThis).letCameraOpen());
  await page.waitForFunction(() => /** @type {any} */ (globalThis).stream?.getTracks().every((/** @type {MediaStreamTrack} */ track) => track.readyState === 'ended'));
  assert.equal(await page.$('[data-film]'), null);
  assert.equal(await page.$eval('#stop', (button) => /** @type {HTMLElement} */ (button).hidden), true);
});

test('a_notice_answered_no_and_opened_again_at_once_still_takes_a_yes', async (context) => {
  const { page } = await visit(context);
  // Within one task, so that the first notice's event of closing comes while the second is open.
  await page.evaluate(() => {
    const press = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector)).click();
    press('#camera');
    press('#notice button[value=no]');
    press('#camera');
  });
  assert.equal(await page.$eval('#notice', (dialog) => /** @type {HTMLDialogElement} */ (dialog).open), true);
  await click(page, '#notice button[value=yes]');
  await filmed(page, 'camera');
});

test('each_way_in_which_a_camera_is_refused_has_its_own_words', async (context) => {
  const names = ['NotAllowedError', 'NotFoundError', 'NotReadableError', 'OverconstrainedError', 'SecurityError', 'AbortError', 'InvalidStateError', 'TypeError', 'OtherError'];
  const { page } = await visit(context);
  const texts = new Set();
  for (const name of names) {
    await page.evaluate((called) => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(called === 'TypeError' ? new TypeError('x') : new DOMException('x', called));
    }, name);
    await page.$eval('#problem', (element) => { element.textContent = ''; });
    await click(page, '#camera');
    await click(page, '#notice button[value=yes]');
    await shows(page, '#problem', /\w/);
    texts.add(await text(page, '#problem'));
  }
  assert.equal(texts.size, names.length, [...texts].join(' | '));
});

test('a_camera_that_is_unplugged_is_told', async (context) => {
  const { page } = await visit(context, '', {
    before: (page) => page.evaluateOnNewDocument(() => {
      const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (constraints) => {
        const stream = await get(constraints);
        /** @type {any} */ (globalThis).stream = stream;
        return stream;
      };
    }),
  });
  await click(page, '#camera');
  await click(page, '#notice button[value=yes]');
  await filmed(page, 'camera');
  await page.evaluate(() => {
    const [track] = /** @type {any} */ (globalThis).stream.getTracks();
    track.dispatchEvent(new Event('ended'));
  });
  await shows(page, '#problem', /disconnected/);
  // Firefox sends no made-up events to a track.
}, { only: 'chromium' });

test('a_video_file_is_answered_frame_by_frame_and_late_frames_are_dropped', async (context) => {
  const { page } = await visit(context, 'slow=150');
  await page.evaluate(async () => {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 160, height: 120 });
    const paint = canvas.getContext('2d');
    const recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: 'video/webm' });
    /** @type {Blob[]} */
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    const done = new Promise((resolve) => { recorder.onstop = resolve; });
    recorder.start();
    for (let i = 0; i < 60; i += 1) {
      if (paint) {
        paint.fillStyle = `hsl(${i * 6} 70% 50%)`;
        paint.fillRect(0, 0, 160, 120);
        paint.fillStyle = '#fff';
        paint.fillRect(i * 2, 40, 30, 30);
      }
      await new Promise((resolve) => { setTimeout(resolve, 33); });
    }
    recorder.stop();
    await done;
    const data = new DataTransfer();
    data.items.add(new File(parts, 'clip.webm', { type: 'video/webm' }));
    const input = /** @type {HTMLInputElement} */ (document.querySelector('#file'));
    input.files = data.files;
    input.dispatchEvent(new Event('change'));
  });
  await filmed(page, 'video');
  await shows(page, '#caption', /Video: clip\.webm\. [1-9][\d.]* answers a second; \d{2,} frames shown/);
  const [, rate, frames] = /([\d.]+) answers a second; (\d+) frames/.exec(await text(page, '#caption')) ?? [];
  // 150 ms an answer: at most 7 a second, though the video has 30 frames a second.
  assert.ok(Number(rate) > 1 && Number(rate) < 7.5, `${rate} a second, ${frames} frames`);
  await click(page, '#stop');
  await shows(page, '#caption', /Collins/);
});

// ——— For everyone ———

for (const scheme of ['light', 'dark']) {
  test(`axe_finds_nothing_in_${scheme}`, async (context) => {
    const { page } = await visit(context, '', { before: async (page) => {
      if (context.name === 'chromium') await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    } });
    const axe = readFileSync(join(WEB, 'node_modules/axe-core/axe.min.js'), 'utf8');
    await page.evaluate(axe);
    const check = async (/** @type {string} */ when) => {
      const found = await page.evaluate(async () => (await /** @type {any} */ (globalThis).axe.run()).violations
        .map((/** @type {any} */ v) => `${v.id}: ${v.nodes.map((/** @type {any} */ n) => n.target).join(', ')}`));
      assert.deepEqual(found, [], when);
    };
    await check('loaded');
    await click(page, '#rows li button');
    await click(page, '#mark');
    await check('with a mark and a chosen branch');
    await click(page, '#camera');
    await check('with the camera’s notice');
    await click(page, '#notice button[value=no]');
    await page.evaluate(() => {
      const place = /** @type {HTMLElement} */ (document.querySelector('#problem'));
      place.hidden = false;
      place.textContent = 'Something is wrong.';
    });
    await check('with a problem');
  }, { only: scheme === 'dark' ? 'chromium' : undefined });
}

test('nothing_is_wider_than_a_window_of_360_pixels', async (context) => {
  const { page } = await visit(context, '', { width: 360, height: 740 });
  const wide = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    return [...document.querySelectorAll('body *')].filter((element) => !element.closest('.hidden-text, .skip, dialog') && element.getBoundingClientRect().right > limit + 1)
      .map((element) => `${element.tagName}#${element.id}.${element.className}`);
  });
  assert.deepEqual(wide, []);
});

test('every_control_is_reached_with_the_tab_key_and_shows_its_focus', async (context) => {
  const { page } = await visit(context);
  const reached = new Set();
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const outline = getComputedStyle(element).outlineStyle;
      return `${element.id || element.closest('[id]')?.id}${outline === 'none' ? ' without outline' : ''}`;
    });
    if (focused === null) break;
    reached.add(focused);
  }
  for (const id of ['backend', 'samples', 'choose', 'camera', 'mark', 'branches', 'rows', 'forget', 'open-model']) assert.ok(reached.has(id), `${id} in ${[...reached]}`);
  assert.ok(![...reached].some((each) => each.includes('without outline')), [...reached].join());
});

test('the_live_region_speaks_at_most_every_two_seconds', async (context) => {
  const { page } = await visit(context);
  await shows(page, '#live', /apparent expression \w+, [\d.]+ %\. \d of 9 branches agree/);
  await page.evaluate(() => {
    /** @type {any} */ (globalThis).spoken = [];
    new MutationObserver(() => /** @type {any} */ (globalThis).spoken.push(performance.now())).observe(
      /** @type {Node} */ (document.querySelector('#live')), { childList: true, characterData: true, subtree: true });
    const slider = /** @type {HTMLInputElement} */ (document.querySelector('#branches'));
    for (let i = 0; i < 50; i += 1) {
      setTimeout(() => {
        slider.value = String(1 + i % 9);
        slider.dispatchEvent(new Event('input'));
      }, i * 100);
    }
  });
  await new Promise((resolve) => setTimeout(resolve, 5500));
  const spoken = await page.evaluate(() => /** @type {number[]} */ (/** @type {any} */ (globalThis).spoken));
  assert.ok(spoken.length >= 1 && spoken.length <= 4, `${spoken.length} times`);
  spoken.slice(1).forEach((at, i) => assert.ok(at - (spoken[i] ?? 0) > 1900, `${spoken}`));
});

test('the_pages_policy_lets_nothing_in_from_elsewhere', async (context) => {
  const { page } = await visit(context);
  const blocked = await page.evaluate(async () => {
    /** @type {string[]} */
    const directives = [];
    addEventListener('securitypolicyviolation', ({ effectiveDirective }) => directives.push(effectiveDirective));
    await fetch('http://127.0.0.1:9/').catch(() => undefined);
    const image = new Image();
    image.src = 'http://127.0.0.1:9/x.png';
    const script = document.createElement('script');
    script.textContent = 'globalThis.inline = true';
    document.head.append(script);
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    return { directives: directives.map((name) => name.replace('-elem', '')).sort(), inline: 'inline' in globalThis };
  });
  assert.deepEqual([...new Set(blocked.directives)], ['connect-src', 'img-src', 'script-src']);
  assert.equal(blocked.inline, false);
});
