"""`python -m omniges`: what the Snakemake rules call."""

from omniges.cli import app

if __name__ == "__main__":
    app()
