"""Normalised columns of MR series: what the header says about its own sequence, one module a subject."""
