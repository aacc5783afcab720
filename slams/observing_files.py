"""The streams of a cell from their files, as a rule's input names them."""

from functools import partial
from typing import Any

from slams.archives import station_set
from slams.netcdf import load_dataset
from slams.observation.imagery import ImageryModel, lazily
from slams.observing import Streams


def streams_of(given: Any) -> Streams:
    """What a rule's input, ``given``, has of streams.

    Only what a case needs of stations and images is read, when it is asked for. Its attributes,
    each where the stream has it: stations (tables) and station_fit, imagery
    (regridded years) and imagery_model, persistence (the fit).
    """
    streams = Streams()
    if hasattr(given, "station_fit"):
        streams.station_fit = load_dataset(given.station_fit)
    if hasattr(given, "stations"):
        streams.stations = partial(station_set.read, given.stations)
    if hasattr(given, "imagery_model"):
        streams.imagery_model = ImageryModel.load(given.imagery_model)
        streams.imagery = lazily(given.imagery, streams.imagery_model.channels)
    if hasattr(given, "persistence"):
        streams.persistence = load_dataset(given.persistence)
    return streams
