"""What DVC and Snakemake agree on: content keys, manifests, a store of earlier results, and the plan made
of them.

`dvc.yaml` declares the graph; nothing is declared twice. See docs/pipeline.md.
"""
