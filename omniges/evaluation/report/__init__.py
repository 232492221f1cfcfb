"""What an evaluation leaves behind: metrics.json, report.json, clips.parquet, plots, videos, and one page."""

from omniges.evaluation.report.write import write

__all__ = ["write"]
