"""Published figures on BEAT2, speaker 2, 15 test clips: from repositories' READMEs and papers, each by its
own code.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row; FGD as computed (papers print it times ten)."""

    method: str
    fgd: str
    bc: str
    l1div: str


PUBLISHED = (
    Published("ground truth", "–", "0.703", "11.97"),
    Published("GestureLSM-MeanFlow, 1 step", "0.403", "0.749", "12.46"),
    Published("GestureLSM, 20 steps", "0.404", "0.714", "13.49"),
    Published("SemTalk", "0.428", "0.777", "12.91"),
    Published("LiveGesture (streaming)", "0.457", "0.794", "13.91"),
    Published("SynTalker (sources conflict)", "0.469 to 0.641", "0.736", "12.4"),
    Published("GlobalDiff", "0.478", "0.705", "13.73"),
    Published("MambaTalk", "0.537", "0.781", "13.05"),
    Published("EMAGE", "0.551", "0.772", "13.07"),
)
