/** Moving pictures: the camera, after a notice and a click, and video files. Frames that nobody waits for are dropped. */

import { element } from './elements.js';

/** Why there is no camera, for each way in which browsers refuse it.
 * @param {unknown} thrown */
export function cameraProblem(thrown) {
  const name = thrown instanceof Error ? thrown.name : '';
  const detail = thrown instanceof Error && thrown.message ? ` (${thrown.message})` : '';
  switch (name) {
    case 'NotAllowedError': return 'The camera was not allowed. Allow it for this page in the browser’s address bar, or in the system’s settings, and try again.';
    case 'NotFoundError': return 'No camera was found. Connect one and try again, or choose a picture.';
    case 'NotReadableError': return `The camera is there but gives no picture; another program may be using it${detail}.`;
    case 'OverconstrainedError': return 'No camera can give the size of picture that was asked for.';
    case 'SecurityError': return 'This page may not use a camera: the browser or the surrounding page forbids it.';
    case 'AbortError': return `The camera stopped before its first picture${detail}.`;
    case 'InvalidStateError': return 'The page is not in front; click into it and try again.';
    case 'TypeError': return 'This browser offers no camera here; pages need https or localhost for it.';
    default: return `The camera could not be started: ${name || 'unknown reason'}${detail}.`;
  }
}

/** @returns {Promise<boolean>} whether the visitor agreed; stays open if the question is put again */
export function askBeforeCamera() {
  const notice = element('notice', HTMLDialogElement);
  notice.returnValue = 'no';
  notice.showModal();
  return new Promise((resolve) => {
    // One handler: an earlier question is dropped, and its event of closing may come when the dialog is open again.
    notice.onclose = () => { if (!notice.open) resolve(notice.returnValue === 'yes'); };
  });
}

/** A video whose frames are looked at as fast as answers come. */
export class Film {
  /** @type {HTMLVideoElement} */ video;
  /** @type {MediaStream | null} */ #stream;
  /** @type {string | null} */ #url;
  #stopped = false;
  frames = 0;
  /** Moments of the latest answers. @type {number[]} */ #answers = [];

  /**
   * @param {MediaStream | Blob} source
   * @param {() => void} ended the camera was unplugged
   */
  constructor(source, ended) {
    this.video = document.createElement('video');
    Object.assign(this.video, { muted: true, playsInline: true, loop: true });
    if (source instanceof Blob) {
      this.#stream = null;
      this.#url = URL.createObjectURL(source);
      this.video.src = this.#url;
    } else {
      this.#stream = source;
      this.#url = null;
      this.video.srcObject = source;
      for (const track of source.getTracks()) track.addEventListener('ended', () => { if (!this.#stopped) ended(); });
    }
  }

  static async camera(/** @type {() => void} */ ended) {
    if (!navigator.mediaDevices?.getUserMedia) throw new TypeError('no mediaDevices');
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: 'user', width: { ideal: 640 }, height: { ideal: 480 } } });
    return new Film(stream, ended);
  }

  /**
   * @param {(video: HTMLVideoElement) => void} shown every frame
   * @param {(frame: ImageBitmap) => Promise<void>} asked the newest frame whenever the last answer is there
   */
  async play(shown, asked) {
    await new Promise((resolve, reject) => {
      this.video.addEventListener('loadeddata', resolve, { once: true });
      this.video.addEventListener('error', () => reject(this.video.error ?? new Error('unreadable')), { once: true });
      this.video.play().catch(reject);
    });
    let busy = false;
    const next = () => {
      if (this.#stopped) return;
      if ('requestVideoFrameCallback' in this.video) this.video.requestVideoFrameCallback(frame);
      else requestAnimationFrame(frame);
    };
    const frame = async () => {
      if (this.#stopped) return;
      this.frames += 1;
      shown(this.video);
      next();
      // Frames that come meanwhile are shown but not asked about: an old answer is of no use. None is while hidden.
      if (busy || document.hidden) return;
      busy = true;
      try {
        await asked(await createImageBitmap(this.video));
        const now = performance.now();
        this.#answers = [...this.#answers, now].filter((then) => now - then < 2000).slice(-120);
      } catch {
        // A video that ends in the middle of a frame; the next frame tells.
      } finally {
        busy = false;
      }
    };
    next();
  }

  /** Answers per second, over the last two. */
  get rate() {
    const first = this.#answers[0];
    const last = this.#answers.at(-1);
    if (first === undefined || last === undefined || last === first) return 0;
    return (this.#answers.length - 1) * 1000 / (last - first);
  }

  get isCamera() {
    return this.#stream !== null;
  }

  stop() {
    this.#stopped = true;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.video.pause();
    this.video.srcObject = null;
    this.video.removeAttribute('src');
    if (this.#url) URL.revokeObjectURL(this.#url);
  }
}
