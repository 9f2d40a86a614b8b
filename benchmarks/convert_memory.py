"""Peak memory and speed of converting a ChatGLM checkpoint, both ways.

    python -m benchmarks.convert_memory [--shards 3] [--shard-mib 1024] [--layout bin]

Limit: 1.3 times the largest shard + 1 GiB. Writes about three times the checkpoint to --dir.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HIDDEN, INNER, HEADS, GROUPS, HEAD_DIM, WORDS = 2048, 6848, 16, 2, 128, 4096
ROWS = (HEADS + 2 * GROUPS) * HEAD_DIM
LAYER = {
    "input_layernorm.weight": (HIDDEN,),
    "post_attention_layernorm.weight": (HIDDEN,),
    "self_attention.query_key_value.weight": (ROWS, HIDDEN),
    "self_attention.query_key_value.bias": (ROWS,),
    "self_attention.dense.weight": (HIDDEN, HEADS * HEAD_DIM),
    "mlp.dense_h_to_4h.weight": (2 * INNER, HIDDEN),
    "mlp.dense_4h_to_h.weight": (HIDDEN, INNER),
}


def make(path: Path, shards: int, shard_mib: int, layout: str) -> None:
    """Write an original directory in bfloat16 whose weights files have about `shard_mib`."""
    import torch
    from safetensors.torch import save_file

    layer_bytes = 2 * sum(_count(shape) for shape in LAYER.values())
    layers = max(1, round(shard_mib * 2**20 / layer_bytes))
    stem, suffix = ("pytorch_model", "bin") if layout == "bin" else ("model", "safetensors")
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        names = {
            f"transformer.encoder.layers.{number}.{name}": shape
            for number in range(shard * layers, (shard + 1) * layers)
            for name, shape in LAYER.items()
        }
        if shard == 0:
            names["transformer.embedding.word_embeddings.weight"] = (WORDS, HIDDEN)
        if shard == shards - 1:
            names["transformer.encoder.final_layernorm.weight"] = (HIDDEN,)
            names["transformer.output_layer.weight"] = (WORDS, HIDDEN)
        state = {name: torch.ones(shape, dtype=torch.bfloat16) for name, shape in names.items()}
        file = f"{stem}-{shard + 1:05}-of-{shards:05}.{suffix}"
        if layout == "bin":
            torch.save(state, path / file)
        else:
            save_file(state, path / file)
        weight_map |= dict.fromkeys(names, file)
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (path / f"{stem}.{suffix}.index.json").write_text(index)
    config = {
        "_name_or_path": "THUDM/chatglm3-6b",
        "model_type": "chatglm",
        "num_layers": shards * layers,
        "padded_vocab_size": WORDS,
        "hidden_size": HIDDEN,
        "ffn_hidden_size": INNER,
        "kv_channels": HEAD_DIM,
        "num_attention_heads": HEADS,
        "multi_query_attention": True,
        "multi_query_group_num": GROUPS,
        "seq_length": 8192,
        "layernorm_epsilon": 1e-5,
        "add_qkv_bias": True,
        "torch_dtype": "bfloat16",
    }
    (path / "config.json").write_text(json.dumps(config))


def measure(source: Path, target: Path, to: str) -> tuple[float, int]:
    """Convert; return seconds and the process's highest resident size in bytes."""
    request = json.dumps({"source": str(source), "target": str(target), "to": to})
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tunesmith.chatglm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin and process.stdout
    process.stdin.write(request.encode())
    process.stdin.close()
    answer: list[bytes] = []
    reader = threading.Thread(target=lambda out: answer.append(out.read()), args=(process.stdout,))
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    reply: dict[str, Any] = json.loads(answer[0])
    if "answer" not in reply:
        raise SystemExit(f"the conversion failed: {reply}")
    return seconds, usage.ru_maxrss * 1024


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--shard-mib", type=int, default=1024)
    parser.add_argument("--layout", choices=("bin", "safetensors"), default="bin")
    parser.add_argument("--dir", type=Path, default=None, help="where there is room")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        root = Path(directory)
        source, native, back = root / "original", root / "native", root / "back"
        source.mkdir()
        # In a process of its own: a child's peak begins with its parent's size.
        arguments = (source, given.shards, given.shard_mib, given.layout)
        maker = multiprocessing.get_context("spawn").Process(target=make, args=arguments)
        maker.start()
        maker.join()
        if maker.exitcode:
            raise SystemExit("the checkpoint could not be made")
        sizes = [file.stat().st_size for file in source.glob(f"*.{given.layout}")]
        peaks = []
        limit = 1.3 * max(sizes) + 2**30
        print(f"{given.layout}: {len(sizes)} files, the largest {max(sizes) / 2**20:.0f} MiB")
        for name, ends in (("convert", (source, native)), ("back", (native, back))):
            seconds, peak = measure(*ends, "transformers" if name == "convert" else "chatglm")
            peaks.append(peak)
            print(
                f"{name}: {seconds:.1f} s, {sum(sizes) / 2**20 / seconds:.0f} MiB/s,"
                f" peak {peak / 2**20:.0f} MiB (limit {limit / 2**20:.0f} MiB)"
            )
    raise SystemExit(0 if max(peaks) <= limit else 1)


if __name__ == "__main__":
    main()
