"""The rooms of `display.py`: one step of the way from stored values to a picture each."""
