"""What the quality codes and report types of the Integrated Surface Database mean.

After NOAA's Federal Climate Complex Data Documentation for ISD. Codes 1 and 5 have passed all
checks, 0 and 4 the gross limits only, 9 those where the element is present; A C I M P R U are
values that a person or NCEI's software accepted or edited.
"""

import numpy as np
from numpy.typing import NDArray

from slams.archives.reports import (
    EDITED,
    ERRONEOUS,
    LIMITS,
    OTHER,
    PASSED,
    PRESENT,
    ROUTINE,
    SUSPECT,
    SYNOPTIC,
    UNKNOWN,
    UNWANTED,
)

QUALITY = {
    **dict.fromkeys("15", PASSED),
    **dict.fromkeys("ACIMPRU", EDITED),
    **dict.fromkeys("04", LIMITS),
    **dict.fromkeys("9", PRESENT),
    **dict.fromkeys("26", SUSPECT),
    **dict.fromkeys("37", ERRONEOUS),
}
REPORT_TYPES = {
    "FM-12": SYNOPTIC,
    "FM-15": ROUTINE,
    **dict.fromkeys(("FM-13", "FM-14", "FM-16", "FM-18"), OTHER),
    **dict.fromkeys(("SAO", "SY-MT", "SY-SA", "AUTO", "CRN05", "CRN15"), OTHER),
}


def trust(names: list[str]) -> NDArray[np.int8]:
    """What each quality code says."""
    return np.array([QUALITY.get(name, UNKNOWN) for name in names], dtype=np.int8)


def kinds(names: list[str]) -> NDArray[np.int8]:
    """What each report type is; the summaries SOD and SOM and others are UNWANTED."""
    return np.array([REPORT_TYPES.get(name, UNWANTED) for name in names], dtype=np.int8)
