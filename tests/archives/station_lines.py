"""Lines of the four formats as the providers write them, for tests."""

HISTORY_HEADER = (
    '"USAF","WBAN","STATION NAME","CTRY","STATE","ICAO","LAT","LON","ELEV(M)","BEGIN","END"'
)
HISTORY_ROWS = [
    '"010010","99999","JAN MAYEN","NO","","","+70.933","-008.667","+0009.0","19310101","20160101"',
    '"A00001","12345","LETTERS","US","","","+40.000","+020.000","-0999.9","20000101","20160618"',
    '"722540","13904","AUSTIN","US","TX","","+30.183","-097.680","+0151.0","20000101","20160618"',
]
LITE = "010010-99999-2015"
CSV_HEADER = "STATION,DATE,SOURCE,LATITUDE,LONGITUDE,ELEVATION,REPORT_TYPE,TMP,REM"

# GHCNh as of 2025 and as of 2024, with a variable beside the temperature and the remarks.
_VALUE = ("", "_Measurement_Code", "_Quality_Code", "_Report_Type", "_Source_Code")
_VALUE += ("_Source_Station_ID",)
_VARIABLES = [f"{name}{end}" for name in ("temperature", "wind_speed", "REM") for end in _VALUE]
_CLOCK = ["Year", "Month", "Day", "Hour", "Minute"]
GHCNH_HEADER = "|".join(
    ["STATION", "Station_name", "DATE", *_CLOCK, "LATITUDE", "LONGITUDE", "ELEVATION", *_VARIABLES]
)
OLD_GHCNH_HEADER = "|".join(
    ["Station_ID", "Station_name", *_CLOCK, "Latitude", "Longitude", "Elevation", *_VARIABLES]
)


def full(
    time="201501010000",
    *,
    station="72254013904",
    place="+30183-097680",
    kind="FM-12",
    elevation="+0151",
    celsius="+0123",
    quality="1",
    rest="",
):
    """A record of the full format."""
    line = (
        f"{len(rest):04d}{station}{time}4{place}{kind:5}{elevation}KAUS V020"
        f"999999999999999999999999999{celsius}{quality}+99999999999{rest}"
    )
    assert len(line) == 105 + len(rest)
    return line


def lite(year=2015, month=1, day=1, hour=0, tenths=123):
    """A line of ISD-Lite."""
    return f"{year:4d} {month:02d} {day:02d} {hour:02d}{tenths:6d}" + 7 * " -9999"


def csv_row(date="2015-01-01T00:00:00", place="30.183,-97.68,151.0", kind="FM-12", tmp="+0123,1"):
    """A row of a global-hourly file."""
    return f'"72254013904","{date}","4",{place},"{kind}","{tmp}","a remark, with a comma"'


def psv_row(
    time="2015-01-01T00:00:00",
    *,
    station="USW00013904",
    place="30.1831|-97.6799|151.2",
    celsius="12.3",
    quality="1",
    kind="FM12",
    source="335",
    old=False,
):
    """A row of a GHCNh file."""
    clock = f"{time[:4]}|{time[5:7]}|{time[8:10]}|{time[11:13]}|{time[14:16]}"
    start = f"{station}|AUSTIN|" + (clock if old else f"{time}|{clock}")
    temperature = f"{celsius}||{quality}|{kind}|{source}|722540-13904"
    return f'{start}|{place}|{temperature}|5.1||1|{kind}|335|722540-13904|a "remark|||||'


def write(path, lines):
    """The lines as a file; its path."""
    path.write_text("\n".join(lines) + "\n")
    return path
