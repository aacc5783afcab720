"""What the quality codes and report types of GHCNh mean; codes depend on the source of a value.

After section VI (table 3) of NOAA's GHCNh documentation, as its users quote it, and the station
checks of the Copernicus land service (Dunn), whose letters the integrated checks bear:

- a letter of CHECKS says that a temperature failed one of the integrated checks, whatever its
  source; several letters, several checks;
- sources that carry ISD's codes: as in `isd_codes`, but C and U, which are letters of CHECKS too;
- sources 220 to 223, 347, 348: 0 not checked, 1 good, 2 suspect, 3 erroneous, 4 calculated,
  5 removed;
- no code: no check failed. Reports since 2026 have none (source 413).
"""

import numpy as np
from numpy.typing import NDArray

from slams.archives.isd_codes import QUALITY, REPORT_TYPES
from slams.archives.reports import (
    EDITED,
    ERRONEOUS,
    LIMITS,
    OTHER,
    PASSED,
    SUSPECT,
    UNCODED,
    UNKNOWN,
    UNWANTED,
)

# Odd cluster, frequent value, diurnal cycle, distributions, world record, streak, climatological
# outlier, timestamp, spike, humidity, variance, pressure, wind, logic, neighbours, clean-up, and
# a station with many flags.
CHECKS = frozenset("oFUDdWKCTShVpwLNEH")
LIKE_ISD = frozenset(("313", "314", "315", "322", "335", "343", "344", "346"))
OWN_CODES = frozenset(("220", "221", "222", "223", "347", "348"))
OWN = {"0": LIMITS, "1": PASSED, "2": SUSPECT, "3": ERRONEOUS, "4": EDITED, "5": ERRONEOUS}
# What every scheme means alike by a code, for sources of which neither is known.
ALIKE = {"0": LIMITS, "1": PASSED, "2": SUSPECT, "3": ERRONEOUS, "6": SUSPECT, "7": ERRONEOUS}
# Summaries of days and months, precipitation alone, and modelled radiation data.
UNWANTED_TYPES = frozenset(("SOD", "SOM", "COOPD", "COOPS", "PCP15", "PCP60", "NSRDB", "BOGUS"))

_KINDS = {name.replace("-", ""): kind for name, kind in REPORT_TYPES.items()}


def trust_of(code: str, source: str) -> int:
    """What a quality code of a source says, as in `reports`."""
    if not code:
        return UNCODED
    if set(code) <= CHECKS:
        return ERRONEOUS
    if source in LIKE_ISD:
        return QUALITY.get(code, UNKNOWN)
    return (OWN if source in OWN_CODES else ALIKE).get(code, UNKNOWN)


def kinds(names: list[str]) -> NDArray[np.int8]:
    """What each report type is. They are written FM12 or FM-12, some with a source after '_'."""
    plain = [name.upper().partition("_")[0].replace("-", "") for name in names]
    return np.array(
        [UNWANTED if name in UNWANTED_TYPES else _KINDS.get(name, OTHER) for name in plain],
        dtype=np.int8,
    )
