"""How chunks and records lie in files of Penstock's own: frames with checksums, chunks as bytes, pickles."""

from penstock.encoding.codec import Description, Trust, decoded, encoded
from penstock.encoding.frames import FORMAT, PREAMBLE, Frame, Frames, framed
from penstock.encoding.pickling import cloudpickled, pickled, travelling
from penstock.encoding.plain import Plain

__all__ = [
    "FORMAT",
    "PREAMBLE",
    "Description",
    "Frame",
    "Frames",
    "Plain",
    "Trust",
    "cloudpickled",
    "decoded",
    "encoded",
    "framed",
    "pickled",
    "travelling",
]
