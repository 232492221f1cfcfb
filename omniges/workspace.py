"""The one home of paths: where each stage of a corpus writes, relative to the repository's root."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from omniges.config import Params


def lasting_checkout() -> Path:
    """The checkout that a temporary workspace of `dvc exp run --temp` or `--queue` belongs to; elsewhere the
    current directory, as a relative path.
    """
    here = Path.cwd().resolve()
    for folder in here.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return Path()


@dataclass(frozen=True)
class Workspace:
    """Folders of one corpus; two corpora live side by side because every path holds the corpus's name.

    Reports alone have a fixed place, `reports/`, where DVC and people look for the newest.
    """

    name: str
    raw: Path
    network: Literal["a2g", "latent_flow"] = "a2g"
    """Whose checkpoint and motion are meant: the model's, or those of the baseline beside it."""

    @classmethod
    def of(cls, params: Params) -> "Workspace":
        return cls(name=params.data.name, raw=Path(params.data.root))

    @property
    def data(self) -> Path:
        return Path("data") / self.name

    @property
    def models(self) -> Path:
        return Path("models") / self.name

    @property
    def reports(self) -> Path:
        return Path("reports")

    @property
    def corpus_card(self) -> Path:  # folder: card.json, card.md
        return self.data / "corpus"

    @property
    def ingest(self) -> Path:  # folder: clips.parquet, faults.json, report.md
        return self.data / "ingest"

    def feature(self, name: str) -> Path:
        """Folder of a per-clip stage (motion, mfcc, wavlm, text, codes): one `<clip>.parquet` each."""
        return self.data / name

    @property
    def pack(self) -> Path:
        return self.data / "pack"

    @property
    def generated(self) -> Path:  # one folder a variant, each with one BEAT2-format npz a clip
        return self.data / ("generated" if self.network == "a2g" else self.network)

    @property
    def unfinished(self) -> Path:
        """One folder a unit, for the state of unfinished work. It lies beside the outputs, which are cleared
        when a unit runs again; the runner drops it once the result is sealed, or another is wanted.
        """
        return self.models / "unfinished"

    @property
    def encoders(self) -> Path:  # wavlm/, text/: the tiny local networks
        return self.models / "encoders"

    def tokenizer(self, part: str) -> Path:
        return self.models / "tokenizers" / part

    @property
    def a2g(self) -> Path:
        return self.models / self.network

    @property
    def training(self) -> str:  # the stage that makes that checkpoint
        return "train" if self.network == "a2g" else "latent_train"

    @property
    def latent_flow(self) -> "Workspace":
        """The same corpus with the latent flow in the model's place."""
        return replace(self, network="latent_flow")

    @property
    def embedder(self) -> Path:
        return self.models / "embedder"

    @property
    def scorer(self) -> Path:
        return self.models / "scorer"
