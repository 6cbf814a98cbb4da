/** The typed face of the package: everything that `import … from 'moue'` gives. */

/** Where the arithmetic runs. `auto`: a real GPU through WebGPU, else the processor, with the reason in {@link Info}. */
export type Backend = 'auto' | 'webgpu' | 'cpu';

/** What went wrong, for programs; {@link MoueError.message} says it for people. */
export type Code =
  /** The browser has no WebGPU, or WebGPU has no adapter. */
  | 'no-adapter'
  /** There is an adapter, but it computes on the processor, many times slower than the wasm engine. */
  | 'software-adapter'
  /** The GPU was lost, and again after it was asked for once more. */
  | 'device-lost'
  /** The file is no model that moue wrote. */
  | 'model-foreign'
  /** The model ends too early. */
  | 'model-truncated'
  /** The model's tensors are not those of the network that it names. */
  | 'model-mismatch'
  /** The detector's file is none. */
  | 'detector-foreign'
  /** A file could not be fetched. */
  | 'download-failed'
  /** The caller's signal was aborted. */
  | 'aborted'
  /** The source is no image that this browser can read, or an empty one. */
  | 'bad-image'
  /** The image has more pixels than {@link MAX_PIXELS}, or an edge above {@link MAX_EDGE}. */
  | 'too-large'
  /** `face: 'detect'` found no face. */
  | 'no-face'
  /** An option is out of its range. */
  | 'bad-option'
  /** The object was disposed of. */
  | 'disposed'
  /** The engine could not be started, or ended unexpectedly. */
  | 'engine-failed';

export declare class MoueError extends Error {
  constructor(code: Code, message: string, options?: { cause?: unknown });
  readonly name: 'MoueError';
  readonly code: Code;
}

/** A rectangle in pixels of the source; the origin is its upper left corner. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What loading reports, in this order; `model` repeats with each piece. */
export type Progress =
  | { stage: 'engine' }
  /** The backend is chosen. */
  | { stage: 'backend'; backend: BackendInfo }
  /** `loaded` of `total` bytes; `total` is null where the server does not tell. */
  | { stage: 'model' | 'detector'; source: Source; loaded: number; total: number | null }
  /** So many of the branches answer. `total` is null until the file's head is read. */
  | { stage: 'branches'; branches: number; total: number | null }
  /** The file was put into the cache, or why it was not. */
  | { stage: 'cache'; file: 'model' | 'detector'; stored: boolean; reason: string };

/** `network`: downloaded; `cache`: read from this browser's cache; `memory`: given by the caller. */
export type Source = 'network' | 'cache' | 'memory';

export interface Options {
  /** The model's address, or its bytes. `moue export --web` writes files whose branches stream in order. */
  model: string | URL | Blob | ArrayBuffer | Uint8Array;
  /** Default `auto`. */
  backend?: Backend;
  /** Whether `webgpu` may be an adapter that computes on the processor, as tests want it. Default false. */
  allowSoftware?: boolean;
  onProgress?: (progress: Progress) => void;
  /** Ends the loading with the code `aborted`; no effect on a finished object. */
  signal?: AbortSignal;
  /** Names the model's content. With it, a copy in the cache is used without asking the server, and other versions
   * are deleted; without it, the server is asked, and the copy only serves when it cannot be reached. */
  version?: string;
  /** The same for the detector. */
  detectorVersion?: string;
  /** Whether files are kept in the browser's Cache API. Default true. */
  cache?: boolean;
  /** The engine's module, `moue.js`. Default: beside this package's files. */
  engine?: string | URL;
  /** The engine's code, `moue_bg.wasm`. Default: beside the engine's module. */
  wasm?: string | URL;
  /** The face detector's file, fetched when it is first used. Default: beside the engine's module. */
  detector?: string | URL;
  /** The worker's module. Default: this package's. */
  worker?: string | URL;
}

export interface BackendInfo {
  kind: 'webgpu' | 'cpu';
  requested: Backend;
  /** Why this one: a sentence. */
  reason: string;
  /** What the choice of `auto` met on its way: the code with which WebGPU was refused; else null. */
  refused: Code | null;
  /** The adapter's or the processor's name. */
  name: string;
  detail: string;
  /** Whether a GPU adapter computes on the processor. */
  software: boolean;
  /** How often the device was lost and made anew. */
  recreated: number;
}

/** A temperature, and the shares of the classes in training with the power by which they are divided out. */
export interface Calibration { temperature: number; tau: number; prior: number[]; risks?: Risk[] }

/** Of the images with an answer at least as sure, their share of all and the share of wrong answers among them. */
export interface Risk { confidence: number; coverage: number; risk: number }

export interface ModelInfo {
  classes: string[];
  /** Branches that the whole model has; `null` while that is unknown. */
  totalBranches: number | null;
  /** Branches that answer now. */
  branches: number;
  /** The branches' names. */
  heads: string[];
  /** Whether they vote (ESR); else the last one combines the others and answers for all (MA-Net), whatever number is asked for. */
  votes: boolean;
  /** Edge of the network's input, in pixels. */
  size: number;
  colour: string;
  parameters: number;
  attention: boolean;
  architecture: Record<string, unknown>;
  /** What it was trained on: `source`, `hash`, `counts`. */
  data: Record<string, unknown> | null;
  /** What it reached: `split`, `accuracy` (0 to 1), perhaps `images`. */
  result: Record<string, unknown> | null;
  /** How mean probabilities m become the answer's: those in proportion to m^(1/temperature) · prior^(−tau); null: they are the answer's. */
  answer: Calibration | null;
  createdBy: string;
  source: Source;
  bytes: number;
}

export interface Info {
  backend: BackendInfo;
  model: ModelInfo;
}

/** Anything that has pixels. A source stays the caller's: nothing is closed or detached. */
export type ImageInput =
  | ImageBitmap
  | ImageData
  | VideoFrame
  | HTMLImageElement
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | Blob;

export interface PredictOptions {
  /** How many branches answer, from the first; 0 (default) or more than there are: all that are loaded. Without a vote always all. */
  branches?: number;
  /** `detect` (default): every face that the detector finds, largest first; a box, or several: those; `none`: the whole image. */
  face?: 'detect' | 'none' | Box | Box[];
  /** Whether each branch's attention map is read. Default true. */
  attention?: boolean;
  /** The most faces to answer for, the largest first. Default 8. */
  maxFaces?: number;
  signal?: AbortSignal;
}

/** How alike the branches' maps are: B×B numbers, row by row, and their determinant (0: alike, 1: wholly different). */
export interface Similarity {
  similarity: Float32Array;
  determinant: number;
}

export interface BranchAnswer {
  /** One number per class, sum 1. */
  probabilities: Float32Array;
  /** The index of the largest. */
  class: number;
  /** Where it looks: values in [0, 1], row by row, over the face's box; null where there is none. */
  attention: { width: number; height: number; values: Float32Array } | null;
}

export interface Face {
  /** The square that the network saw; null for the whole image. */
  box: Box | null;
  /** The detector's score; null where nothing was detected. */
  score: number | null;
  /** The answer's: the mean with the model's calibration (`info.model.answer`), one number per class, sum 1. */
  probabilities: Float32Array;
  /** The mean over branches; of a model whose branches do not vote, the last one's. */
  mean: Float32Array;
  /** How many branches voted for each class. */
  votes: Uint32Array;
  /** The class that is answered, that of the largest probability: an index into `info.model.classes`. */
  class: number;
  /** The class with most votes, of equal ones the lowest; of a model whose branches do not vote, the last one's. */
  vote: number;
  label: string;
  branches: BranchAnswer[];
  /** Between branches, from their spatial attention; null without attention or with one branch. */
  spatial: Similarity | null;
  /** The same from their channel attention. */
  channel: Similarity | null;
  /** γ of the training loss's similarity, for both. */
  gamma: { spatial: number; channel: number };
}

export interface Prediction {
  faces: Face[];
  width: number;
  height: number;
  /** Branches that answered. */
  branches: number;
  /** Milliseconds: `decode` (pixels from the source), `detect`, `prepare`, `run`, `read` (sums over faces), `total`. */
  timings: { decode: number; detect: number; prepare: number; run: number; read: number; total: number };
}

export interface Moue {
  readonly info: Info;
  /** Settles when all branches are loaded; rejects with a {@link MoueError} where the rest could not be. */
  readonly complete: Promise<Info>;
  /**
   * Answers for one image. Calls do not interrupt each other: they are queued and answered in order; for video, wait
   * for an answer before you ask again. Every failure is a {@link MoueError}, after which the object works on.
   */
  predict(source: ImageInput, options?: PredictOptions): Promise<Prediction>;
  /** Ends the worker and frees all memory; what is pending rejects with `disposed`. */
  dispose(): void;
}

/** Starts a worker, the engine and the model. Resolves as soon as the base and one branch answer. */
export declare function createMoue(options: Options): Promise<Moue>;

/** A file's pixels, to show and to ask about: measured before they are decoded. Rejects with `bad-image` or `too-large`. */
export declare function readImage(file: Blob): Promise<ImageBitmap>;

/** The files that {@link createMoue} keeps in this browser. */
export declare function cachedFiles(): Promise<{ url: string; version: string; bytes: number }[]>;

/** Deletes them; gives their number. */
export declare function deleteCachedFiles(): Promise<number>;

/** The longest edge of a source, in pixels. */
export declare const MAX_EDGE: number;
/** The most pixels of a source. */
export declare const MAX_PIXELS: number;
