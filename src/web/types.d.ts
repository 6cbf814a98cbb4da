/** Every error that is thrown is an `Error` with one of these in its property `code`. */
export type Code =
  | 'no-adapter' | 'software-adapter' | 'device-lost' | 'device-failed'
  | 'model-foreign' | 'model-mismatch' | 'model-truncated' | 'no-model'
  | 'bad-image' | 'too-large' | 'detector-foreign' | 'no-detector' | 'busy' | 'failed';

/** What computes. */
export interface Device { kind: 'cpu' | 'gpu'; name: string; detail: string; software: boolean }

/** How much of a model is there: `branches` can be used. */
export interface Progress { branches: number; total_branches: number | null; total_bytes: number | null }

/** What a model file says. */
export interface ModelInfo {
  /** `votes`: whether the branches, called `heads`, vote; else the last one answers for all. */
  classes: string[]; branches: number; heads: string[]; votes: boolean; size: number; colour: 'rgb' | 'bgr'; parameters: number; attention: boolean;
  architecture: Record<string, unknown>; data: Record<string, unknown> | null; result: Record<string, unknown> | null;
  /** How mean probabilities m become the answer's: those in proportion to m^(1/temperature) · prior^(−tau); null: they are the answer's. */
  answer: Calibration | null;
  created_by: string;
}

/** A temperature, and the shares of the classes [K] in training with the power by which they are divided out. */
export interface Calibration { temperature: number; tau: number; prior: number[]; risks?: Risk[] }

/** Of the images with an answer at least as sure, their share of all and the share of wrong answers among them. */
export interface Risk { confidence: number; coverage: number; risk: number }

/** A part of an image, in pixels. */
export interface Box { x: number; y: number; width: number; height: number }

/** A face, the higher the score the surer. */
export interface Face extends Box { score: number }

/** Spatial attention in (0, 1), row-major. */
export interface AttentionMap { width: number; height: number; values: Float32Array }

/** What one branch says. */
export interface BranchAnswer { probabilities: Float32Array; class: number; attention: AttentionMap | null }

/** How alike the branches are: S, row-major [B, B], and its determinant. */
export interface Kinship { similarity: Float32Array; determinant: number }

/** What a network says about an image. */
export interface Prediction {
  /** The answer's [K]: the mean of the branches' probabilities, with the model's calibration (`ModelInfo.answer`). */
  probabilities: Float32Array;
  /** The mean of the branches' probabilities [K]; of a model whose branches do not vote, the last one's. */
  mean: Float32Array;
  /** How many branches chose each class [K]. */
  votes: Uint32Array;
  /** The class of the largest probability; of equal ones the lowest. */
  class: number;
  /** The class with most votes, of equal ones the lowest; of a model whose branches do not vote, the last one's. */
  vote: number;
  branches: BranchAnswer[];
  /** None without attention or with one branch. */
  spatial: Kinship | null;
  channel: Kinship | null;
  gamma: { spatial: number; channel: number };
  milliseconds: { prepare: number; run: number; read: number };
}
