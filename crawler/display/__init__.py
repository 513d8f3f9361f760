"""Stored values to what a person sees (PS3.3 C.11): VOI, LUTs, palettes, colour, overlays, crop."""
