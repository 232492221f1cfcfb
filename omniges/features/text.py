"""Word embeddings: one row a word, read off a language model's hidden states.

Words go through the network in windows of consecutive words, one window at a time, without padding. The
last window is moved back so that it is full; a word that two windows hold is taken from the earlier one. A
word's row is the mean over its pieces.

Shapes: n words, P pieces of a window, D hidden width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omniges.errors import CheckpointError, DataError
from omniges.features.source import loading

if TYPE_CHECKING:
    import torch

WIDTH = 1024


class TextEncoder:
    """Words to embeddings."""

    def __init__(self, model: Any, tokenizer: Any, *, layer: int, device: "torch.device") -> None:
        """Prepare a loaded encoder and its tokenizer (of the fast kind, which knows whose piece is whose)."""
        self._model = model.requires_grad_(False).eval().to(device)
        self._tokenizer, self._layer, self._device = tokenizer, layer, device
        # Some tokenizers state a maximum of 10^30 for "none".
        self._longest: int = min(int(tokenizer.model_max_length), _positions(model.config))

    def __call__(self, words: Sequence[str], window_words: int) -> NDArray[np.float32]:
        """Embeddings [n, D] of words in their order.

        Args:
            words: n words as spoken.
            window_words: words encoded together.

        Raises:
            DataError: a word has no pieces, or a window is longer than the network takes.
        """
        rows = np.zeros((len(words), WIDTH), np.float32)
        done = 0
        for start in _window_starts(len(words), window_words):
            window = self._window(words[start : start + window_words])
            rows[done : start + len(window)] = window[done - start :]
            done = start + len(window)
        return rows

    def _window(self, words: Sequence[str]) -> NDArray[np.float32]:
        import torch

        encoding = self._tokenizer(
            list(words), is_split_into_words=True, return_tensors="pt", truncation=False
        )
        n_pieces = encoding["input_ids"].shape[1]
        if n_pieces > self._longest:
            raise DataError(
                f"{len(words)} words make {n_pieces} pieces, but the text encoder takes {self._longest}. "
                "Lower text.window_words in params.yaml."
            )
        with torch.inference_mode():
            states = self._model(**encoding.to(self._device), output_hidden_states=True).hidden_states
        hidden = states[self._layer][0].float().cpu().numpy()  # [P, D]
        return _mean_by_word(hidden, encoding.word_ids(0), words)


def load_text_encoder(folder: Path, *, layer: int, device: str | None = None) -> TextEncoder:
    """Load through `AutoModel` and `AutoTokenizer`; of an encoder-decoder only the encoder is kept.

    Args:
        folder: in save_pretrained format.
        layer: index into hidden states, -1 for the last.
        device: "cpu", "cuda", ...; the GPU by default where there is one.

    Raises:
        CheckpointError: the folder can't be loaded, the width is not 1024, the tokenizer is slow, or there
            is no such layer.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    with loading(folder, "text.model"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        # GPT-style tokenizers take split words only with this switch; the others don't know it and ignore it.
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, add_prefix_space=True)
        loaded: Any = AutoModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    model, info = loaded
    _check(folder, config, tokenizer, info["missing_keys"], layer)
    encoder = model.get_encoder() if config.is_encoder_decoder else model
    return TextEncoder(
        encoder,
        tokenizer,
        layer=layer,
        device=torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")),
    )


def _check(folder: Path, config: Any, tokenizer: Any, missing: Sequence[str], layer: int) -> None:
    if config.hidden_size != WIDTH:
        raise CheckpointError(
            f"{folder}: got hidden width {config.hidden_size}, wanted {WIDTH} (for example roberta-large). "
            "Set text.model in params.yaml."
        )
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{folder}: got a slow tokenizer, wanted a fast one (tokenizer.json). Set text.model in "
            "params.yaml."
        )
    lacking = sorted(key for key in missing if "pooler" not in key)  # the pooler is not used
    if lacking:
        raise CheckpointError(
            f"{folder}: the weights lack {len(lacking)} tensors, e.g. {lacking[0]}. Fetch the model again."
        )
    n_layers = config.num_hidden_layers
    if not -(n_layers + 1) <= layer <= n_layers:
        raise CheckpointError(
            f"text.layer: got {layer}, but the model has {n_layers} layers; wanted 0 to {n_layers}, or -1."
        )


def _positions(config: Any) -> int:
    """Positions that the network has; relative ones are without limit."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None:
        return 10**9
    # RoBERTa's family counts positions from padding_idx + 1 = 2.
    return int(limit) - 2 if config.model_type in {"roberta", "xlm-roberta", "camembert"} else int(limit)


def _window_starts(n_words: int, window_words: int) -> list[int]:
    last = max(0, n_words - window_words)
    return sorted({min(start, last) for start in range(0, n_words, window_words)})


def _mean_by_word(
    hidden: NDArray[np.float32], word_of: Sequence[int | None], words: Sequence[str]
) -> NDArray[np.float32]:
    """[P, D] to [n, D]."""
    import torch

    owner = np.asarray([-1 if word is None else word for word in word_of])
    counts = np.bincount(owner[owner >= 0], minlength=len(words))
    if not counts.all():
        index = int(counts.argmin())
        raise DataError(
            f"word {index} ({words[index]!r}) has no pieces in the text encoder's vocabulary, wanted at "
            "least one. Correct the TextGrid, or add the clip to data.exclude in params.yaml."
        )
    sums = torch.zeros(1 + len(words), hidden.shape[1])  # row 0 takes the pieces of no word
    sums.index_add_(0, torch.from_numpy(owner + 1), torch.from_numpy(hidden))
    means: NDArray[np.float32] = (sums[1:] / torch.from_numpy(counts)[:, None]).numpy()
    return means
