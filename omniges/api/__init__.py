"""Any voice in, a moving body out.

Omniges.load("models/demo").generate("speech.wav").save("out/speech", ("npz", "mp4"))
"""

from omniges.api.generator import Omniges
from omniges.api.take import FORMATS, Take

__all__ = ["FORMATS", "Omniges", "Take"]
