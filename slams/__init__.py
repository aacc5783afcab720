"""SLAMS: weather data assimilation with deep generative models."""

__version__ = "0.1.0"
