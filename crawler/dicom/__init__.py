"""DICOM as bytes, elements and records (PS3.5, PS3.6): nothing here knows what an image is."""
