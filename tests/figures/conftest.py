"""A figure that was saved is looked at: something is drawn, nothing is cut off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from slams import figures


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[[Figure], list[Path]]:
    """A function that saves a figure and checks the picture; the paths written."""

    def check(figure: Figure) -> list[Path]:
        paths = figures.save(figure, tmp_path / "figures" / "it")
        assert [path.suffix for path in paths] == [".pdf", ".png"]
        pixels = np.asarray(Image.open(paths[1]).convert("L"))
        assert pixels.std() > 5
        # Nothing is clipped: the rim of the canvas is empty.
        assert pixels[[0, -1]].min() > 250 and pixels[:, [0, -1]].min() > 250
        assert len(list(paths[0].parent.iterdir())) == 2
        assert not overlapping(figure)
        return paths

    return check


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of titles, axis labels and the heading that cover one another."""
    renderer = figure.canvas.get_renderer()
    texts = [t for axes in figure.axes for t in (axes.title, axes._left_title, axes.xaxis.label)]
    texts += [t for axes in figure.axes for t in (axes.yaxis.label,)]
    texts += [t for t in (figure._suptitle, figure._supxlabel, figure._supylabel) if t is not None]
    boxes = [
        (t.get_text(), t.get_window_extent(renderer))
        for t in texts
        if t.get_text()
        and t.get_visible()
        and (t.axes is None or t.axes.axison or t is t.axes._left_title)
    ]
    return [
        (one, other)
        for i, (one, box) in enumerate(boxes)
        for other, beside in boxes[:i]
        if box.shrunk(0.98, 0.9).overlaps(beside.shrunk(0.98, 0.9))
    ]
