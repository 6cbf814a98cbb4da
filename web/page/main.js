/** The page: one picture at a time, asked about again whenever something changes. */

import { MoueError, readImage } from '../api/index.js';
import { showBranches, showCost, showEnsemble, showNothing, showScale, showSimilarity, showTimings } from './answer.js';
import { Film, askBeforeCamera, cameraProblem } from './camera.js';
import { element, make, milliseconds, percent, write } from './elements.js';
import { load, showBackend, showCard, showKept } from './loading.js';
import { keepForOffline } from './offline.js';
import { SAMPLES } from './samples.js';
import * as stage from './stage.js';

/** @typedef {import('../api/types.d.ts').Moue} Moue */
/** @typedef {import('../api/types.d.ts').Box} Box */
/** @typedef {import('../api/types.d.ts').Prediction} Prediction */

/** What the page shows and knows. */
const page = {
  /** @type {Moue | null} */ moue: null,
  /** @type {{ bitmap: ImageBitmap, caption: string } | null} */ picture: null,
  /** @type {Film | null} */ film: null,
  /** @type {Prediction | null} */ answer: null,
  /** Faces of the present picture: found, marked by hand, or none yet. @type {Box[] | 'detect' | 'none'} */ faces: 'detect',
  selected: 0,
  /** The branch whose attention lies over the picture. @type {number | null} */ branch: null,
  /** Branches that answer; null: all. @type {number | null} */ branches: null,
  /** Milliseconds by number of branches. @type {Map<number, number>} */ cost: new Map(),
};
const slider = element('branches', HTMLInputElement);
const root = document.documentElement;

/** Words for the ear: the latest, at most one every two seconds. */
const speech = { said: 0, text: '', timer: 0 };
/** @param {string} text */
function say(text) {
  speech.text = text;
  if (speech.timer) return;
  speech.timer = window.setTimeout(() => {
    speech.timer = 0;
    speech.said = performance.now();
    write('live', speech.text);
  }, Math.max(0, speech.said + 2000 - performance.now()));
}

/** @param {string} text nothing: all is well again */
function problem(text) {
  const place = element('problem', HTMLElement);
  place.hidden = text === '';
  write('problem', text);
}

// ——— Asking ———

let asking = false;
let again = false;
/** Asks about the present picture; a change meanwhile asks once more, and an old answer is not shown. */
async function ask() {
  again = true;
  if (asking) return;
  asking = true;
  try {
    while (again) {
      again = false;
      if (page.picture && !page.film) await askOnce(page.picture.bitmap);
    }
  } finally {
    asking = false;
  }
}

/** @param {ImageBitmap} bitmap */
async function askOnce(bitmap) {
  const { moue, film } = page;
  if (!moue) return;
  try {
    const answer = await moue.predict(bitmap, { branches: page.branches ?? 0, face: page.faces });
    if (page.film !== film || (!film && page.picture?.bitmap !== bitmap)) return;
    if (!film && page.faces === 'detect') page.faces = answer.faces.flatMap(({ box }) => box ?? []);
    if (!film) note(answer);
    problem('');
    page.answer = answer;
    show(bitmap);
    say(spoken(answer));
    root.dataset.answered = String(answer.branches);
    if (performance.getEntriesByName('first-answer').length === 0) performance.mark('first-answer');
  } catch (thrown) {
    if (moue !== page.moue || film !== page.film) return;
    page.answer = null;
    stage.show({ faces: [], attention: null });
    element('faces', HTMLElement).replaceChildren();
    refused(thrown);
  }
}

/** Counts what an answer took, by its number of branches.
 * @param {Prediction} answer */
function note({ branches, timings, faces }) {
  const ms = (timings.prepare + timings.run + timings.read) / Math.max(1, faces.length);
  page.cost.set(branches, Math.min(ms, page.cost.get(branches) ?? Infinity));
}

/** @param {unknown} thrown */
function refused(thrown) {
  const { code, message } = thrown instanceof MoueError ? thrown : { code: 'engine-failed', message: String(thrown) };
  if (code === 'no-face') {
    showNothing('no face found', page.film ? 'Nobody is in view, or the face is turned away.' : 'Mark the face yourself, or take the whole picture.');
    say('No face found');
    if (!page.film && !cropping.on) toggleCrop(true);
    return;
  }
  showNothing('no answer', '');
  problem(`${message.charAt(0).toUpperCase()}${message.slice(1)}.`);
}

/** @param {Prediction} answer */
function spoken({ faces, branches }) {
  const face = faces[Math.min(page.selected, faces.length - 1)];
  if (!face) return '';
  const agree = face.votes[face.class] ?? 0;
  const which = faces.length > 1 ? `Face ${page.selected + 1} of ${faces.length}: ` : '';
  const agreement = page.moue?.info.model.votes ? ` ${agree} of ${branches} branches agree.` : '';
  return `${which}apparent expression ${face.label}, ${percent(face.probabilities[face.class] ?? 0)}.${agreement}`;
}

// ——— Showing ———

/** @param {ImageBitmap} bitmap the picture that the answer is about */
function show(bitmap) {
  const { answer, moue } = page;
  if (!answer || !moue) return;
  page.selected = Math.min(page.selected, answer.faces.length - 1);
  const face = answer.faces[page.selected];
  if (!face) return;
  const { model } = moue.info;
  const branch = page.branch === null ? null : face.branches[page.branch] ?? null;
  stage.show({ faces: answer.faces, selected: page.selected, attention: branch?.attention ?? null, ...(cropping.on ? {} : { mark: null }) });
  stage.describe(`The picture; ${answer.faces.length === 1 ? 'one face' : `${answer.faces.length} faces`}: ${answer.faces.map(({ label }) => label).join(', ')}`);
  showFaces(answer, bitmap);
  showEnsemble(face, model);
  const { x, y, width, height } = face.box ?? { x: 0, y: 0, width: bitmap.width, height: bitmap.height };
  const paint = (/** @type {CanvasRenderingContext2D} */ context, /** @type {number} */ size) => context.drawImage(bitmap, x, y, width, height, 0, 0, size, size);
  showBranches(face, model, paint, page.branch, (index) => {
    page.branch = page.branch === index ? null : index;
    show(bitmap);
  });
  showSimilarity('spatial', face.spatial, face.branches.length);
  showSimilarity('channel', face.channel, face.branches.length);
  showTimings(answer.timings);
  showSlider();
}

/** A button for each face, where there are several.
 * @param {Prediction} answer
 * @param {ImageBitmap} bitmap */
function showFaces({ faces }, bitmap) {
  const place = element('faces', HTMLElement);
  if (faces.length < 2) {
    if (place.children.length > 0) place.replaceChildren();
    return;
  }
  while (place.children.length > faces.length) place.lastElementChild?.remove();
  while (place.children.length < faces.length) {
    const index = place.children.length;
    const button = make('button');
    button.type = 'button';
    button.addEventListener('click', () => select(index));
    place.append(button);
  }
  select = (index) => {
    page.selected = index;
    show(bitmap);
    if (page.answer) say(spoken(page.answer));
  };
  faces.forEach(({ label }, i) => {
    const button = place.children[i];
    button?.setAttribute('aria-pressed', String(i === page.selected));
    if (button) button.textContent = `${i + 1}: ${label}`;
  });
}
/** @type {(index: number) => void} */
let select = () => undefined;
stage.onFace((index) => select(index));

function showSlider() {
  const model = page.moue?.info.model;
  if (!model) return;
  const total = model.totalBranches ?? model.branches;
  const used = Math.min(page.branches ?? model.branches, model.branches);
  slider.max = String(total);
  slider.disabled = total < 2 || !model.votes;
  slider.value = String(used);
  slider.setAttribute('aria-valuetext', `${used} of ${total} branches`);
  write('branches-text', `${used} of ${total}${model.branches < total ? `, ${model.branches} loaded` : ''}`);
  const accuracy = model.result?.['by_branches'];
  showCost(page.cost, used, total, Array.isArray(accuracy) ? accuracy.map(Number) : null);
}
slider.addEventListener('input', () => {
  const total = Number(slider.max);
  page.branches = slider.valueAsNumber === total ? null : slider.valueAsNumber;
  showSlider();
  ask();
});

// ——— Pictures ———

/**
 * @param {ImageBitmap} bitmap
 * @param {string} caption
 */
function take(bitmap, caption) {
  stopFilm();
  page.picture?.bitmap.close();
  page.picture = { bitmap, caption };
  page.faces = 'detect';
  page.selected = 0;
  page.answer = null;
  problem('');
  if (cropping.on) toggleCrop(false);
  write('caption', caption);
  stage.show({ picture: bitmap, width: bitmap.width, height: bitmap.height, faces: [], attention: null, mark: null });
  ask();
}

/** A file that was chosen, dropped or pasted.
 * @param {File} file */
async function open(file) {
  pressSample(null);
  if (file.name.endsWith('.safetensors')) return begin(file);
  if (file.type.startsWith('video/')) return film(() => new Film(file, () => undefined), `Video: ${file.name}`);
  try {
    take(await readImage(file), file.name);
  } catch (thrown) {
    refused(thrown);
  }
}

/** @param {HTMLButtonElement | null} pressed */
function pressSample(pressed) {
  for (const button of element('samples', HTMLElement).children) button.setAttribute('aria-pressed', String(button === pressed));
}

/** @type {Map<string, Promise<Blob>>} */
const samples = new Map();
for (const { file, title, caption } of SAMPLES) {
  // All are fetched now, so that none is later.
  const blob = fetch(file).then((response) => response.blob());
  samples.set(file, blob);
  const button = make('button');
  button.type = 'button';
  button.setAttribute('aria-pressed', 'false');
  const image = make('img');
  image.alt = title;
  blob.then((bytes) => { image.src = URL.createObjectURL(bytes); }, () => { image.alt = `${title} (not loaded)`; });
  button.append(image);
  button.addEventListener('click', async () => {
    pressSample(button);
    try {
      take(await readImage(await blob), caption);
    } catch {
      problem(`The sample “${title}” could not be loaded.`);
    }
  });
  element('samples', HTMLElement).append(button);
}

// ——— Marking by hand ———

const cropping = stage.crop((box) => {
  page.faces = [box];
  ask();
}, () => {
  page.faces = 'none';
  toggleCrop(false);
  ask();
});
/** @param {boolean} on */
function toggleCrop(on) {
  cropping.toggle(on);
  element('mark', HTMLButtonElement).setAttribute('aria-pressed', String(on));
}
element('mark', HTMLButtonElement).setAttribute('aria-pressed', 'false');
element('mark', HTMLButtonElement).addEventListener('click', () => {
  if (page.film || !page.picture) return;
  toggleCrop(!cropping.on);
  page.faces = cropping.on ? [cropping.current()] : 'detect';
  ask();
});

// ——— Moving pictures ———

/** Counts up whenever what plays, or is about to, is given up. */
let films = 0;

/**
 * @param {() => Film | Promise<Film>} make
 * @param {string} caption
 */
async function film(make, caption) {
  stopFilm();
  const turn = films;
  if (cropping.on) toggleCrop(false);
  /** @type {Film | null} */
  let current = null;
  try {
    const made = await make();
    // Another was asked for while this one's camera was being opened.
    if (turn !== films) return made.stop();
    current = made;
    page.film = made;
    page.faces = 'detect';
    page.answer = null;
    pressSample(null);
    problem('');
    /** @type {ImageBitmap | null} */
    let last = null;
    await made.play((video) => {
      stage.show({ picture: video, width: video.videoWidth, height: video.videoHeight });
    }, async (frame) => {
      if (page.film !== made) return frame.close();
      await askOnce(frame);
      if (page.film !== made) return frame.close();
      // The rows were drawn from the frame before this one until now.
      last?.close();
      last = frame;
      write('caption', `${caption}. ${made.rate.toFixed(1)} answers a second; ${made.frames} frames shown`);
    });
    if (page.film !== made) return;
    element('stop', HTMLButtonElement).hidden = false;
    element('mark', HTMLButtonElement).disabled = true;
    root.dataset.film = made.isCamera ? 'camera' : 'video';
  } catch (thrown) {
    current?.stop();
    if (turn !== films) return;
    page.film = null;
    problem(caption.startsWith('Video') ? 'This video cannot be played by this browser.' : cameraProblem(thrown));
  }
}

function stopFilm() {
  films += 1;
  if (!page.film) return;
  page.film.stop();
  page.film = null;
  delete root.dataset.film;
  const stop = element('stop', HTMLButtonElement);
  const focused = document.activeElement === stop;
  stop.hidden = true;
  element('mark', HTMLButtonElement).disabled = false;
  if (focused) element('camera', HTMLButtonElement).focus();
}
element('stop', HTMLButtonElement).addEventListener('click', () => {
  stopFilm();
  write('caption', 'Stopped.');
  if (!page.picture) return;
  const { bitmap, caption } = page.picture;
  page.picture = null;
  take(bitmap, caption);
});
element('camera', HTMLButtonElement).addEventListener('click', async () => {
  if (!await askBeforeCamera()) return;
  await film(() => Film.camera(() => {
    stopFilm();
    problem('The camera was disconnected.');
  }), 'Camera');
});

// ——— Files: chosen, dropped, pasted ———

for (const [button, input] of [['choose', 'file'], ['open-model', 'model-file']]) {
  const picker = element(String(input), HTMLInputElement);
  element(String(button), HTMLButtonElement).addEventListener('click', () => picker.click());
  picker.addEventListener('change', () => {
    const file = picker.files?.[0];
    picker.value = '';
    if (file) input === 'model-file' ? begin(file) : open(file);
  });
}
let over = 0;
addEventListener('dragenter', () => { over += 1; document.body.classList.add('dropping'); });
addEventListener('dragleave', () => { over = Math.max(0, over - 1); if (over === 0) document.body.classList.remove('dropping'); });
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove('dropping');
  const file = event.dataTransfer?.files[0];
  if (file) open(file);
  else problem('What was dropped is no file; save the picture first and drop the file.');
});
addEventListener('paste', (event) => {
  const file = event.clipboardData?.files[0];
  if (file) open(file);
});

// ——— The model ———

let turn = 0;
/** Loads the page's model, or one from a file.
 * @param {File | null} file */
async function begin(file = null) {
  const mine = ++turn;
  root.dataset.state = 'loading';
  delete root.dataset.answered;
  problem('');
  let answers = false;
  try {
    const old = page.moue;
    const moue = await load(/** @type {import('../api/types.d.ts').Backend} */ (backend.value), file, (progress) => {
      // More branches: a better answer for the same picture.
      if (mine === turn && answers && progress.stage === 'branches') ask();
    });
    if (mine !== turn) return moue.dispose();
    old?.dispose();
    page.moue = moue;
    answers = true;
    page.branches = null;
    page.branch = null;
    page.cost.clear();
    await ask();
    const { model, backend: device } = await moue.complete;
    if (mine !== turn) return;
    showCard(model);
    showBackend(device);
    await ask();
    await measureCost(moue);
    write('loading-text', `Ready: ${model.branches} branches. Nothing more is fetched.`);
  } catch (thrown) {
    if (mine !== turn) return;
    const { code, message } = thrown instanceof MoueError ? thrown : { code: 'engine-failed', message: String(thrown) };
    write('loading-text', code === 'no-adapter' || code === 'software-adapter' ? 'This browser cannot compute on a GPU here; choose another device above.' : 'The model could not be loaded.');
    const next = code === 'download-failed' ? ' Try again later, or open a model file below, as moue export --web writes it.' : '';
    problem(`${/^https?:/.test(message) ? message : message.charAt(0).toUpperCase() + message.slice(1)}.${next}`);
    root.dataset.failed = code;
  } finally {
    if (mine === turn) {
      await showKept();
      await keepForOffline();
      root.dataset.state = 'ready';
    }
  }
}

/** The time with each number of branches, where an answer is quick enough to ask for them all.
 * @param {Moue} moue */
async function measureCost(moue) {
  const total = moue.info.model.branches;
  const all = page.cost.get(total);
  const { picture, film, faces } = page;
  if (all === undefined || all * total > 1500 || !picture || film || faces === 'detect' || total < 2 || !moue.info.model.votes) return;
  for (let branches = total; branches >= 1; branches -= 1) {
    if (page.moue !== moue || page.picture !== picture || page.film) return;
    const of = Array.isArray(faces) ? faces.slice(0, 1) : faces;
    // Twice: the first time may have to make the network of so many branches.
    for (let i = 0; i < 2; i += 1) note(await moue.predict(picture.bitmap, { branches, face: of, attention: false }));
  }
  showSlider();
}

const backend = element('backend', HTMLSelectElement);
const wished = new URLSearchParams(location.search).get('backend');
if (wished && [...backend.options].some(({ value }) => value === wished)) backend.value = wished;
backend.addEventListener('change', () => begin());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  showScale();
  const bitmap = page.picture?.bitmap;
  if (bitmap && !page.film) show(bitmap);
});

showScale();
element('samples', HTMLElement).querySelector('button')?.click();
begin();
