"""Readers and writers of the archives' raw formats: raw files in, xarray and Arrow out."""
