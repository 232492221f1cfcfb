"""Training of the audio-to-gesture model under accelerate, resumable at any step."""
