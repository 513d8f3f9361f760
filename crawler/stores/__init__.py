"""Where bytes lie: files of this machine, and those of object stores and servers, which `fsspec` reaches."""
