"""What an evaluation leaves behind: metrics.json, report.json, clips.parquet, plots, videos, and one page."""

from omniges.evaluation.report.clipviews import VideoOptions
from omniges.evaluation.report.write import Material, write

__all__ = ["Material", "VideoOptions", "write"]
