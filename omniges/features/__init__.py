"""What the model hears: MFCC, WavLM and word embeddings, at motion rate or one row a word."""
