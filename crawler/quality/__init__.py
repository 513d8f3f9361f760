"""Measures of image quality, without a model."""
