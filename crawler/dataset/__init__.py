"""A data set's bytes: elements, values, the dictionary, and what describes an instance; `header.py` is the door."""
