"""The shape of a transformer: its matrices, its weights and what a token takes in the KV cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.errors import SpecError
from fastq.model.reading import Place, read_int

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "fp8": 1, "fp8_block": 1}
"""Bytes of a number of each type."""

_CONFIG_DTYPES = ("bfloat16", "float16", "float32")
"""Types that a config.json names."""

_QUANTISED_DTYPES = ("bfloat16", "float16", "fp8", "fp8_block")
"""What quantised weights can be said to be, or to be run as."""

_MOST = 10**7
_EXPERTS = "experts"
"""In the name of every key that counts experts: num_local_experts, num_experts, n_routed_experts, moe_num_experts."""

_CONFIG = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_size": "head_dim",
    "intermediate": "intermediate_size",
    "vocab": "vocab_size",
}
"""Our name of a size: its name in a config.json of Hugging Face."""

_OF_ALL_PARTS = ("torch_dtype", "dtype", "quantization_config", "tie_word_embeddings")
"""Keys that a model of several parts, as text and vision, has outside of its text_config."""

_UNGATED = frozenset({"bloom", "falcon", "gpt2", "gpt_neox", "gptj", "mpt", "opt", "phi", "starcoder2"})
"""Model types whose feed-forward part has two matrices, not three."""

_TIED = frozenset({"cohere", "cohere2", "gemma", "gemma2", "gemma3", "gemma3_text"})
"""Model types whose output layer is the embedding unless their config says otherwise; the defaults of transformers."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder of equal layers: attention with grouped heads and a gated feed-forward part.

    Parameters
    ----------
    layers, hidden, heads, kv_heads, head_size, intermediate, vocab
        Sizes of the whole model.
    dtype
        Type of the weights, one of :data:`BYTES`.
    kv_dtype
        Type of the KV cache, one of :data:`BYTES`.
    tensor_parallel
        Cards that share each layer.
    tied
        Whether the output layer is the embedding.
    qkv_bias
        Whether query, key and value have a bias.
    notes
        What of the config is counted otherwise than an engine may hold it, a sentence each.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocab: int
    dtype: str = "bfloat16"
    kv_dtype: str = "bfloat16"
    tensor_parallel: int = 1
    tied: bool = False
    qkv_bias: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("heads", "intermediate"):
            if getattr(self, name) % self.tensor_parallel:
                raise SpecError(
                    f"{name} ({getattr(self, name):,}) can't be shared among {self.tensor_parallel} cards",
                    key="--tensor-parallel",
                    value=self.tensor_parallel,
                )
        if self.heads % self.kv_heads:
            raise SpecError(
                f"the {self.heads} heads can't be shared among {self.kv_heads} KV heads",
                key="--kv-heads",
                value=self.kv_heads,
            )
        if self.kv_heads % self.tensor_parallel and self.tensor_parallel % self.kv_heads:
            raise SpecError(
                f"the {self.kv_heads} KV heads can't be shared among {self.tensor_parallel} cards, nor copied evenly",
                key="--tensor-parallel",
                value=self.tensor_parallel,
            )

    @property
    def card_heads(self) -> int:
        """Heads on each card."""
        return self.heads // self.tensor_parallel

    @property
    def card_kv_heads(self) -> int:
        """KV heads on each card; a head is copied where there are more cards than heads."""
        return max(1, self.kv_heads // self.tensor_parallel)

    @property
    def parameters(self) -> int:
        """Weights of the whole model: embedding, layers with two norms each, last norm, output layer."""
        attention = (
            2 * self.hidden * self.heads * self.head_size + 2 * self.hidden * self.kv_heads * self.head_size
        )
        bias = (self.heads + 2 * self.kv_heads) * self.head_size if self.qkv_bias else 0
        feed_forward = 3 * self.hidden * self.intermediate
        embeddings = (1 if self.tied else 2) * self.vocab * self.hidden
        return self.layers * (attention + bias + feed_forward + 2 * self.hidden) + embeddings + self.hidden

    @property
    def card_weight_bytes(self) -> int:
        """Bytes of the weights on each card."""
        return -(-self.parameters * BYTES[self.dtype] // self.tensor_parallel)

    @property
    def card_kv_token_bytes(self) -> int:
        """Bytes of a token in the KV cache of each card: key and value, every layer."""
        return self.layers * 2 * self.card_kv_heads * self.head_size * BYTES[self.kv_dtype]

    def card_matrices(self) -> tuple[tuple[str, int, int], ...]:
        """Return the matrices of a layer on one card: name, columns n, inner size k."""
        share = self.tensor_parallel
        return (
            ("query, key, value", (self.card_heads + 2 * self.card_kv_heads) * self.head_size, self.hidden),
            ("attention output", self.hidden, self.card_heads * self.head_size),
            ("gate and up", 2 * self.intermediate // share, self.hidden),
            ("down", self.hidden, self.intermediate // share),
        )

    @property
    def card_vocab(self) -> int:
        """Rows of the output layer on each card."""
        return -(-self.vocab // self.tensor_parallel)


def read_shape(
    config: Path | None,
    given: Mapping[str, int | None],
    *,
    dtype: str | None,
    kv_dtype: str,
    tensor_parallel: int,
) -> ModelShape | None:
    """Make a shape from a config.json and from sizes that were given, which come first.

    Parameters
    ----------
    config
        A ``config.json`` as models on Hugging Face have one, or the directory that holds it; ``None``: none.
    given
        Sizes by our names; ``None`` where one was not given.
    dtype
        Type of the weights; ``None``: that of the config, else bfloat16.
    kv_dtype
        Type of the KV cache.
    tensor_parallel
        Cards that share each layer.

    Returns
    -------
    ModelShape or None
        ``None`` where neither a config nor any size was given.

    Raises
    ------
    SpecError
        If a size is missing or can't be, the config can't be read, its model has experts or latent attention, or its
        weights are quantised or of a type that is not known and ``dtype`` does not say what they are.
    """
    if config is None and all(value is None for value in given.values()):
        return None
    if config is not None and config.is_dir():
        config /= "config.json"
    document = {} if config is None else _read_config(config)
    if config is not None:
        _check_supported(document, config)
    sizes = {name: given.get(name) for name in _CONFIG}
    for name, key in _CONFIG.items():
        if sizes[name] is None and document.get(key) is not None:
            sizes[name] = _size(document[key], config, key)
    if sizes["kv_heads"] is None and sizes["heads"] is not None:
        sizes["kv_heads"] = sizes["heads"]
    if sizes["head_size"] is None and sizes["hidden"] and sizes["heads"]:
        sizes["head_size"] = sizes["hidden"] // sizes["heads"]
    for name, value in sizes.items():
        if value is None:
            raise SpecError(
                "is missing: a model's shape needs --layers, --hidden, --heads, --kv-heads, --head-size, "
                "--intermediate and --vocab, or --model config.json",
                key=f"--{name.replace('_', '-')}",
            )
    known = {name: value for name, value in sizes.items() if value is not None}
    return ModelShape(
        **known,
        dtype=dtype or _dtype(document, config),
        kv_dtype=kv_dtype,
        tensor_parallel=tensor_parallel,
        tied=document.get("tie_word_embeddings", document.get("model_type") in _TIED) is True,
        qkv_bias=document.get("attention_bias") is True or document.get("model_type") == "qwen2",
        notes=(*_window_notes(document), *(() if dtype else _dtype_notes(document, kv_dtype))),
    )


def _read_config(config: Path) -> dict[str, object]:
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(
            f"can't be read: {error.strerror or error}", source=str(config), key="--model"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(f"not JSON: {error}", source=str(config), key="--model") from error
    if not isinstance(document, dict):
        raise SpecError("must be an object, as a model's config.json is", source=str(config), key="--model")
    inner = document.get("text_config")
    if not isinstance(inner, dict):
        return document
    return {**{name: document[name] for name in _OF_ALL_PARTS if name in document}, **inner}


def _check_supported(document: Mapping[str, object], config: Path) -> None:
    """Refuse a model that is not made of the matrices of a shape."""
    feed_forward = document.get("ffn_config")
    counts = {**document, **(feed_forward if isinstance(feed_forward, dict) else {})}
    for name, experts in counts.items():
        if _EXPERTS in name and (isinstance(experts, list) or (isinstance(experts, int) and experts > 1)):
            raise SpecError(
                "a model with experts: which of them a batch needs depends on its tokens, and a "
                "sum over fixed matrices would be wrong; calibrate from a log of iterations",
                source=str(config),
                key=name,
                value=experts,
            )
    if document.get("kv_lora_rank"):
        raise SpecError(
            "a model with latent attention: its KV cache holds no keys and values of heads; calibrate from a log of "
            "iterations, with --kv-capacity-tokens",
            source=str(config),
            key="kv_lora_rank",
            value=document["kv_lora_rank"],
        )
    if document.get("model_type") in _UNGATED:
        raise SpecError(
            "the feed-forward part of this family has no gate; shapes with gate, up and down "
            "matrices are supported: calibrate from a log of iterations",
            source=str(config),
            key="model_type",
            value=document["model_type"],
        )


def _size(value: object, config: Path | None, key: str) -> int:
    return read_int(value, Place(str(config), key), 1, _MOST)


def _dtype(document: Mapping[str, object], config: Path | None) -> str:
    """Return the type of the weights by the config; its torch_dtype is not that of quantised ones."""
    quantised = document.get("quantization_config")
    if isinstance(quantised, dict):
        raise SpecError(
            f"the weights are quantised: say to what with --dtype, one of {', '.join(_QUANTISED_DTYPES)}; of others, "
            "calibrate from a log of iterations with --kv-capacity-tokens",
            source=str(config),
            key="quantization_config.quant_method",
            value=quantised.get("quant_method"),
        )
    key, named = _named_dtype(document)
    if named is None:
        return "bfloat16"
    if named not in _CONFIG_DTYPES:
        raise SpecError(
            f"must be one of {', '.join(_CONFIG_DTYPES)}; or say with --dtype what the engine holds the weights in, "
            f"one of {', '.join(_QUANTISED_DTYPES)}",
            source=str(config),
            key=key,
            value=named,
        )
    return str(named)


def _named_dtype(document: Mapping[str, object]) -> tuple[str, object]:
    """Return the key that holds the type of the weights, and the type; ``None`` where the config has none."""
    keys = ("torch_dtype", "dtype")
    key = next((key for key in keys if document.get(key) is not None), keys[0])
    return key, document.get(key)


def _dtype_notes(document: Mapping[str, object], kv_dtype: str) -> tuple[str, ...]:
    key, named = _named_dtype(document)
    if named != "float32":
        return ()
    return (
        f"{key} = float32 in the config: weights are counted as 4 bytes, KV as {kv_dtype} (--kv-dtype); an engine that "
        "runs the model in 16 bits, as vLLM does by itself, holds half: then say so with --dtype float16.",
    )


def _window_notes(document: Mapping[str, object]) -> tuple[str, ...]:
    """Say that a window of attention is not counted, where one is shorter than the context."""
    window, context = document.get("sliding_window"), document.get("max_position_embeddings")
    if (
        not isinstance(window, int)
        or isinstance(window, bool)
        or window < 1
        or document.get("use_sliding_window") is False
    ):
        return ()
    if isinstance(context, int) and context <= window:
        return ()
    return (
        f"sliding_window = {window:,} in the config: layers with a window need no KV beyond it, but all layers are "
        "counted with full KV, so the capacity is a lower bound where requests are longer than the window.",
    )
