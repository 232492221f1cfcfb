"""The index of a small made-up pack: clips of 900 frames by two speakers, in two shards."""

from omniges.data.packed import IndexedClip, PackIndex
from omniges.types import Split


def toy_index(places: list[tuple[str, int, int, Split]], left_out: dict[str, str] | None = None) -> PackIndex:
    """An index of clips, each given as its id, shard, speaker (0 is number 4, 1 is number 9) and split."""
    clips = {
        name: IndexedClip(
            id=name, shard=f"shard-{shard:03d}.mdb", speaker=speaker, split=split, n_frames=900, n_words=50
        )
        for name, shard, speaker, split in places
    }
    return PackIndex(
        fps=30,
        dtype="float16",
        widths={},
        quantizers=6,
        speakers=(4, 9),
        clips=clips,
        statistics={},
        left_out=left_out or {},
    )
