"""A PACS as a source and a target of DICOM: find, retrieve, receive and send over DIMSE and DICOMweb."""
