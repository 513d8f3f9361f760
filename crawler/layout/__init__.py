"""Scans and layouts: which planes make an array, in which order, along which axes, and how regular it is."""
