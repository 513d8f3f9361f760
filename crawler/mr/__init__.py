"""Rooms of `mr_clean.py`: what the header of an MR series says about itself, one noun each."""
