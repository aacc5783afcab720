"""What is verified in a cell: the ensemble, and the classical analyses beside it."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError

# In every cell, in the order of the table; those of the second have a spread.
FIELDS: Final = ("interpolation",)
GAUSSIANS: Final = ("climatology", "oi", "letkf")
ORDER: Final = ("climatology", "interpolation", "oi", "letkf", "persistence")
PAIRS: Final = 2  # of draws of a Gaussian at every point, for the distribution of all points
# Of these a level may be missing, where nothing of it was observed.
PARTLY: Final = frozenset({"interpolation"})


@dataclass(frozen=True)
class Method:
    """A method of a cell: an ensemble, a Gaussian of mean and spread, or a field alone.

    ``members`` is their number, 1 for a field, 0 for a Gaussian.
    """

    name: str
    kind: Literal["ensemble", "gaussian", "field"]
    members: int

    @property
    def spread(self) -> str:
        """The variable of a Gaussian's standard deviation."""
        return f"{self.name}_spread"

    @property
    def stations(self) -> str:
        """The variable of what a classical method says of the stations held out."""
        return f"{self.name}_stations"

    @property
    def stations_spread(self) -> str:
        """The variable of a Gaussian's standard deviation there."""
        return f"{self.name}_stations_spread"


def ensemble_of(analysis: xr.Dataset) -> Method:
    """The arm's own analysis; one member is a field."""
    members = analysis.sizes["member"]
    return Method("analysis", "ensemble" if members > 1 else "field", members)


def methods_of(analysis: xr.Dataset, classical: xr.Dataset) -> list[Method]:
    """The methods of a cell; persistence where its axis is that.

    Raises SlamsError where the classical analyses lack one.
    """
    found = [ensemble_of(analysis)]
    for name in ORDER:
        if name == "persistence" and analysis.attrs.get("axis") != "persistence":
            continue
        kind: Literal["gaussian", "field"] = "gaussian" if name in GAUSSIANS else "field"
        needed = [name, f"{name}_spread"] if kind == "gaussian" else [name]
        for variable in needed:
            if variable not in classical:
                raise SlamsError(
                    f"the classical analyses lack the variable {variable}: run the rule "
                    "analyse_classically again"
                )
        found.append(Method(name, kind, 0 if kind == "gaussian" else 1))
    return found


def pooled(
    method: Method, cell: xr.Dataset, level: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """The values of one level, (case, n), sorted: of all members, of a field, of a Gaussian.

    ``cell`` holds the method's variables. Of a Gaussian `PAIRS` draws a point and their mirror
    images: points are many, and a few draws of each give the distribution of all.
    """
    field = cell[method.name].isel(level=level).transpose("case", ...)
    values = field.values.astype(np.float32, copy=False)
    if method.kind == "gaussian":
        spread = cell[method.spread].isel(level=level).broadcast_like(field)
        width = spread.transpose(*field.dims).values.astype(np.float32)
        shape = (values.shape[0], PAIRS, *values.shape[1:])
        away = width[:, None] * random.standard_normal(shape, np.float32)
        values = np.stack([values[:, None] + away, values[:, None] - away], axis=1)
    found: NDArray[np.float32] = np.sort(values.reshape(len(field), -1), axis=1)
    return found
