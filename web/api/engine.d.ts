/** The engine's module, as wasm-bindgen writes it. Everything thrown is an Error with a string `code`. */

import type { Box, Calibration } from './types.d.ts';

export default function init(arg?: { module_or_path: string | URL | Response | BufferSource }): Promise<unknown>;

interface RawSimilarity {
  similarity: Float32Array;
  determinant: number;
}

export class Engine {
  static create(backend: 'webgpu' | 'cpu', allow_software: boolean): Promise<Engine>;
  device(): { kind: 'cpu' | 'gpu'; name: string; detail: string; software: boolean };
  begin_model(): void;
  push_model(bytes: Uint8Array): { branches: number; total_branches: number | null; total_bytes: number | null };
  end_model(): void;
  info(): {
    classes: string[]; branches: number; heads: string[]; votes: boolean; size: number; colour: string; parameters: number; attention: boolean;
    architecture: Record<string, unknown>; data: Record<string, unknown> | null; result: Record<string, unknown> | null;
    answer: Calibration | null; created_by: string;
  };
  predict(
    rgba: Uint8Array, width: number, height: number, box: Box | null, branches: number, attention: boolean,
  ): Promise<{
    probabilities: Float32Array; mean: Float32Array; votes: Uint32Array; class: number; vote: number;
    branches: {
      probabilities: Float32Array; class: number;
      attention: { width: number; height: number; values: Float32Array } | null;
    }[];
    spatial: RawSimilarity | null; channel: RawSimilarity | null;
    gamma: { spatial: number; channel: number };
    milliseconds: { prepare: number; run: number; read: number };
  }>;
  load_detector(bytes: Uint8Array): void;
  detect(rgba: Uint8Array, width: number, height: number): (Box & { score: number })[];
  free(): void;
}
