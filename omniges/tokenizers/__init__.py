"""Residual vector quantisation of gesture, one tokenizer a body part."""
