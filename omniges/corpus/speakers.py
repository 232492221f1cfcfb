"""Who speaks: voice and gesture style of each made-up speaker, drawn once from the corpus's seed."""

from dataclasses import dataclass

import numpy as np

from omniges.config import CorpusParams
from omniges.types import Split

_NAMES = (
    *(
        "ada",
        "ben",
        "cleo",
        "dan",
        "eva",
        "finn",
        "gia",
        "hugo",
        "iris",
        "jon",
        "kira",
        "leo",
        "mona",
        "nils",
        "olga",
        "paul",
    ),
    *("quin", "rosa", "sam", "tara", "udo", "vera", "will", "xena", "yuri", "zoe"),
)


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """Voice first, gesture style after it."""

    number: int  # from 1
    name: str
    f0_hz: float
    tract: float  # factor on all formants: short vocal tracts are above 1
    rate: float  # factor on speed
    breath: float  # noise mixed into the voice
    amplitude: float  # factor on gesture size
    leading: int  # +1 the right hand leads, -1 the left
    both: float  # how much the other hand joins in, 0 to 1
    home_m: tuple[
        float, float, float
    ]  # where hands wait between strokes: outward, up, forward from the home of all
    nod: float  # factor on head movement
    face: float  # factor on facial movement


def random_state(*words: int) -> np.random.RandomState:
    """A frozen stream for some purpose; the same words give the same numbers with every numpy.

    Args:
        words: seed of the corpus first, then what the stream is for.
    """
    return np.random.RandomState(np.asarray(words, dtype=np.uint32))


def make_speaker(seed: int, number: int) -> Speaker:
    """Speaker `number` (from 1) of the corpus with this seed; the same whatever the corpus's size."""
    draw = random_state(seed, number, 1)
    high = number % 2 == 1
    return Speaker(
        number=number,
        name=_NAMES[(number - 1) % len(_NAMES)],
        f0_hz=draw.uniform(175, 215) if high else draw.uniform(95, 125),
        tract=draw.uniform(1.10, 1.18) if high else draw.uniform(0.97, 1.04),
        rate=draw.uniform(0.92, 1.12),
        breath=draw.uniform(0.01, 0.04),
        amplitude=draw.uniform(0.9, 1.15),
        leading=1 if draw.uniform() < 0.75 else -1,
        both=draw.uniform(0.35, 0.75),
        home_m=(draw.uniform(-0.03, 0.03), draw.uniform(-0.03, 0.03), draw.uniform(-0.03, 0.03)),
        nod=draw.uniform(0.85, 1.2),
        face=draw.uniform(0.9, 1.15),
    )


def clip_id(speaker: Speaker, index: int) -> str:
    """BEAT2's form: number, name, a recording kind (0), first and last index."""
    return f"{speaker.number}_{speaker.name}_0_{index}_{index}"


def planned_clips(params: CorpusParams) -> list[tuple[str, int, int, Split]]:
    """Id, speaker, index and split of every clip, in order."""
    counts: dict[Split, int] = {
        "train": params.train_clips,
        "val": params.val_clips,
        "test": params.test_clips,
    }
    splits = [split for split, count in counts.items() for _ in range(count)]
    speakers = [make_speaker(params.seed, number) for number in range(1, params.speakers + 1)]
    return [(clip_id(s, i), s.number, i, split) for s in speakers for i, split in enumerate(splits, start=1)]
