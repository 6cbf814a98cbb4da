#!/usr/bin/env python3
"""Times ONNX Runtime's CPU provider on an exported network, on the inputs that `moue bench` uses.

    python3 onnx_runtime.py MODEL.onnx --batch 1 --threads 2 --warmup 10 --steps 50

Prints one line of JSON, which has the logits of the first image, so that its reader can tell whether both computed
the same. Needs numpy and onnxruntime; `cargo xtask bench` calls it.
"""
import argparse
import json
import time

import numpy as np
import onnxruntime

WRAP = (1 << 64) - 1


def uniform(name, count):
    """`count` values in [0, 1): the stream of splitmix64 that starts at the FNV-1a hash of `name`."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 & WRAP
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-24


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    shape = [args.batch] + entry.shape[1:]
    images = uniform("input", int(np.prod(shape))).astype(np.float32).reshape(shape)
    for _ in range(args.warmup):
        session.run(None, {entry.name: images})
    seconds = []
    for _ in range(args.steps):
        start = time.perf_counter()
        outputs = session.run(None, {entry.name: images})
        seconds.append(time.perf_counter() - start)
    # [B, N, K]; of a MA-Net the local and the global logits [N, K] come one after the other.
    logits = outputs[0] if outputs[0].ndim == 3 else np.stack(outputs[:2])
    median = float(np.median(seconds))
    print(json.dumps({
        "engine": f"onnxruntime {onnxruntime.__version__}", "device": "cpu", "mode": "infer", "batch": args.batch,
        "threads": args.threads, "median_s": median, "min_s": min(seconds), "max_s": max(seconds),
        "images_per_s": args.batch / median, "logits_shape": list(logits.shape),
        "logits": [float(z) for z in logits[:, 0].ravel()],
    }))


if __name__ == "__main__":
    main()
