"""Do the listening measures measure listening? On corpora whose share of speech is known, from none to all.

python benchmarks/listening.py. Speech is the same in all corpora; the share s of it in the motion rises. No
model is trained: the ground truth is scored with its own sound, with its sound moved by `SHIFT_S`, and beside
it a perfect listener, who draws everything hidden anew for the same speech (or for a neighbour's).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from omniges import log
from omniges.audio.onsets import onset_times
from omniges.audio.spectrum import log_mel_blocks
from omniges.config import Params, load_params
from omniges.corpus.ceiling import ceilings, measure
from omniges.corpus.clips import Cast, Part, cast, make_motion
from omniges.evaluation import scorer as scorers
from omniges.evaluation.evaluation import Evaluation, Options, evaluate
from omniges.evaluation.scoring import Reference, Result, Role, Variant
from omniges.evaluation.stage import CEILING_GROUPS, swap_figures
from omniges.features.mfcc import MelSpool, mfcc_frames
from omniges.motion.features import motion_to_features
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SHIFT_S = 1.0
FPS = 30
STEPS = 400  # of the scorer
LEAST_CEILING = 0.05  # of a smaller one no share can be taken


@dataclass(frozen=True)
class Heard:
    """A clip's sound, as the measures hear it."""

    whole: Cast
    part: Part
    mfcc: np.ndarray
    onsets_s: np.ndarray


def hear(params: Params, casts: list[Cast]) -> dict[str, Heard]:
    """MFCC and onsets of every clip; the same for every share."""
    found = {}
    for whole in casts:
        for part in whole.parts:
            wave = part.talk.wave.astype(np.float32)
            n = len(part.own)
            mel = log_mel_blocks([wave], sample_rate=SAMPLE_RATE, n_fft=1024, hop=160, n_mels=128)
            with MelSpool(mel) as spool:
                blocks = mfcc_frames(spool, n, n_mfcc=128, top_db=80.0, hop_s=0.01, fps=FPS)
                mfcc = np.concatenate(list(blocks)).astype(np.float32)
            found[part.id] = Heard(whole, part, mfcc, onset_times(wave[: n * SAMPLE_RATE // FPS]))
    return found


def neighbour(heard: Heard) -> Part:
    """The speaker's next test clip, whose sound is the wrong one."""
    tests = [p for p in heard.whole.parts if p.split == "test"]
    return tests[(tests.index(heard.part) + 1) % len(tests)]


def moved(motion: Motion) -> Motion:
    """The motion that belongs to sound `SHIFT_S` earlier."""
    k = round(SHIFT_S * FPS)
    arrays = {name: np.roll(getattr(motion, name), k, axis=0) for name in ("poses", "trans", "expressions")}
    return replace(motion, **arrays)


def measure_share(params: Params, heard: dict[str, Heard], share: float) -> Evaluation:
    """Everything the report says of listening, on the corpus of this share."""
    corpus = params.corpus.model_copy(update={"share": share})
    truth = {c: make_motion(corpus, h.whole, h.part) for c, h in heard.items()}
    scorer = train_scorer(params, heard, truth)
    tests = {c: h for c, h in heard.items() if h.part.split == "test"}
    still = {
        h.whole.speaker.number: mean_pose([truth[p.id] for p in h.whole.parts if p.split == "train"])
        for h in tests.values()
    }

    def listener(take: int, right: bool) -> Callable[[str], Motion]:
        def draw(clip: str) -> Motion:
            h = tests[clip]
            part = h.part if right else replace(h.part, talk=neighbour(h).talk)
            parts = tuple(part if p is h.part else p for p in h.whole.parts)  # the same noise for both
            return make_motion(corpus, replace(h.whole, parts=parts), part, take)

        return draw

    made: dict[str, tuple[Role, Callable[[str], Motion], int | None]] = {
        "ground-truth": ("ground-truth", truth.__getitem__, None),
        "moved": ("baseline", lambda c: moved(truth[c]), None),
        "mean-pose": ("baseline", lambda c: still[tests[c].whole.speaker.number], None),
        "right-0": ("model", listener(1, True), 0),
        "right-1": ("model", listener(2, True), 1),
        "wrong-0": ("wrong-audio", listener(1, False), 0),
        "wrong-1": ("wrong-audio", listener(2, False), 1),
    }
    variants = [
        Variant(name=name, label=name, role=role, seed=seed, read=partial(as_result, of))
        for name, (role, of, seed) in made.items()
    ]
    references = [
        Reference(
            clip=c,
            speaker=h.whole.speaker.number,
            split="test",
            motion=partial(truth.__getitem__, c),
            onsets_s=h.onsets_s,
            words=h.part.talk.speech.words,
            mfcc=partial(getattr, h, "mfcc"),
        )
        for c, h in tests.items()
    ]
    options = Options(seed=0, bootstrap=500, bootstrap_fgd=1)
    result = evaluate(references, variants, None, scorer, options)
    result.listening |= swap_figures(variants, references)
    casts = {h.whole.speaker.number: h.whole for h in tests.values()}
    known = ceilings([measure(corpus, whole) for whole in casts.values()])
    result.ceiling = {g: known[name] for g, name in CEILING_GROUPS.items()}
    return result


def as_result(of: Callable[[str], Motion], reference: Reference) -> Result:
    return Result(motion=of(reference.clip))


def mean_pose(motions: list[Motion]) -> Motion:
    """The mean of train clips, standing still."""
    n = motions[0].n_frames
    means = {
        name: np.tile(
            np.mean([getattr(m, name).mean(0) for m in motions], axis=0),
            (n, *[1] * (getattr(motions[0], name).ndim - 1)),
        )
        for name in ("poses", "trans", "expressions")
    }
    return replace(motions[0], **{**means, "poses": means["poses"].astype(np.float32)})


def train_scorer(params: Params, heard: dict[str, Heard], truth: dict[str, Motion]) -> scorers.Scorer:
    pairs: dict[str, dict[int, list[scorers.Pair]]] = {"train": {}, "val": {}}
    for clip, h in heard.items():
        if h.part.split in pairs:
            values = motion_to_features(truth[clip]).values[:, scorers.CHANNELS]
            pair = (h.mfcc[: len(values)], np.ascontiguousarray(values, np.float32))
            pairs[h.part.split].setdefault(h.whole.speaker.number, []).append(pair)
    section = params.scorer.model_copy(update={"steps": STEPS})
    return scorers.train(pairs["train"], pairs["val"], section, float(FPS))[0]


def figures(result: Evaluation) -> dict[str, float]:
    """The row that the table shows."""
    truth, shifted = (result.summaries[n].measures for n in ("ground-truth", "moved"))
    shares = result.share_of_ceiling()
    row = {
        "AUC": truth["scorer_auc"].value,
        "AUC, sound moved": shifted["scorer_auc"].value,
        "R@1": truth["scorer_r1"].value,
        "ΔBC": truth["bc_difference"].value,
        "ΔBC, sound moved": shifted["bc_difference"].value,
        "pause / speech": truth["pause_ratio"].value,
        "swap / seed": result.listening["swap_over_seed"],
    }
    row |= {f"{g} explained": e.explained.value for g, e in result.effects.items() if g in result.ceiling}
    known = {g: x if result.ceiling[g] > LEAST_CEILING else np.nan for g, x in shares.items()}
    return row | {f"{g}, of ceiling": known.get(g, np.nan) for g in result.ceiling}


def prepare(speakers: int, train: int, test: int) -> tuple[Params, dict[str, Heard]]:
    """Parameters of params.yaml with another size of corpus, and its sound."""
    params = load_params()
    size = {"speakers": speakers, "train_clips": train, "test_clips": test}
    params = params.model_copy(update={"corpus": params.corpus.model_copy(update=size)})
    return params, hear(params, [cast(params.corpus, number) for number in range(1, speakers + 1)])


def main() -> None:
    log.setup()
    params, heard = prepare(speakers=2, train=12, test=6)
    rows = {share: figures(measure_share(params, heard, share)) for share in SHARES}
    print(f"{'share s of speech in the motion':34}" + "".join(f"{s:9.2f}" for s in SHARES))
    for name in rows[0.0]:
        print(f"{name:34}" + "".join(f"{rows[s][name]:9.3f}" for s in SHARES))
    print(f"LISTENING: AUC at s = 0 {rows[0.0]['AUC']:.3f} (goal .5), at s = 1 {rows[1.0]['AUC']:.3f}")


if __name__ == "__main__":
    main()
