/** The large picture: faces' boxes, one branch's attention over a face, and a square that is drawn by hand. */

import { colour, contextOf, element } from './elements.js';

/** @typedef {import('../api/types.d.ts').Box} Box */
/** @typedef {import('../api/types.d.ts').Face} Face */
/** @typedef {{ width: number, height: number, values: Float32Array }} Attention */
/** @typedef {(context: CanvasRenderingContext2D, width: number, height: number) => void} Painter */

const canvas = element('canvas', HTMLCanvasElement);
const context = contextOf(canvas);
/** Enough for sharp lines; the picture keeps its own size for the engine. */
const LONGEST = 1280;

/** What stands on the stage. */
const shown = {
  /** @type {CanvasImageSource | null} */ picture: null,
  width: 0,
  height: 0,
  /** @type {Face[]} */ faces: [],
  selected: 0,
  /** @type {Attention | null} */ attention: null,
  /** @type {Box | null} */ mark: null,
};

/** @param {Partial<typeof shown>} change */
export function show(change) {
  Object.assign(shown, change);
  draw();
}

/** @param {string} label */
export function describe(label) {
  canvas.setAttribute('aria-label', label);
}

/** An attention map as a picture: the stronger, the more opaque.
 * @param {Attention} attention */
export function heat({ width, height, values }) {
  const map = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  const [red = 255, green = 140, blue = 0] = colour('--heat').split(/\s+/).map(Number);
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  values.forEach((value, i) => {
    const strength = high > low ? (value - low) / (high - low) : 0;
    pixels.data.set([red, green, blue, Math.round(200 * strength ** 1.3)], i * 4);
  });
  map.getContext('2d')?.putImageData(pixels, 0, 0);
  return map;
}

export function draw() {
  const { picture, width, height, faces, selected, attention, mark } = shown;
  if (!picture || width === 0) return;
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  context.imageSmoothingEnabled = true;
  context.drawImage(picture, 0, 0, w, h);
  const line = Math.max(1.5, Math.max(w, h) / 260);
  const face = faces[selected];
  if (attention && face) {
    const { x, y, width: bw, height: bh } = face.box ?? { x: 0, y: 0, width, height };
    context.drawImage(heat(attention), x * scale, y * scale, bw * scale, bh * scale);
  }
  faces.forEach(({ box, label }, i) => {
    if (box) frame(box, scale, line * (i === selected ? 1.5 : 1), faces.length > 1 ? `${i + 1} ${label}` : label, i === selected);
  });
  if (mark) frame(mark, scale, line, 'marked', false, [line * 3, line * 2]);
}

/**
 * @param {Box} box
 * @param {number} scale
 * @param {number} line
 * @param {string} text
 * @param {boolean} strong
 * @param {number[]} [dash]
 */
function frame(box, scale, line, text, strong, dash = []) {
  const [x, y, w, h] = [box.x, box.y, box.width, box.height].map((v) => v * scale);
  if (x === undefined || y === undefined || w === undefined || h === undefined) return;
  context.setLineDash(dash);
  // A dark line under a light one is seen on any picture.
  for (const [style, wide] of /** @type {[string, number][]} */ ([['rgb(0 0 0 / 0.55)', line * 2], [strong ? colour('--box') : '#fff', line]])) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.strokeRect(x, y, w, h);
  }
  context.setLineDash([]);
  const size = Math.max(12, Math.round(Math.max(canvas.width, canvas.height) / 38));
  context.font = `600 ${size}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + size * 0.8;
  const top = y >= size * 1.5 ? y - size * 1.5 : Math.min(y + h, canvas.height - size * 1.5);
  const left = Math.max(0, Math.min(x, canvas.width - wide));
  context.fillStyle = strong ? colour('--box') : '#fff';
  context.fillRect(left, top, wide, size * 1.5);
  context.fillStyle = '#1a1a1a';
  context.textBaseline = 'middle';
  context.fillText(text, left + size * 0.4, top + size * 0.78);
}

/** Where an event points, in pixels of the picture.
 * @param {MouseEvent} event */
function place(event) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  // `object-fit: contain` leaves bands beside the picture.
  const scale = Math.min(width / shown.width, height / shown.height);
  return {
    x: (event.clientX - left - (width - shown.width * scale) / 2) / scale,
    y: (event.clientY - top - (height - shown.height * scale) / 2) / scale,
  };
}

/** Calls back with the number of a face that is clicked on.
 * @param {(index: number) => void} chosen */
export function onFace(chosen) {
  canvas.addEventListener('click', (event) => {
    const { x, y } = place(event);
    const index = shown.faces.findIndex(({ box }) => box && x >= box.x && y >= box.y && x < box.x + box.width && y < box.y + box.height);
    if (index >= 0) chosen(index);
  });
}

/** Lets a square be drawn by hand or with the sliders; calls back with each.
 * @param {(box: Box) => void} marked
 * @param {() => void} whole */
export function crop(marked, whole) {
  const fieldset = element('crop', HTMLFieldSetElement);
  const [left, top, size] = ['crop-left', 'crop-top', 'crop-size'].map((id) => element(id, HTMLInputElement));
  if (!left || !top || !size) throw new Error('invariant: three sliders');
  const fromSliders = () => {
    const side = Math.min(shown.width, shown.height) * size.valueAsNumber / 100;
    const x = (shown.width - side) * left.valueAsNumber / 100;
    const y = (shown.height - side) * top.valueAsNumber / 100;
    return { x, y, width: side, height: side };
  };
  /** @param {Box} box */
  const toSliders = (box) => {
    const share = (/** @type {number} */ v, /** @type {number} */ all) => String(all > 0 ? 100 * v / all : 0);
    size.value = share(box.width, Math.min(shown.width, shown.height));
    left.value = share(box.x, shown.width - box.width);
    top.value = share(box.y, shown.height - box.height);
  };
  for (const slider of [left, top, size]) {
    slider.addEventListener('input', () => show({ mark: fromSliders() }));
    slider.addEventListener('change', () => marked(fromSliders()));
  }
  element('crop-whole', HTMLButtonElement).addEventListener('click', whole);

  /** @type {{ x: number, y: number } | null} */
  let begin = null;
  canvas.addEventListener('pointerdown', (event) => {
    if (fieldset.hidden) return;
    begin = place(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!begin) return;
    const end = place(event);
    const side = Math.min(Math.max(Math.abs(end.x - begin.x), Math.abs(end.y - begin.y)), shown.width, shown.height);
    const keep = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ all) =>
      Math.max(0, Math.min(to < from ? from - side : from, all - side));
    show({ mark: { x: keep(begin.x, end.x, shown.width), y: keep(begin.y, end.y, shown.height), width: side, height: side } });
  });
  canvas.addEventListener('pointerup', () => {
    begin = null;
    if (shown.mark && shown.mark.width >= 8) {
      toSliders(shown.mark);
      marked(shown.mark);
    }
  });
  return {
    /** @param {boolean} on */
    toggle(on) {
      fieldset.hidden = !on;
      element('stage', HTMLElement).classList.toggle('marking', on);
      show({ mark: on ? fromSliders() : null });
    },
    get on() {
      return !fieldset.hidden;
    },
    current: fromSliders,
  };
}
