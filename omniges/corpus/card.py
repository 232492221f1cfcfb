"""The corpus card: statistics beside a real clip's, and how predictable motion is from speech.

docs/corpus.md explains the keys of card.json.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omniges.config import CorpusParams, Params
from omniges.corpus.ceiling import CLIPS, TAKES, Spread, ceilings, measure
from omniges.corpus.clips import Cast, Clip
from omniges.corpus.statistics import clip_statistics, mean_statistics
from omniges.files import atomic_path, write_json

REAL: dict[str, str] = {
    "wrist_height_mean_m": "0",
    "wrist_height_std_m": ".10 to .12",
    "wrist_speed_mean_m_s": ".55",
    "wrist_speed_p95_m_s": "1.4",
    "wrist_speed_peaks_per_min": "76 to 86",
    "median_frequency_shoulder_elbow_hz": "1.1",
    "median_frequency_wrist_fingers_hz": "2.1",
    "body_pca_dimensions_95": "28",
    "expression_pca_dimensions_95": "7",
    "jaw_std_rad": ".007",
    "feet_still_share": ".78",
    "pelvis_height_m": ".95",
    "audio_outlasts_motion_s": ".56",
}
"""A real BEAT2 clip of 64 s, as reported; skeleton and some definitions differ: orders of size."""


@dataclass
class Notebook:
    """Collects what the card needs while clips are made."""

    params: CorpusParams
    identity: dict[str, Any]
    statistics: list[dict[str, float]] = field(default_factory=list)
    spreads: list[dict[str, Spread]] = field(default_factory=list)
    speakers: list[dict[str, Any]] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=lambda: {"train": 0, "val": 0, "test": 0})
    words: int = 0
    spoken_s: float = 0.0
    audio_s: float = 0.0
    motion_s: float = 0.0

    def add_clip(self, clip: Clip) -> None:
        speech = clip.talk.speech
        self.statistics.append(clip_statistics(clip.motion, speech.duration_s))
        self.splits[clip.split] += 1
        self.words += len(speech.words)
        self.spoken_s += sum(word.end_s - word.start_s for word in speech.words)
        self.audio_s += speech.duration_s
        self.motion_s += clip.motion.duration_s

    def add_speaker(self, whole: Cast) -> None:
        speaker = whole.speaker
        self.spreads.append(measure(self.params, whole))
        self.speakers.append(
            {
                "number": speaker.number,
                "name": speaker.name,
                "f0_hz": round(speaker.f0_hz, 1),
                "leading_hand": "right" if speaker.leading > 0 else "left",
            }
        )

    def card(self) -> dict[str, Any]:
        """The contents of card.json."""
        return {
            "made": True,
            "identity": self.identity,
            "share": self.params.share,
            "voice": self.params.voice,
            "speakers": self.speakers,
            "size": {
                "clips": self.splits,
                "motion_min": self.motion_s / 60,
                "words": self.words,
                "speech_share": self.spoken_s / self.audio_s,
            },
            "statistics": {"corpus": mean_statistics(self.statistics), "real": REAL},
            "ceiling_r2": ceilings(self.spreads),
            "ceiling_method": {"clips_per_speaker": min(CLIPS, len(self.statistics)), "takes": TAKES},
        }


def external_card(params: Params) -> dict[str, Any]:
    """Card of somebody else's corpus: nothing is known about its ceiling."""
    return {"made": False, "root": params.data.root, "share": None, "ceiling_r2": None}


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write card.json and card.md."""
    write_json(folder / "card.json", card)
    with atomic_path(folder / "card.md") as temporary:
        temporary.write_text("\n".join(_page(card)) + "\n", "utf-8")


def _page(card: dict[str, Any]) -> list[str]:
    if not card["made"]:
        return [
            "# Corpus card",
            "",
            f"External corpus at `{card['root']}`. Omniges did not make it, so nobody knows how much of "
            "its motion the speech decides: no ceiling is given.",
        ]
    size = card["size"]
    clips = ", ".join(f"{count} {split}" for split, count in size["clips"].items())
    lines = [
        "# Corpus card",
        "",
        f"Made by Omniges, shows nobody real. Speech decides this share of the plan: **{card['share']}**.",
        f"{len(card['speakers'])} speakers, {clips} clips, {size['motion_min']:.1f} min, {size['words']} "
        f"words; voice: {card['voice']}; {100 * size['speech_share']:.0f} % of the time is speech.",
        "",
        "## What a perfect listener could explain",
        "",
        "R² on held-out clips, Monte Carlo over the hidden part; no honest model can stay above it.",
        "",
        "| group | ceiling |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {value:.2f} |" for name, value in card["ceiling_r2"].items()),
        "",
        "## Beside a real clip",
        "",
        "Mean over clips, on Omniges's own skeleton; real: as reported for one BEAT2 clip of 64 s.",
        "",
        "| figure | this corpus | real clip |",
        "|---|---|---|",
    ]
    real = card["statistics"]["real"]
    return lines + [
        f"| {key} | {value:.3g} | {real[key]} |" for key, value in card["statistics"]["corpus"].items()
    ]
