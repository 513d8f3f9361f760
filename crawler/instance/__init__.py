"""What a header means (PS3.3): geometry, functional groups, mosaics, vendor elements; `header.read_instance`."""
