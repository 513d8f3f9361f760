"""The radiopharmaceutical of a PET or NM image (PS3.3 C.8.9.2, C.8.4.10), under plain names.

What standardised uptake values need, of the first item of the sequence; no dose is corrected for decay here.
"""

from __future__ import annotations

from typing import Any

from crawler.dicom.attributes import Attributes
from crawler.instance.traits import seconds

SEQUENCE = "RadiopharmaceuticalInformationSequence"
_NUMBERS = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadionuclidePositronFraction",
    "RadiopharmaceuticalVolume",
    "RadiopharmaceuticalSpecificActivity",
)


def radiopharmaceutical(dataset: Attributes) -> dict[str, Any]:
    """Return what a data set says of the radiopharmaceutical.

    Returns
    -------
    dict
        By keyword: *Radionuclide Total Dose* in Bq (MBq in NM), *Radionuclide Half Life* in s; ``Radionuclide`` and
        ``Radiopharmaceutical`` as text; ``RadiopharmaceuticalStartTime`` in s since midnight. What is not told is left
        out; an empty dict where there is no item, or several.
    """
    items = dataset.items(SEQUENCE)
    if len(items) != 1:
        return {}
    (item,) = items
    found: dict[str, Any] = {name: number for name in _NUMBERS if (number := item.number(name)) is not None}
    for name, sequence in (
        ("Radionuclide", "RadionuclideCodeSequence"),
        ("Radiopharmaceutical", "RadiopharmaceuticalCodeSequence"),
    ):
        code = item.item(sequence)
        text = (code.text("CodeMeaning") if code is not None else "") or item.text(name)
        if text:
            found[name] = text
    if name := item.text("Radiopharmaceutical"):
        found["Radiopharmaceutical"] = name
    time = seconds(item.text("RadiopharmaceuticalStartTime"))
    if time is None:
        time = seconds(item.text("RadiopharmaceuticalStartDateTime"), dated=True)
    if time is not None:
        found["RadiopharmaceuticalStartTime"] = time
    return found
