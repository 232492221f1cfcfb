"""Any voice in, a moving body out.

Omniges.load("models/demo").generate("speech.wav").save("out/speech", ("npz", "mp4"))

for block in Omniges.load("models/demo").stream(chunks):  # float32 at 16 kHz, as it comes
    show(block.start_frame, block.motion)
"""

from omniges.api.generator import Omniges
from omniges.api.streaming import MotionBlock, MotionStream
from omniges.api.take import FORMATS, Take

__all__ = ["FORMATS", "MotionBlock", "MotionStream", "Omniges", "Take"]
