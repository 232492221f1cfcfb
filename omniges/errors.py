"""Errors that Omniges raises on purpose; a message says where, what was found and wanted, the remedy."""


class OmnigesError(Exception):
    """Base of all errors that a user can act on; the CLI prints them without a traceback."""


class ConfigError(OmnigesError):
    """params.yaml holds unknown keys, wrong types or contradicting values (all of them listed)."""


class DataError(OmnigesError):
    """A clip or corpus can't be read or used as it is."""


class ShapeError(OmnigesError, ValueError):
    """An array has another shape than the function's docstring asks for."""


class CheckpointError(OmnigesError):
    """A checkpoint is missing, damaged, or made for something else."""


class TrainingError(OmnigesError):
    """Training can't go on: NaN loss, an empty split, collapsed codes."""


class EvaluationError(OmnigesError):
    """Nothing could be scored, or what was to be scored contradicts its reference."""


class TrackingError(OmnigesError):
    """A run or model that was asked for is not in the tracker's database."""


class PipelineError(OmnigesError):
    """The workflow's own state is contradictory (a manifest without its files, an unknown unit)."""
