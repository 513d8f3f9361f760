"""A worker's job: read a folder or a scan and write its media, volumes, thumbnails and rows."""
