"""Waveforms: reading files of any kind, mel spectra, onsets and loudness.

Inside the package every waveform is mono float32 at 16 kHz (`omniges.timing.SAMPLE_RATE`), in [-1, 1] by
convention.
"""
