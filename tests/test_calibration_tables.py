"""Times of operators and layers add up to those of batches; a model's shape tells its weights and its KV tokens."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastq.calibration.batch_grid import Grid, grid_of
from fastq.calibration.beyond_tables import BeyondTables
from fastq.calibration.calibration import calibrate
from fastq.calibration.kv_memory import kv_memory, used_capacity
from fastq.calibration.layer_profile import read_layer_profile
from fastq.calibration.model_shape import ModelShape, read_shape
from fastq.calibration.operator_batches import read_operator_batches
from fastq.calibration.operator_tables import read_operator_times
from fastq.calibration.sources import read_iterations
from fastq.errors import SpecError

LLAMA_3_8B = {
    "layers": 32,
    "hidden": 4096,
    "heads": 32,
    "kv_heads": 8,
    "head_size": 128,
    "intermediate": 14336,
    "vocab": 128256,
}
LLAMA_3_70B = {**LLAMA_3_8B, "layers": 80, "hidden": 8192, "heads": 64, "intermediate": 28672}
CONFIG = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
    "model_type": "llama",
}
TINY = ModelShape(layers=2, hidden=64, heads=4, kv_heads=2, head_size=16, intermediate=128, vocab=1000)


def gemm_ms(m, n, k):
    return 1e-3 + 1e-8 * m * n * k


def write_operator_tables(folder, *, cards=(2,)):
    """Write tables of times that are linear in each size, so that interpolation is exact."""
    folder.mkdir()
    common = {"framework": "VLLM", "version": "1.0", "device": "A card"}

    def write(name, rows):
        pq.write_table(pa.Table.from_pylist([{**common, **row} for row in rows]), folder / f"{name}.parquet")

    write(
        "gemm_perf",
        [
            {"gemm_dtype": "bfloat16", "m": m, "n": n, "k": k, "latency": gemm_ms(m, n, k)}
            for m, n, k in itertools.product((1, 64, 8192), (32, 512), (32, 512))
        ],
    )
    heads = {"num_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "kv_cache_dtype": "bfloat16"}
    write(
        "context_attention_perf",
        [
            {**heads, "batch_size": prompts, "isl": tokens, "latency": 1e-4 * prompts * tokens}
            for prompts, tokens in itertools.product((1, 16), (16, 8192))
        ],
    )
    write(
        "generation_attention_perf",
        [
            {
                **heads,
                "batch_size": requests,
                "isl": 1,
                "step": step,
                "latency": 1e-2 + 1e-6 * requests * (step + 1),
            }
            for requests, step in itertools.product((1, 512), (1, 131_071))
        ],
    )
    write(
        "custom_allreduce_perf",
        [
            {
                "num_gpus": number,
                "message_size": size,
                "backend": backend,
                "latency": 1e-7 * size + (backend == "vllm_eager"),
            }
            for number, size, backend in itertools.product(cards, (64, 10**6), ("vllm_graph", "vllm_eager"))
        ],
    )
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_operator_tables(tmp_path_factory.mktemp("operators") / "a_card")


def test_a_batch_is_the_sum_of_its_operators(tables):
    log = read_operator_batches(tables, TINY, kv_capacity_tokens=None)
    assert "A card, VLLM 1.0" in log.form
    assert [each.name for each in log.files] == [
        "gemm_perf.parquet",
        "context_attention_perf.parquet",
        "generation_attention_perf.parquet",
    ]
    matrices = [(4 + 2 * 2) * 16, 64], [64, 64], [2 * 128, 64], [64, 128]
    prompts = log.extras["prefill_seqs"]
    tokens = log.prefill_tokens + log.decode_seqs
    layer_ms = sum(gemm_ms(tokens, n, k) for n, k in matrices)
    layer_ms = layer_ms + 1e-4 * log.prefill_tokens
    layer_ms = layer_ms + np.where(log.decode_seqs > 0, 1e-2 + 1e-6 * log.kv_tokens, 0)
    rows = prompts + log.decode_seqs
    output_ms = gemm_ms(rows, 512, 64) * 1000 / 512
    assert log.seconds * 1e3 == pytest.approx(2 * layer_ms + output_ms, rel=1e-9)
    assert log.attention is not None
    cached = log.extras["cached_tokens"]
    assert log.attention == pytest.approx(
        log.prefill_tokens * (cached + log.prefill_tokens / np.maximum(prompts, 1) / 2)
    )
    assert (cached > 0).sum() > 40
    alone = (log.prefill_tokens == 0).sum(), (log.decode_seqs == 0).sum()
    assert min(alone) > 40
    assert log.rows > sum(alone)


def test_norms_and_activations_take_the_bytes_that_they_move(tables):
    beyond = BeyondTables(memory_bandwidth_gb_s=1000)
    bare = read_operator_batches(tables, TINY, kv_capacity_tokens=None)
    log = read_operator_batches(tables, TINY, kv_capacity_tokens=None, beyond=beyond)
    tokens = log.prefill_tokens + log.decode_seqs
    # Two norms read and write two numbers of 64 each, an activation reads two of 128 and writes one; 2 bytes a number.
    layer_s = (2 * 4 * 64 + 3 * 128) * 2 * tokens / 0.8e12 + 3 * 3e-6
    assert log.seconds - bare.seconds == pytest.approx(2 * layer_s, rel=1e-6)
    assert "without sampling and the host" in log.notes[0]
    assert "1,000 GB/s" in log.notes[1]
    shared = ModelShape(
        **{**{name: getattr(TINY, name) for name in LLAMA_3_8B}, "heads": 8, "kv_heads": 4}, tensor_parallel=2
    )
    one = beyond.small_kernels_s(shared, np.array([0.0, 1.0]))
    assert one[1] - one[0] == pytest.approx(2 * (2 * 4 * 64 + 3 * 64) * 2 / 0.8e12, rel=1e-6)


def test_mixed_attention_makes_only_decoding_beside_a_prefill_dearer(tables):
    bare = read_operator_batches(tables, TINY, kv_capacity_tokens=None)
    log = read_operator_batches(
        tables, TINY, kv_capacity_tokens=None, beyond=BeyondTables(mixed_attention=3.0)
    )
    both = (log.prefill_tokens > 0) & (log.decode_seqs > 0)
    decode_s = 2 * 1e-3 * (1e-2 + 1e-6 * log.kv_tokens)
    assert (log.seconds - bare.seconds)[both] == pytest.approx(2 * decode_s[both], rel=1e-6)
    assert (log.seconds == bare.seconds)[~both].all()
    found = calibrate(log)
    assert found.iteration_time.terms.mixed_kv_token_ps == pytest.approx(2 * 2 * 1000, rel=0.05)


def test_what_tables_lack_is_not_added_to_whole_iterations(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("prefill_tokens,decode_seqs,kv_tokens,seconds\n1,0,0,0.1\n", encoding="utf-8")
    with pytest.raises(SpecError, match="--mixed-attention add to tables of single operators"):
        read_iterations(
            log,
            shape=None,
            layers=None,
            renamed={},
            kept={},
            kv_capacity_tokens=None,
            block_size=16,
            beyond=BeyondTables(mixed_attention=2.0),
        )


def test_cards_that_share_a_layer_reduce_twice(tables):
    shape = ModelShape(
        **{**{name: getattr(TINY, name) for name in LLAMA_3_8B}, "heads": 8, "kv_heads": 4}, tensor_parallel=2
    )
    times = read_operator_times(tables, shape)
    matrices = [(4 + 2 * 2) * 16, 64], [64, 64], [128, 64], [64, 64]
    assert times.layer_s * 1e3 == pytest.approx(
        sum(gemm_ms(times.layer_tokens, n, k) for n, k in matrices) + 2 * 1e-7 * 64 * times.layer_tokens,
        rel=1e-6,
    )
    assert times.files[-1].name == "custom_allreduce_perf.parquet"


@pytest.mark.parametrize("capacity_tokens", [3_000, 20_000])
def test_batches_stay_within_the_kv_capacity(tables, capacity_tokens):
    log = read_operator_batches(tables, TINY, kv_capacity_tokens=capacity_tokens)
    assert (log.kv_tokens + log.prefill_tokens + log.extras["cached_tokens"]).max() <= capacity_tokens


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dtype": "fp8"}, "--dtype = 'fp8': no such type in the table; it has bfloat16"),
        ({"head_size": 32}, "head_dim = 32: no such attention in the table .it has 16"),
        ({"kv_heads": 1}, "num_key_value_heads = 1"),
        ({"heads": 6}, "num_heads = 6: no such number of heads"),
        ({"kv_dtype": "fp8"}, "kv_cache_dtype = 'fp8'"),
        (
            {"tensor_parallel": 4, "heads": 16, "kv_heads": 8},
            "no all-reduce of so many cards in the table .it has 2",
        ),
        ({"hidden": 16}, "no times around n = 128, k = 16"),
    ],
)
def test_what_the_tables_lack_is_named(tables, changed, message):
    sizes = {name: getattr(TINY, name) for name in LLAMA_3_8B}
    with pytest.raises(SpecError, match=message):
        read_operator_times(tables, ModelShape(**{**sizes, **changed}))


def test_a_table_that_is_missing_is_named(tmp_path):
    folder = write_operator_tables(tmp_path / "tables")
    (folder / "context_attention_perf.parquet").unlink()
    with pytest.raises(SpecError, match=r"context_attention_perf.parquet: this table is missing"):
        read_operator_times(folder, TINY)


def test_between_measured_sizes_times_are_linear_and_outside_there_are_none():
    grid = Grid(
        np.array([1.0, 2.0, 4.0]), np.array([10.0, 20.0]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, np.nan]])
    )
    rows, columns = np.array([1.0, 1.5, 4.0, 3.0, 0.5, 3.0]), np.array([10.0, 15.0, 10.0, 10.0, 10.0, 15.0])
    assert grid.at(rows, columns)[:4] == pytest.approx([1, 2.5, 5, 4])
    assert np.isnan(grid.at(rows, columns)[4:]).all()
    twice = grid_of(np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.array([3.0, 5.0]))
    assert twice.times.tolist() == [[4.0]]


def write_layer_profile(folder):
    folder.mkdir()
    layers = ("layernorm", "qkv_proj", "rotary_emb", "o_proj", "gate_up_proj", "act_fn", "down_proj")
    lines = ["layer,tokens,time_us"]
    lines += [
        f"{name},{tokens},{10 + tokens}"
        for name in (*layers, "embedding", "final_layernorm")
        for tokens in (1, 512)
    ]
    (folder / "dense.csv").write_text("\n".join(lines) + "\n")
    lines = ["layer,sequences,time_us", *(f"lm_head,{each},{100 + each}" for each in (1, 64))]
    (folder / "per_sequence.csv").write_text("\n".join(lines) + "\n")
    lines = ["prefill_chunk,kv_prefill,n_decode,kv_decode,time_us"]
    lines += [f"0,0,{d},{k},{5 + 0.01 * d * k}" for d in (1, 8, 64) for k in (64, 1024)]
    lines += [
        f"{chunk},{cached},{d},{k},{7 + chunk + 0.1 * cached + 0.01 * d * k}"
        for chunk in (16, 256)
        for cached in (0, 64, 2048)
        for d, k in ((0, 0), (8, 64), (32, 1024))
    ]
    (folder / "attention.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_batch_is_the_sum_of_its_layers(tmp_path):
    log = read_layer_profile(write_layer_profile(tmp_path / "profile"), 3, kv_capacity_tokens=30_000)
    tokens, prompts = log.prefill_tokens + log.decode_seqs, log.extras["prefill_seqs"]
    cached = log.extras["cached_tokens"]
    attention_us = np.where(prompts > 0, 7 + log.prefill_tokens + 0.1 * cached, 5) + 0.01 * log.kv_tokens
    wanted_us = 3 * (8 * (10 + tokens) + attention_us) + 2 * (10 + tokens) + 100 + prompts + log.decode_seqs
    assert log.seconds * 1e6 == pytest.approx(wanted_us)
    assert log.attention == pytest.approx(log.prefill_tokens * (cached + log.prefill_tokens / 2))
    assert (log.kv_tokens + cached + log.prefill_tokens).max() <= 30_000
    assert (log.prefill_tokens == 0).sum() > (log.prefill_tokens > 0).sum()


def test_a_layer_profile_needs_the_number_of_layers_and_all_layers(tmp_path):
    folder = write_layer_profile(tmp_path / "profile")
    with pytest.raises(SpecError, match="--layers: is missing"):
        read_layer_profile(folder, None, kv_capacity_tokens=None)
    with pytest.raises(SpecError, match="no batch of the profile"):
        read_layer_profile(folder, 3, kv_capacity_tokens=10)
    text = (folder / "dense.csv").read_text().replace("o_proj", "out_proj")
    (folder / "dense.csv").write_text(text)
    with pytest.raises(SpecError, match="o_proj: this layer is missing"):
        read_layer_profile(folder, 3, kv_capacity_tokens=None)


def test_what_a_directory_holds_decides(tables, tmp_path):
    def read(path, shape=None, **changed):
        options = {
            "layers": 2,
            "renamed": {},
            "kept": {},
            "kv_capacity_tokens": None,
            "block_size": 16,
            **changed,
        }
        return read_iterations(path, shape=shape, **options)

    assert read(tables, TINY).form.startswith("operator tables")
    assert read(write_layer_profile(tmp_path / "profile")).form == "layer profile"
    with pytest.raises(SpecError, match="--model: these are times of single operators"):
        read(tables)
    with pytest.raises(SpecError, match="a directory must hold"):
        read(tmp_path)
    with pytest.raises(SpecError, match="there is no such file or directory"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(SpecError, match="a log is a table"):
        read(_touched(tmp_path / "a.xls"))
    with pytest.raises(SpecError, match="--column = 'a': the text log of a server has no columns"):
        read(_touched(tmp_path / "a.log"), renamed={"a": "b"})
    with pytest.raises(SpecError, match="--where"):
        read(tables, TINY, kept={"a": "b"})


def _touched(path):
    path.touch()
    return path


def test_a_plane_of_operators_is_found_again(tables):
    found = calibrate(read_operator_batches(tables, TINY, kv_capacity_tokens=None), planes=1)
    assert found.iteration_time.planes[0].kv_token_ps == pytest.approx(2 * 1000, rel=0.01)
    assert found.errors[0].median < 0.01


def test_weights_and_kv_tokens_follow_from_the_shape():
    small, large = ModelShape(**LLAMA_3_8B), ModelShape(**LLAMA_3_70B, tensor_parallel=4)
    assert small.parameters == 8_030_261_248
    assert small.card_kv_token_bytes == 128 * 1024
    assert large.parameters == 70_553_706_496
    assert large.card_weight_bytes == 35_276_853_248
    assert large.card_kv_token_bytes == 81_920
    qwen = ModelShape(
        layers=28,
        hidden=3584,
        heads=28,
        kv_heads=4,
        head_size=128,
        intermediate=18944,
        vocab=152064,
        qkv_bias=True,
    )
    assert qwen.parameters == 7_615_616_512
    assert ModelShape(**LLAMA_3_8B, kv_dtype="fp8").card_kv_token_bytes == 64 * 1024
    assert ModelShape(**{**LLAMA_3_8B, "kv_heads": 2}, tensor_parallel=4).card_kv_heads == 1


def test_kv_capacity_is_what_is_left_less_one_block():
    memory = kv_memory(ModelShape(**LLAMA_3_8B), card_gib=80, utilisation=0.9, reserve_gib=3.5, block_size=16)
    assert memory.free_bytes == 57_490_792_448
    assert (memory.blocks, memory.capacity_tokens) == (27_413, 438_592)
    assert "438,592 tokens" in memory.text()
    assert used_capacity(41_408, 16) == 41_392
    with pytest.raises(SpecError, match="no room for KV tokens"):
        kv_memory(ModelShape(**LLAMA_3_70B), card_gib=80, utilisation=0.9, reserve_gib=3.5, block_size=16)


def test_a_config_tells_the_shape(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    options = {"dtype": None, "kv_dtype": "bfloat16", "tensor_parallel": 1}
    assert read_shape(path, {}, **options) == ModelShape(**LLAMA_3_8B)
    assert read_shape(tmp_path, {"layers": 2}, **options) == ModelShape(**{**LLAMA_3_8B, "layers": 2})
    assert read_shape(None, {}, **options) is None
    path.write_text(json.dumps({"text_config": {**CONFIG, "tie_word_embeddings": True}}))
    shape = read_shape(path, {}, **options)
    assert shape is not None
    assert shape.parameters == 8_030_261_248 - 128256 * 4096
    path.write_text(json.dumps({**CONFIG, "num_experts": 1, "quantization_config": {"quant_method": "fp8"}}))
    assert read_shape(path, {}, **{**options, "dtype": "fp8"}) == ModelShape(**LLAMA_3_8B, dtype="fp8")


def test_the_output_layer_of_some_families_is_the_embedding_unless_they_say_otherwise(tmp_path):
    path = tmp_path / "config.json"
    untold = {name: value for name, value in CONFIG.items() if name != "tie_word_embeddings"}
    for model_type, told, tied in (("gemma", None, True), ("gemma", False, False), ("llama", None, False)):
        config = {**untold, "model_type": model_type}
        path.write_text(json.dumps(config if told is None else {**config, "tie_word_embeddings": told}))
        shape = read_shape(path, {}, dtype=None, kv_dtype="bfloat16", tensor_parallel=1)
        assert shape is not None
        assert shape.tied is tied


@pytest.mark.parametrize(
    ("key", "named", "dtype", "counted", "noted"),
    [
        ("torch_dtype", "float32", None, 4, True),
        ("dtype", "float32", None, 4, True),
        ("torch_dtype", "float32", "float16", 2, False),
        ("torch_dtype", "float16", None, 2, False),
        ("torch_dtype", None, None, 2, False),
        ("torch_dtype", "float64", "fp8", 1, False),
    ],
)
def test_the_type_of_the_weights_is_counted(tmp_path, key, named, dtype, counted, noted):
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({**{name: CONFIG[name] for name in CONFIG if name != "torch_dtype"}, key: named})
    )
    shape = read_shape(path, {}, dtype=dtype, kv_dtype="bfloat16", tensor_parallel=1)
    assert shape is not None
    assert shape.card_weight_bytes == 8_030_261_248 * counted
    assert shape.card_kv_token_bytes == 128 * 1024
    memory = kv_memory(shape, card_gib=80, utilisation=0.9, reserve_gib=3.5, block_size=16)
    assert (
        any(f"{key} = float32 in the config: weights are counted as 4 bytes" in note for note in memory.notes)
        is noted
    )


@pytest.mark.parametrize(
    ("changed", "noted"),
    [
        ({"sliding_window": 4096}, True),
        ({"sliding_window": 4096, "use_sliding_window": True, "max_position_embeddings": 32768}, True),
        ({"sliding_window": None}, False),
        ({"sliding_window": 131072, "use_sliding_window": False}, False),
        ({"sliding_window": 131072, "max_position_embeddings": 131072}, False),
        ({}, False),
    ],
)
def test_a_window_makes_the_capacity_a_lower_bound(tmp_path, changed, noted):
    path = tmp_path / "config.json"
    options = {"dtype": None, "kv_dtype": "bfloat16", "tensor_parallel": 1}
    for config in ({**CONFIG, **changed}, {"text_config": {**CONFIG, **changed}}):
        path.write_text(json.dumps(config))
        shape = read_shape(path, {}, **options)
        assert shape is not None
        memory = kv_memory(shape, card_gib=80, utilisation=0.9, reserve_gib=3.5, block_size=16)
        assert memory.capacity_tokens == 438_592
        assert (
            "all layers are counted with full KV, so the capacity is a lower bound" in memory.text()
        ) is noted


@pytest.mark.parametrize(
    ("config", "given", "message"),
    [
        ({**CONFIG, "num_local_experts": 8}, {}, "num_local_experts = 8: a model with experts"),
        ({**CONFIG, "num_experts": [8, 8]}, {}, r"num_experts = \[8, 8\]: a model with experts"),
        ({**CONFIG, "moe_num_experts": 64}, {}, "moe_num_experts = 64: a model with experts"),
        ({**CONFIG, "ffn_config": {"moe_num_experts": 16}}, {}, "moe_num_experts = 16: a model with experts"),
        ({**CONFIG, "kv_lora_rank": 512}, {}, "kv_lora_rank = 512: a model with latent attention"),
        ({**CONFIG, "quantization_config": {"quant_method": "awq"}}, {}, "quant_method = 'awq': .*--dtype"),
        ({"text_config": CONFIG, "quantization_config": {"quant_method": "fp8"}}, {}, "quant_method = 'fp8'"),
        (
            {**CONFIG, "torch_dtype": "float64"},
            {},
            r"config.json: torch_dtype = 'float64': must be one of bfloat16, float16, float32; or say .*--dtype",
        ),
        ({**CONFIG, "torch_dtype": None, "dtype": 16}, {}, "dtype = 16: must be one of bfloat16"),
        ({**CONFIG, "model_type": "gpt2"}, {}, "has no gate"),
        ({**CONFIG, "hidden_size": -1}, {}, "hidden_size = -1: must be a whole number between 1"),
        ({**CONFIG, "num_key_value_heads": 5}, {}, "can't be shared among 5 KV heads"),
        ({"hidden_size": 4096}, {}, "--layers: is missing"),
        ([], {}, "must be an object"),
        (None, {"layers": 32}, "--hidden: is missing"),
    ],
)
def test_shapes_that_can_not_be_are_refused(tmp_path, config, given, message):
    path = None
    if config is not None:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
    for named in (path, tmp_path) if path else (None,):
        with pytest.raises(SpecError, match=message):
            read_shape(named, given, dtype=None, kv_dtype="bfloat16", tensor_parallel=1)


def test_layers_must_be_shared_evenly():
    with pytest.raises(SpecError, match=r"heads .32. can't be shared among 3 cards"):
        ModelShape(**LLAMA_3_8B, tensor_parallel=3)
    with pytest.raises(SpecError, match="8 KV heads can't be shared among 6 cards"):
        ModelShape(**{**LLAMA_3_8B, "heads": 48, "intermediate": 14400}, tensor_parallel=6)
    assert ModelShape(**LLAMA_3_8B, tensor_parallel=16).card_kv_heads == 1
