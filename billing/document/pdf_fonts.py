"""The fonts of our PDFs: Noto Sans SC (SIL Open Font License 1.1), cut down to the letters of one document, so that it stays small."""

import functools
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import uharfbuzz

WEIGHTS = {"": 400.0, "B": 700.0}  # regular and bold, as fpdf2 names its styles
ALWAYS = "".join(chr(code) for code in range(0x20, 0x7F)) + "·–—…，。：；（）、¥•×−％"  # what page numbers and the like may need
MISSING = "□"
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table it cuts


@functools.cache
def _face() -> uharfbuzz.Face:
    """The variable font of all weights; its file is mapped into memory, not read."""
    path = files("justmytype_intl_cjk") / "fonts/ofl/notosanssc/NotoSansSC[wght].ttf"
    return uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(path)))


@functools.cache
def _known() -> frozenset[int]:
    return frozenset(_face().unicodes)


def printable(text: str) -> str:
    """The text with a box for each letter that the font lacks (an emoji in a name), so that nothing vanishes unseen."""
    return "".join(letter if ord(letter) in _known() or letter == "\n" else MISSING for letter in text)


@contextmanager
def cut(letters: str) -> Iterator[dict[str, Path]]:
    """Font files by style that have these letters, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="pdf-fonts-") as folder:
        found = {}
        for style, weight in WEIGHTS.items():
            wanted = uharfbuzz.SubsetInput()
            wanted.unicode_set.update({ord(letter) for letter in letters + ALWAYS + MISSING if letter != "\n"})
            wanted.pin_axis_location(_face(), "wght", weight)
            found[style] = Path(folder) / f"NotoSansSC{style or 'R'}.ttf"
            found[style].write_bytes(uharfbuzz.subset(_face(), wanted).blob.data)
        yield found
