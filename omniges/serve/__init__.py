"""A small web app for one machine: a voice in, a moving body and its files out; see docs/serve.md."""
