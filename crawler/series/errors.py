"""What series refuse, and why. The names of seeds/002 (imagedata) are kept where users may catch them.

No message holds a value of a patient element.
"""

from __future__ import annotations

from crawler.errors import SourceError, StopError


class SeriesError(StopError):
    """Root of the errors of this folder."""


class GeometryMismatch(SeriesError, ValueError):
    """Arrays that lie at different places in the patient meet in one operation."""


class NoGeometry(SeriesError, ValueError):
    """The operation needs positions in the patient, and the array has none."""


class FieldNotSet(SeriesError, ValueError):
    """A field of the header is asked for that the data do not have."""


class NoDataReadError(SourceError):
    """Nothing at a place is an image that can be read."""


class UnknownInputError(NoDataReadError):
    """The place does not exist, or is of no known kind."""


class PlaceNotFound(UnknownInputError, FileNotFoundError):
    """The place does not exist."""


class EmptyImageError(UnknownInputError):
    """An image without voxels."""


class NotImageError(UnknownInputError):
    """The files are no images."""


class MultipleSeriesError(SourceError):
    """There is more than one series where one is asked for; the message names them."""


class CannotSort(SourceError):
    """The images do not form one array in the order that is asked for."""


class SeveralArrays(MultipleSeriesError, CannotSort):
    """The images of one series form several arrays; the message names them."""


class NotTimeOrder(SeriesError, ValueError):
    """A time line is asked of an array without an axis of time."""


class UnknownTag(SeriesError, ValueError):
    """An element of the header is asked for that does not exist."""


class UnknownOrder(UnknownTag, CannotSort):
    """An order is asked for that is no name, no keyword and no function."""


class DoNotSetSlicesError(SeriesError, ValueError):
    """The number of slices follows from the array."""


class WriteNotImplemented(SeriesError, ValueError):
    """The format cannot hold this array, or is not known."""


class LossRefused(SeriesError, ValueError):
    """Writing would change values in a way that was not agreed to."""


class FileAlreadyExistsError(SeriesError, OSError):
    """Something that is not replaced lies at the target."""


class SOPInstanceUIDNotFound(SeriesError, KeyError):
    """An image is asked for that the array does not hold."""
