"""Where BEAT2 keeps a clip's files."""

SPLIT_FILE = "train_test_split.csv"


def clip_files(clip: str) -> tuple[str, str, str, str]:
    """Motion, audio, alignment and semantic labels, relative to the tree's root."""
    return f"smplxflame_30/{clip}.npz", f"wave16k/{clip}.wav", f"textgrid/{clip}.TextGrid", f"sem/{clip}.txt"
