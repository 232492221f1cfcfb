"""The audio-to-gesture model: audio fusion, a three-stream MMDiT, a code head, and its losses."""
