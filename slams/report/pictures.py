"""Figures as they stand in the page: in its own text, and in all no larger than a bound."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from slams.errors import SlamsError

MOST_BYTES: Final = 7_500_000  # of all pictures; in base64 they take a third more
# Tried of a picture that has to be made smaller: share of its width and height, colours.
STEPS: Final = ((1.0, 256), (1.0, 64), (0.8, 64), (0.64, 64), (0.5, 32), (0.4, 32))
SURFACES: Final = 4  # one colour in so many is kept for those that most pixels have
LEAST_WIDTH: Final = 640  # pixels
PNG: Final = b"\x89PNG"


def embedded(
    figures: Sequence[Mapping[str, Any]], most_bytes: int = MOST_BYTES
) -> list[dict[str, str]]:
    """The figures with their pictures as base64, and width and height.

    Each has path (of a PNG file), title, caption, finding, section and alt, and may have animation
    (of a GIF file). If all pictures together are larger than `most_bytes`, the largest are made
    smaller: first fewer colours, then fewer pixels. Raises SlamsError where a file is missing or
    of another kind, and where nothing more can be done.
    """
    pictures = [_read(Path(figure["path"]), PNG) for figure in figures]
    films = [
        _read(Path(figure["animation"]), b"GIF8") if figure.get("animation") else b""
        for figure in figures
    ]
    pictures = _within(pictures, most_bytes - sum(map(len, films)))
    return [
        _described(figure, picture, film)
        for figure, picture, film in zip(figures, pictures, films, strict=True)
    ]


def _read(path: Path, mark: bytes) -> bytes:
    if not path.is_file():
        raise SlamsError(f"the figure {path} is not there: run the rule that draws it")
    content = path.read_bytes()
    if not content.startswith(mark):
        kind = "PNG" if mark == PNG else "GIF"
        raise SlamsError(
            f"the figure {path} is not a {kind}: give the file that slams.figures wrote"
        )
    return content


def _within(pictures: list[bytes], most: int) -> list[bytes]:
    """The pictures, the largest of them made smaller until all have no more than `most` bytes."""
    smallest = list(pictures)
    ahead = [list(STEPS) for _ in pictures]
    while sum(map(len, smallest)) > most:
        # One that cannot be made smaller must not keep the others from it.
        left = [number for number, steps in enumerate(ahead) if steps]
        if not left:
            raise SlamsError(
                f"the figures have {sum(map(len, smallest)):,} bytes and cannot be brought to "
                f"{most:,}: report fewer arms or axis values in one experiment"
            )
        largest = max(left, key=lambda number: len(smallest[number]))
        smaller = _smaller(pictures[largest], *ahead[largest].pop(0))
        # Mixed colours at every edge may take more bytes than the pixels saved.
        smallest[largest] = min(smallest[largest], smaller, key=len)
    return smallest


def _smaller(content: bytes, share: float, colours: int) -> bytes:
    """A picture with a share of its width and height, in so many colours; the same if too small."""
    with Image.open(BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    size = (round(picture.width * share), round(picture.height * share))
    if share < 1:
        if size[0] < LEAST_WIDTH:
            return content
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = BytesIO()
    _in_few_colours(picture, colours).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _in_few_colours(picture: Image.Image, colours: int) -> Image.Image:
    """The picture in so many colours: those of its surfaces, and what covers all others best.

    Coverage alone gives a pale surface some neighbour's tint.
    """
    pixels = np.asarray(picture).reshape(-1, 3)
    found, which, count = np.unique(
        pixels @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True, return_counts=True
    )
    order = np.argsort(-count)[: colours // SURFACES]
    often = found[order]
    surfaces = np.stack([often >> 16, often >> 8 & 255, often & 255], axis=1).astype(np.uint8)
    covering = picture.quantize(colours - len(surfaces), Image.Quantize.MAXCOVERAGE)
    taken = [*surfaces.ravel().tolist(), *(covering.getpalette() or [])][: 3 * colours]
    palette = Image.new("P", (1, 1))
    palette.putpalette(taken)
    reduced = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    # Pillow takes a colour for its neighbour: what is in the palette shall be itself.
    numbers = np.full(len(found), -1)
    numbers[order] = np.arange(len(order))
    own = numbers[which].ravel()
    exact = np.where(own < 0, np.asarray(reduced).ravel(), own).astype(np.uint8)
    result = Image.frombytes("P", picture.size, exact.tobytes())
    result.putpalette(taken)
    return result


def _described(figure: Mapping[str, Any], picture: bytes, film: bytes) -> dict[str, str]:
    width, height = (int.from_bytes(picture[i : i + 4], "big") for i in (16, 20))
    texts = {
        name: " ".join(str(figure.get(name, "")).split())
        for name in ("section", "title", "caption", "finding", "alt")
    }
    return {
        **texts,
        "data": base64.b64encode(picture).decode("ascii"),
        "animation": base64.b64encode(film).decode("ascii"),
        "width": str(width),
        "height": str(height),
        "name": Path(figure["path"]).stem,
    }
