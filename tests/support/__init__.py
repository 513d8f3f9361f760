"""What tests share: runs of the engine, synthetic DICOM, reference files and their known values."""
