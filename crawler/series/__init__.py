"""Medical images as arrays that know where they are, and the way back to DICOM."""
