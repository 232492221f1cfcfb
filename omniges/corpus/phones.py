"""The ARPAbet phones of the made-up voices: how each one sounds, lasts and looks.

Vowel formants are the averages of American English that phonetics textbooks print (men; Hz). Consonants are
reduced to what a listener can use: a locus that bends the neighbouring vowels, a noise band, a closure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Phone:
    """One phone. A diphthong glides from `formants` to `glide`."""

    formants_hz: tuple[float, float, float]
    glide_hz: tuple[float, float, float] | None = None
    voice: float  # amplitude of the voiced source, 0 to 1
    noise: float = 0.0  # amplitude of the noise source, 0 to 1
    noise_hz: float = 4000.0  # centre of the noise band
    duration_s: float  # before the duration rule
    closure: float = 0.0  # share of the duration that is silent before a burst
    vowel: bool = False
    # What the mouth does, each 0 to 1; `teeth` is the lower lip at the upper teeth.
    jaw: float = 0.2
    spread: float = 0.0
    rounded: float = 0.0
    closed: float = 0.0
    teeth: float = 0.0


def _vowel(
    f1: float,
    f2: float,
    f3: float,
    duration_s: float,
    jaw: float,
    spread: float,
    rounded: float,
    glide: tuple[float, float, float] | None = None,
) -> Phone:
    return Phone(
        formants_hz=(f1, f2, f3),
        glide_hz=glide,
        voice=1.0,
        duration_s=duration_s,
        vowel=True,
        jaw=jaw,
        spread=spread,
        rounded=rounded,
    )


def _stop(
    locus: tuple[float, float, float], voice: float, noise: float, noise_hz: float, closed: float = 0.0
) -> Phone:
    return Phone(
        formants_hz=locus,
        voice=voice,
        noise=noise,
        noise_hz=noise_hz,
        duration_s=0.075,
        closure=0.65,
        closed=closed,
        jaw=0.0 if closed else 0.15,
    )


def _fricative(
    locus: tuple[float, float, float],
    voice: float,
    noise: float,
    noise_hz: float,
    *,
    teeth: float = 0.0,
    rounded: float = 0.0,
    spread: float = 0.0,
) -> Phone:
    return Phone(
        formants_hz=locus,
        voice=voice,
        noise=noise,
        noise_hz=noise_hz,
        duration_s=0.095,
        teeth=teeth,
        rounded=rounded,
        spread=spread,
        jaw=0.1,
    )


def _sonorant(
    formants: tuple[float, float, float],
    voice: float,
    *,
    closed: float = 0.0,
    rounded: float = 0.0,
    jaw: float = 0.2,
) -> Phone:
    return Phone(formants_hz=formants, voice=voice, duration_s=0.065, closed=closed, rounded=rounded, jaw=jaw)


_LABIAL, _CORONAL, _VELAR = (300.0, 900.0, 2300.0), (350.0, 1750.0, 2600.0), (320.0, 1600.0, 2200.0)
_IY, _IH, _UW, _UH = (
    (270.0, 2290.0, 3010.0),
    (390.0, 1990.0, 2550.0),
    (300.0, 870.0, 2240.0),
    (440.0, 1020.0, 2240.0),
)

PHONES: dict[str, Phone] = {
    "IY": _vowel(*_IY, 0.11, 0.25, 1.0, 0.0),
    "IH": _vowel(*_IH, 0.08, 0.35, 0.7, 0.0),
    "EH": _vowel(530, 1840, 2480, 0.10, 0.60, 0.6, 0.0),
    "AE": _vowel(660, 1720, 2410, 0.13, 0.90, 0.6, 0.0),
    "AH": _vowel(640, 1190, 2390, 0.08, 0.55, 0.2, 0.0),
    "AA": _vowel(730, 1090, 2440, 0.13, 1.00, 0.1, 0.0),
    "AO": _vowel(570, 840, 2410, 0.13, 0.80, 0.0, 0.6),
    "UH": _vowel(*_UH, 0.08, 0.40, 0.0, 0.7),
    "UW": _vowel(*_UW, 0.11, 0.25, 0.0, 1.0),
    "ER": _vowel(490, 1350, 1690, 0.12, 0.40, 0.0, 0.5),
    "EY": _vowel(480, 2000, 2550, 0.13, 0.55, 0.8, 0.0, _IY),
    "AY": _vowel(730, 1150, 2440, 0.15, 0.90, 0.5, 0.0, _IH),
    "OY": _vowel(570, 840, 2410, 0.16, 0.70, 0.3, 0.5, _IH),
    "AW": _vowel(730, 1250, 2440, 0.15, 0.90, 0.1, 0.4, _UH),
    "OW": _vowel(500, 920, 2350, 0.13, 0.60, 0.0, 0.8, _UW),
    "P": _stop(_LABIAL, 0.0, 0.35, 1000, closed=1.0),
    "B": _stop(_LABIAL, 0.25, 0.20, 1000, closed=1.0),
    "T": _stop(_CORONAL, 0.0, 0.50, 4500),
    "D": _stop(_CORONAL, 0.25, 0.30, 4000),
    "K": _stop(_VELAR, 0.0, 0.45, 2200),
    "G": _stop(_VELAR, 0.25, 0.30, 2000),
    "CH": Phone(
        formants_hz=_CORONAL,
        voice=0.0,
        noise=0.5,
        noise_hz=3000,
        duration_s=0.11,
        closure=0.4,
        jaw=0.1,
        rounded=0.5,
    ),
    "JH": Phone(
        formants_hz=_CORONAL,
        voice=0.3,
        noise=0.4,
        noise_hz=2800,
        duration_s=0.10,
        closure=0.4,
        jaw=0.1,
        rounded=0.5,
    ),
    "F": _fricative(_LABIAL, 0.0, 0.20, 6000, teeth=1.0),
    "V": _fricative(_LABIAL, 0.45, 0.12, 5500, teeth=1.0),
    "TH": _fricative(_CORONAL, 0.0, 0.18, 6500, teeth=0.4),
    "DH": _fricative(_CORONAL, 0.45, 0.10, 6000, teeth=0.4),
    "S": _fricative(_CORONAL, 0.0, 0.55, 6000, spread=0.5),
    "Z": _fricative(_CORONAL, 0.40, 0.35, 5800, spread=0.5),
    "SH": _fricative(_CORONAL, 0.0, 0.50, 3200, rounded=0.6),
    "ZH": _fricative(_CORONAL, 0.40, 0.35, 3000, rounded=0.6),
    "HH": _fricative((500.0, 1500.0, 2500.0), 0.0, 0.25, 1500),
    "M": _sonorant((280.0, 1000.0, 2200.0), 0.45, closed=1.0, jaw=0.0),
    "N": _sonorant((280.0, 1600.0, 2600.0), 0.45),
    "NG": _sonorant((280.0, 2000.0, 2600.0), 0.40),
    "L": _sonorant((360.0, 1300.0, 2700.0), 0.65, jaw=0.3),
    "R": _sonorant((330.0, 1060.0, 1380.0), 0.65, rounded=0.5),
    "W": _sonorant((290.0, 610.0, 2150.0), 0.55, rounded=1.0),
    "Y": _sonorant((260.0, 2070.0, 3020.0), 0.55),
}


def base_phone(label: str) -> str:
    """A phone without its stress digit: `AH0` -> `AH`."""
    return label.rstrip("012")
