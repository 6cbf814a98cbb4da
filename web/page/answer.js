/** What the ensemble, its branches and their similarity look like. */

import { colour, contextOf, element, make, milliseconds, percent, write } from './elements.js';
import { heat } from './stage.js';

/** @typedef {import('../api/types.d.ts').Face} Face */
/** @typedef {import('../api/types.d.ts').Prediction} Prediction */

const bars = element('bars', HTMLTableSectionElement);
const rows = element('rows', HTMLOListElement);

/** Makes the table's rows anew where the classes changed.
 * @param {string[]} classes */
function barsFor(classes) {
  if (bars.dataset.classes === classes.join()) return;
  bars.dataset.classes = classes.join();
  bars.replaceChildren(...classes.map((label) => {
    const row = make('tr');
    const head = make('th', '', label);
    head.scope = 'row';
    const track = make('div', 'track');
    track.append(make('div', 'fill'));
    const bar = make('td');
    bar.append(track);
    row.append(head, bar, make('td'), make('td'));
    return row;
  }));
}

/**
 * @param {Face} face
 * @param {import('../api/types.d.ts').ModelInfo} model
 */
export function showEnsemble(face, { classes, votes: vote }) {
  barsFor(classes);
  const agree = face.votes[face.class] ?? 0;
  const [strong, small] = element('headline', HTMLElement).children;
  if (strong) strong.textContent = face.label;
  if (small) small.textContent = `apparent expression, ${percent(face.probabilities[face.class] ?? 0)}${vote ? `; ${agree} of ${face.branches.length} branches agree` : ''}`;
  [...bars.rows].forEach((row, i) => {
    const share = face.probabilities[i] ?? 0;
    const votes = face.votes[i] ?? 0;
    row.classList.toggle('first', i === face.class);
    const fill = row.querySelector('.fill');
    if (fill instanceof HTMLElement) fill.style.width = `${share * 100}%`;
    const [, , probability, count] = row.cells;
    if (probability) probability.textContent = percent(share);
    if (count) count.textContent = votes === 0 ? '' : votes === 1 ? '1 vote' : `${votes} votes`;
  });
}

/** Without a face there is no answer.
 * @param {string} title
 * @param {string} text */
export function showNothing(title, text) {
  const [strong, small] = element('headline', HTMLElement).children;
  if (strong) strong.textContent = title;
  if (small) small.textContent = text;
  for (const row of bars.rows) {
    row.classList.remove('first');
    const fill = row.querySelector('.fill');
    if (fill instanceof HTMLElement) fill.style.width = '0';
    for (const cell of [row.cells[2], row.cells[3]]) if (cell) cell.textContent = '';
  }
  rows.replaceChildren();
  showSimilarity('spatial', null, 0);
  showSimilarity('channel', null, 0);
}

/**
 * One row per branch: its vote, and its attention over the face.
 * @param {Face} face
 * @param {import('../api/types.d.ts').ModelInfo} model
 * @param {(context: CanvasRenderingContext2D, size: number) => void} paintFace
 * @param {number | null} chosen the branch whose attention lies over the large picture
 * @param {(branch: number) => void} choose
 */
export function showBranches(face, { classes, heads, votes }, paintFace, chosen, choose) {
  while (rows.children.length > face.branches.length) rows.lastElementChild?.remove();
  while (rows.children.length < face.branches.length) {
    const index = rows.children.length;
    const button = make('button');
    button.type = 'button';
    const canvas = make('canvas');
    canvas.width = canvas.height = 96;
    button.setAttribute('aria-describedby', 'rows-hint');
    const number = make('span', 'number');
    number.append(make('span', 'hidden-text', 'Branch '), make('span', 'which'), ' ');
    const vote = make('span');
    vote.append(make('span', 'vote'), ' ', make('span', 'differs', 'differs'), ' ');
    button.append(canvas, number, vote, make('span', 'share'));
    button.addEventListener('click', () => choose(index));
    const item = make('li');
    item.append(button);
    rows.append(item);
  }
  face.branches.forEach((branch, i) => {
    const item = rows.children[i];
    const button = item?.querySelector('button');
    const canvas = item?.querySelector('canvas');
    if (!item || !button || !canvas) return;
    const vote = classes[branch.class] ?? '';
    const share = percent(branch.probabilities[branch.class] ?? 0);
    item.querySelector('.differs')?.toggleAttribute('hidden', branch.class === face.class);
    button.setAttribute('aria-pressed', String(chosen === i));
    for (const [part, text] of [['.which', votes ? String(i + 1) : heads[i]], ['.vote', vote], ['.share', share]]) {
      const span = button.querySelector(String(part));
      if (span && text !== undefined) span.textContent = text;
    }
    const context = contextOf(canvas);
    paintFace(context, canvas.width);
    if (branch.attention) {
      // A paler face lets the map speak.
      context.fillStyle = 'rgb(255 255 255 / 0.18)';
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.imageSmoothingQuality = 'high';
      context.drawImage(heat(branch.attention), 0, 0, canvas.width, canvas.height);
    }
  });
}

/** A ramp from the page's ground to its accent.
 * @param {number} value in [0, 1] */
function shade(value) {
  const share = Math.round(100 * Math.min(1, Math.max(0, value)));
  return `color-mix(in srgb, ${colour('--accent')} ${share}%, ${colour('--paper')})`;
}

/**
 * @param {'spatial' | 'channel'} kind
 * @param {import('../api/types.d.ts').Similarity | null} measured
 * @param {number} count
 */
export function showSimilarity(kind, measured, count) {
  const canvas = element(kind, HTMLCanvasElement);
  const context = contextOf(canvas);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!measured || count < 2) {
    write(`${kind}-text`, count === 1 ? 'takes two branches' : 'not there');
    canvas.setAttribute('aria-label', `No ${kind} similarity`);
    return;
  }
  const { similarity, determinant } = measured;
  const side = canvas.width / count;
  let sum = 0;
  let closest = { value: -Infinity, i: 0, j: 1 };
  for (let i = 0; i < count; i += 1) {
    for (let j = 0; j < count; j += 1) {
      const value = similarity[i * count + j] ?? 0;
      if (i !== j) sum += value;
      if (i < j && value > closest.value) closest = { value, i, j };
      context.fillStyle = shade(value);
      context.fillRect(Math.floor(j * side), Math.floor(i * side), Math.ceil(side) - 1, Math.ceil(side) - 1);
    }
  }
  const mean = sum / (count * (count - 1));
  write(`${kind}-text`, `determinant ${determinant < 0.001 && determinant > 0 ? determinant.toExponential(1) : determinant.toFixed(3)}`);
  canvas.setAttribute('aria-label', `${kind === 'spatial' ? 'Spatial' : 'Channel'} attention of ${count} branches: mean similarity ` +
    `${mean.toFixed(2)}, determinant ${determinant.toPrecision(2)}; most alike are branches ${closest.i + 1} and ${closest.j + 1} (${closest.value.toFixed(2)})`);
}

export function showScale() {
  const canvas = element('scale', HTMLCanvasElement);
  const context = contextOf(canvas);
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = shade(x / (canvas.width - 1));
    context.fillRect(x, 0, 1, canvas.height);
  }
}

/** @param {Prediction['timings']} timings */
export function showTimings({ decode, detect, prepare, run, read, total }) {
  const parts = [['pixels', decode], ['find faces', detect], ['prepare', prepare], ['network', run], ['read', read]]
    .filter(([, ms]) => Number(ms) >= 0.05).map(([name, ms]) => `${name} ${milliseconds(Number(ms))}`);
  write('timings', `${milliseconds(total)} in all: ${parts.join(', ')}`);
}

/**
 * Time, and accuracy where the model says it, against the number of branches.
 * @param {Map<number, number>} measured milliseconds by number of branches
 * @param {number} used
 * @param {number} total
 * @param {number[] | null} accuracy by number of branches, from 1
 */
export function showCost(measured, used, total, accuracy) {
  const list = element('cost', HTMLOListElement);
  const highest = Math.max(...measured.values(), 0);
  list.replaceChildren(...(measured.size < 2 ? [] : Array.from({ length: total }, (_, i) => {
    const ms = measured.get(i + 1);
    const item = make('li', i < used ? 'used' : '');
    item.style.height = `${ms === undefined ? 0 : 100 * ms / highest}%`;
    item.setAttribute('aria-label', `${i + 1}: ${ms === undefined ? 'not measured' : milliseconds(ms)}${accuracy?.[i] === undefined ? '' : `, accuracy ${percent(accuracy[i])}`}`);
    item.title = item.getAttribute('aria-label') ?? '';
    return item;
  })));
  const ms = measured.get(used);
  const all = measured.get(total);
  const words = [];
  if (ms !== undefined) words.push(`${milliseconds(ms)} with ${used}`);
  if (all !== undefined && used !== total) words.push(`${milliseconds(all)} with all ${total}`);
  if (accuracy?.[used - 1] !== undefined) words.push(`accuracy ${percent(accuracy[used - 1] ?? 0)}${used === total ? '' : `, ${percent(accuracy[total - 1] ?? 0)} with all`}`);
  write('cost-text', words.join('; '));
}
