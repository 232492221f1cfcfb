"""Word embeddings against the library called by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoTokenizer,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5Model,
)

from omniges.errors import CheckpointError, DataError
from omniges.features.text import load_text_encoder

WORDS = [
    "well",
    "in",
    "my",
    "spare",
    "time",
    "I",
    "don't",
    "usually",
    "go",
    "to",
    "Zürich",
    "for",
    "the",
    "first",
    "thing",
]


def roberta(folder: Path) -> Path:
    """A small RoBERTa of width 1024, whose byte-level tokenizer needs a space before every word."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {piece: i for i, piece in enumerate([*special, *letters])}
    RobertaTokenizerFast(vocab=vocabulary, merges=[], add_prefix_space=True).save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=1024,
        num_hidden_layers=2,
        num_attention_heads=8,
        intermediate_size=32,
        max_position_embeddings=130,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("layer", [0, -1])
def test_a_word_is_the_mean_of_its_pieces(tiny_encoders, layer):
    folder = tiny_encoders[1] / "text"
    got = load_text_encoder(folder, layer=layer, device="cpu")(WORDS, 64)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), T5EncoderModel.from_pretrained(folder).eval()
    pieces = [tokenizer.encode(word, add_special_tokens=False) for word in WORDS]
    ids = [tokenizer.cls_token_id, *(i for word in pieces for i in word), tokenizer.sep_token_id]
    with torch.inference_mode():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].numpy()
    ends = 1 + np.cumsum([len(word) for word in pieces])
    want = [hidden[end - len(word) : end].mean(axis=0) for end, word in zip(ends, pieces, strict=True)]
    assert got.shape == (len(WORDS), 1024)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_a_byte_level_tokenizer_gets_its_spaces(tmp_path):
    encoder = load_text_encoder(roberta(tmp_path), layer=-1, device="cpu")
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), RobertaModel.from_pretrained(tmp_path).eval()
    ids = tokenizer.encode(" the cat")
    assert tokenizer.convert_ids_to_tokens(ids)[1:-1] == ["Ġ", "t", "h", "e", "Ġ", "c", "a", "t"]
    with torch.inference_mode():
        hidden = model(torch.tensor([ids])).last_hidden_state[0].numpy()
    want = [hidden[1:5].mean(axis=0), hidden[5:9].mean(axis=0)]
    np.testing.assert_allclose(encoder(["the", "cat"], 64), want, rtol=0, atol=1e-5)


def test_of_an_encoder_decoder_the_encoder_is_used(tmp_path, tiny_encoders):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoders[1] / "text")
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    model = T5Model(
        T5Config(vocab_size=len(tokenizer), d_model=1024, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ).eval()
    model.save_pretrained(tmp_path)
    ids = torch.tensor([tokenizer(["a", "b"], is_split_into_words=True)["input_ids"]])
    with torch.inference_mode():
        want = model.get_encoder()(ids).last_hidden_state[0, 1:3].numpy()
    got = load_text_encoder(tmp_path, layer=-1, device="cpu")(["a", "b"], 8)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_windows_are_encoded_apart_and_the_last_one_is_full(tiny_encoders):
    encoder = load_text_encoder(tiny_encoders[1] / "text", layer=-1, device="cpu")
    got = encoder(WORDS, 6)  # 15 words: 0-5, 6-11, and 9-14 for the last three
    want = np.concatenate([encoder(WORDS[:6], 6), encoder(WORDS[6:12], 6), encoder(WORDS[9:], 6)[3:]])
    np.testing.assert_array_equal(got, want)
    assert (
        np.abs(got - encoder(WORDS, 64)).max() > 1e-3
    )  # context matters, so the window is part of the feature


def test_no_words_give_no_rows_and_unknown_letters_still_give_one(tiny_encoders):
    encoder = load_text_encoder(tiny_encoders[1] / "text", layer=-1, device="cpu")
    assert encoder([], 64).shape == (0, 1024)
    assert np.isfinite(encoder(["你好", "☃"], 64)).all()


def test_a_word_without_pieces_and_a_window_too_long_are_refused(tmp_path, tiny_encoders):
    encoder = load_text_encoder(tiny_encoders[1] / "text", layer=-1, device="cpu")
    with pytest.raises(DataError, match=r"word 1 .* has no pieces"):
        encoder(["a", "\u0301"], 64)
    short = load_text_encoder(roberta(tmp_path), layer=-1, device="cpu")
    with pytest.raises(DataError, match=r"make 1\d\d pieces, but the text encoder takes 128"):
        short(["word"] * 30, 64)
    assert np.isfinite(short(["word"] * 30, 20)).all()


def test_what_is_no_text_encoder_of_width_1024_is_refused(tmp_path, tiny_encoders):
    with pytest.raises(CheckpointError, match="can't be loaded"):
        load_text_encoder(tmp_path, layer=-1)
    with pytest.raises(CheckpointError, match=r"text\.layer: got 7, but the model has 1 layers"):
        load_text_encoder(tiny_encoders[1] / "text", layer=7)
