"""Frames: codecs, codestreams, encapsulated video, and the Modality LUT."""
