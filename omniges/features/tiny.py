"""Tiny, untrained stand-ins for WavLM and a language model, so that a run needs no download.

They are real networks of the real libraries with real widths (768 and 1024) and random weights. Their
features carry what random projections of sound and spelling carry, and no more; every report says so.
"""

from pathlib import Path
from typing import Any

from omniges.features.source import UNTRAINED_KEY, quiet

_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789'-.,!?&<>[]()/"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_wavlm(folder: Path, *, layers: int, seed: int) -> None:
    """Save a WavLM of hidden width 768 and WavLM-base's frame geometry (400 samples every 320)."""
    import torch
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

    config = WavLMConfig(
        hidden_size=768,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=128,
        conv_dim=(32,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=16,
        num_buckets=64,
        max_bucket_distance=200,
    )
    setattr(config, UNTRAINED_KEY, True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WavLMModel(config)
    with quiet():
        model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, sampling_rate=16_000).save_pretrained(folder)


def build_text_encoder(folder: Path, *, layers: int, seed: int) -> None:
    """Save a T5 of hidden width 1024 that spells: a piece is two letters, or one.

    T5 allows attention and feed-forward layers narrower than the hidden width, so that a word costs a
    twentieth of what a BERT of that width asks for, and has no places among a word's variance: untrained,
    nothing would look past them.
    """
    import torch
    from transformers import T5Config, T5Model

    tokenizer = _spelling_tokenizer()
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=1024,
        num_layers=layers,
        num_heads=2,
        d_kv=16,
        d_ff=64,
        num_decoder_layers=1,  # the library asks for one; only the encoder is read
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    setattr(config, UNTRAINED_KEY, True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5Model(config)
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _spelling_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    spelled = [*_CHARACTERS, *(first + second for first in _LETTERS for second in _LETTERS)]
    pieces = [*_SPECIAL, *spelled, *(f"##{piece}" for piece in spelled)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    spelling = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    spelling.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    spelling.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    spelling.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=spelling,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=2048,
    )
