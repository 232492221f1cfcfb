"""What the made-up speakers can say: about 150 words in ARPAbet, sentence templates, gesture words."""

from dataclasses import dataclass
from typing import Literal

GestureKind = Literal["beat", "iconic", "deictic", "emblem", "metaphoric"]

_PRONUNCIATIONS = """
a AH0 | about AH0 B AW1 T | after AE1 F T ER0 | again AH0 G EH1 N | all AO1 L | always AO1 L W EY0 Z
and AH0 N D | at AE0 T | bag B AE1 G | ball B AO1 L | because B IH0 K AH1 Z | before B IH0 F AO1 R
behind B IH0 HH AY1 N D | big B IH1 G | bird B ER1 D | boat B OW1 T | book B UH1 K | box B AA1 K S
bridge B R IH1 JH | but B AH0 T | call K AO1 L | came K EY1 M | can K AE0 N | car K AA1 R | cat K AE1 T
city S IH1 T IY0 | close K L OW1 Z | cold K OW1 L D | come K AH1 M | coffee K AO1 F IY0 | day D EY1
dog D AO1 G | door D AO1 R | down D AW1 N | every EH1 V R IY0 | family F AE1 M AH0 L IY0 | far F AA1 R
find F AY1 N D | first F ER1 S T | food F UW1 D | for F AO0 R | friend F R EH1 N D | from F R AH0 M
funny F AH1 N IY0 | game G EY1 M | garden G AA1 R D AH0 N | give G IH1 V | go G OW1 | good G UH1 D
great G R EY1 T | happy HH AE1 P IY0 | have HH AE0 V | he HH IY0 | here HH IY1 R | high HH AY1
home HH OW1 M | house HH AW1 S | huge HH Y UW1 JH | i AY0 | idea AY0 D IY1 AH0 | in IH0 N | it IH0 T
is IH0 Z | know N OW1 | lake L EY1 K | later L EY1 T ER0 | left L EH1 F T | like L AY1 K
little L IH1 T AH0 L | long L AO1 NG | look L UH1 K | make M EY1 K | many M EH1 N IY0 | maybe M EY1 B IY0
me M IY1 | more M AO1 R | morning M AO1 R N IH0 NG | mother M AH1 DH ER0 | mountain M AW1 N T AH0 N
move M UW1 V | music M Y UW1 Z IH0 K | my M AY0 | need N IY1 D | never N EH1 V ER0 | new N UW1
night N AY1 T | no N OW1 | now N AW1 | of AH0 V | old OW1 L D | on AA0 N | open OW1 P AH0 N
other AH1 DH ER0 | over OW1 V ER0 | paper P EY1 P ER0 | people P IY1 P AH0 L | play P L EY1 | rain R EY1 N
read R IY1 D | really R IH1 L IY0 | right R AY1 T | river R IH1 V ER0 | road R OW1 D | roll R OW1 L
round R AW1 N D | run R AH1 N | school S K UW1 L | see S IY1 | she SH IY0 | short SH AO1 R T | show SH OW1
slow S L OW1 | small S M AO1 L | stop S T AA1 P | story S T AO1 R IY0 | sun S AH1 N | table T EY1 B AH0 L
take T EY1 K | talk T AO1 K | tall T AO1 L | tell T EH1 L | that DH AE1 T | the DH AH0 | there DH EH1 R
they DH EY0 | thing TH IH1 NG | think TH IH1 NG K | this DH IH1 S | throw TH R OW1 | time T AY1 M | to T AH0
tree T R IY1 | turn T ER1 N | two T UW1 | under AH1 N D ER0 | up AH1 P | walk W AO1 K | want W AA1 N T
was W AH0 Z | water W AO1 T ER0 | we W IY0 | went W EH1 N T | whole HH OW1 L | window W IH1 N D OW0
with W IH0 DH | work W ER1 K | yes Y EH1 S | you Y UW1
"""

LEXICON: dict[str, tuple[str, ...]] = {
    parts[0]: tuple(parts[1:])
    for entry in _PRONUNCIATIONS.replace("\n", "|").split("|")
    if (parts := entry.split())
}
"""Word -> ARPAbet phones, vowels with their stress digit."""

FUNCTION_WORDS = frozenset(
    word for word, phones in LEXICON.items() if not any(phone.endswith("1") for phone in phones)
)

NOUNS = (
    *(
        "ball",
        "bird",
        "boat",
        "book",
        "box",
        "bridge",
        "car",
        "cat",
        "city",
        "coffee",
        "dog",
        "door",
        "family",
        "food",
        "friend",
        "game",
    ),
    *(
        "garden",
        "house",
        "idea",
        "lake",
        "mother",
        "mountain",
        "music",
        "night",
        "paper",
        "rain",
        "river",
        "road",
        "school",
        "story",
    ),
    *("table", "thing", "tree", "water", "window", "bag"),
)
ADJECTIVES = (
    *(
        "big",
        "small",
        "long",
        "tall",
        "round",
        "short",
        "huge",
        "little",
        "old",
        "new",
        "good",
        "great",
        "cold",
        "funny",
        "happy",
        "high",
    ),
    *("whole", "other", "first", "slow"),
)
VERBS = (
    *(
        "see",
        "know",
        "like",
        "find",
        "take",
        "give",
        "make",
        "want",
        "need",
        "show",
        "throw",
        "roll",
        "open",
        "close",
        "call",
        "read",
    ),
    *("move", "turn", "think", "stop"),
)
PLACES = ("here", "there", "home", "up", "down", "left", "right", "far", "behind", "over", "under")
TIMES = ("now", "later", "before", "after", "again", "always", "never", "maybe")

TEMPLATES: tuple[str, ...] = (
    "i VERB the ADJ NOUN PLACE",
    "you VERB a ADJ NOUN and a NOUN",
    "the NOUN is ADJ",
    "TIMES they VERB me the NOUN",
    "this NOUN was really ADJ",
    "that is my ADJ NOUN",
    "no i VERB it TIMES",
    "yes you can VERB the NOUN",
    "we walk to the NOUN",
    "she went PLACE with two ADJ NOUN",
    "come PLACE and look at the NOUN",
    "i think about the NOUN of my friend",
    "many people VERB the NOUN TIMES",
    "he came from the ADJ NOUN in the morning",
    "go PLACE",
    "all day we talk and VERB the NOUN",
    "every NOUN is in the sun",
    "tell me more about that NOUN",
    "run to the NOUN but VERB it TIMES",
    "time for the ADJ NOUN",
)
CLASSES: dict[str, tuple[str, ...]] = {
    "NOUN": NOUNS,
    "ADJ": ADJECTIVES,
    "VERB": VERBS,
    "PLACE": PLACES,
    "TIMES": TIMES,
}


@dataclass(frozen=True)
class Sign:
    """What a word asks the hands to do, on top of a beat.

    `reach_m` is the leading hand's move at full strength: outward from the body's middle, up, forward.
    """

    kind: GestureKind
    reach_m: tuple[float, float, float]
    both: bool  # the other hand mirrors it
    fist: float  # -1 fingers spread, +1 fingers closed


SIGNS: dict[str, Sign] = {
    "big": Sign("iconic", (0.20, 0.10, 0.05), True, -0.8),
    "huge": Sign("iconic", (0.26, 0.16, 0.05), True, -1.0),
    "small": Sign("iconic", (-0.10, 0.08, 0.08), True, 0.7),
    "little": Sign("iconic", (-0.08, 0.10, 0.08), False, 0.8),
    "long": Sign("iconic", (0.24, 0.00, 0.04), True, 0.0),
    "short": Sign("iconic", (-0.08, 0.00, 0.06), True, 0.4),
    "tall": Sign("iconic", (0.04, 0.30, 0.02), False, -0.4),
    "round": Sign("iconic", (0.10, 0.12, 0.10), True, -0.2),
    "high": Sign("iconic", (0.02, 0.28, 0.06), False, -0.3),
    "roll": Sign("iconic", (-0.04, 0.14, 0.10), True, 0.3),
    "throw": Sign("iconic", (0.08, 0.20, 0.20), False, -0.9),
    "open": Sign("iconic", (0.22, 0.06, 0.10), True, -0.9),
    "close": Sign("iconic", (-0.12, 0.04, 0.04), True, 0.9),
    "turn": Sign("iconic", (0.06, 0.12, 0.08), False, 0.2),
    "i": Sign("deictic", (-0.12, 0.10, -0.10), False, 0.2),
    "me": Sign("deictic", (-0.14, 0.12, -0.12), False, 0.3),
    "you": Sign("deictic", (0.00, 0.10, 0.24), False, -0.3),
    "here": Sign("deictic", (-0.04, -0.06, 0.14), True, 0.3),
    "there": Sign("deictic", (0.22, 0.12, 0.16), False, 0.4),
    "this": Sign("deictic", (-0.06, -0.02, 0.16), False, 0.5),
    "that": Sign("deictic", (0.12, 0.06, 0.20), False, 0.5),
    "up": Sign("deictic", (0.04, 0.30, 0.08), False, 0.6),
    "down": Sign("deictic", (0.04, -0.14, 0.10), False, 0.5),
    "left": Sign("deictic", (0.20, 0.06, 0.08), False, 0.2),
    "right": Sign("deictic", (0.24, 0.04, 0.06), False, 0.2),
    "far": Sign("deictic", (0.16, 0.20, 0.22), False, -0.2),
    "behind": Sign("deictic", (0.16, 0.22, -0.12), False, 0.1),
    "no": Sign("emblem", (0.12, 0.14, 0.08), True, -0.7),
    "never": Sign("emblem", (0.18, 0.04, 0.06), True, -0.6),
    "stop": Sign("emblem", (0.02, 0.24, 0.22), False, -1.0),
    "yes": Sign("emblem", (-0.02, 0.08, 0.06), False, 0.8),
    "think": Sign("metaphoric", (-0.06, 0.30, 0.02), False, 0.3),
    "idea": Sign("metaphoric", (0.06, 0.26, 0.04), False, -0.4),
    "maybe": Sign("metaphoric", (0.14, 0.06, 0.06), True, -0.5),
    "all": Sign("metaphoric", (0.24, 0.02, 0.12), True, -0.6),
    "whole": Sign("metaphoric", (0.18, 0.08, 0.14), True, -0.4),
    "more": Sign("metaphoric", (0.04, 0.10, 0.12), True, 0.1),
    "before": Sign("metaphoric", (0.18, 0.08, -0.06), False, 0.0),
    "after": Sign("metaphoric", (0.10, 0.04, 0.20), False, 0.0),
    "time": Sign("metaphoric", (0.08, 0.14, 0.06), True, 0.0),
}
