"""Writes reference_pixels.json: what other readers than this package make of real files, for test_reference_pixels.py.

Stored and modality values come from pydicom with gdcm, libjpeg (pylibjpeg) or Pillow as decoders, never imagecodecs;
pictures come from dcmtk's dcmj2pnm where it reads the file, else from pydicom. Run by hand, in an environment of its
own, for two of these packages are not among the project's:

    python -m pip install pydicom pydicom-data pillow python-gdcm pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg
    apt-get install dcmtk
    python tests/support/make_reference_pixels.py
"""

from __future__ import annotations

import io
import json
import subprocess
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import pydicom.data
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder

FOLDERS = (Path(pydicom.data.__file__).parent / "test_files", data_store.DataStore().data_path)
TABLE = Path(__file__).with_name("reference_pixels.json")
PLUGINS = ("gdcm", "pylibjpeg", "pillow", "pydicom", "")
LIKE = 2  # files of one kind: more tell nothing new
LARGEST = 20_000_000  # bytes of a file


def stored_by(dataset: Any) -> tuple[np.ndarray, str, str] | None:
    """First frame, its photometric interpretation, and the decoder; None when no decoder reads it."""
    try:
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    except (AttributeError, NotImplementedError):
        return None
    for name in PLUGINS:
        if name and name not in decoder.available_plugins:
            continue
        try:
            values, made = decoder.as_array(dataset, index=0, raw=True, decoding_plugin=name)
        except Exception:
            continue
        return values, str(made["photometric_interpretation"]), name or "native"
    return None


def modality_of(values: np.ndarray, dataset: Any) -> np.ndarray:
    """Modality values of the first frame: of the data set, of functional groups (enhanced), or dose (RT Dose)."""
    if "DoseGridScaling" in dataset:
        return values * float(dataset.DoseGridScaling)  # PS3.3 C.8.8.3.2
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in dataset.get(keyword, [])[:1]:
            if "PixelValueTransformationSequence" in group:
                return apply_modality_lut(values, group.PixelValueTransformationSequence[0])
    return apply_modality_lut(values, dataset)


def shown_by_dcmtk(path: Path) -> np.ndarray | None:
    """First frame as dcmj2pnm shows it, with the file's first VOI LUT or window; None when it cannot."""
    for voi in (["+Wl", "1"], ["+Wi", "1"], []):
        done = subprocess.run(["dcmj2pnm", "+op", "+F", "1", *voi, str(path)], capture_output=True, check=False)
        if done.returncode == 0 and done.stdout[:2] in (b"P5", b"P6"):
            return np.asarray(Image.open(io.BytesIO(done.stdout)))
    return None


def shown(path: Path, dataset: Any) -> tuple[np.ndarray, str] | None:
    """A picture that does not depend on this package's choices: a window, a table or colours of the file's own."""
    own = "WindowCenter" in dataset or "VOILUTSequence" in dataset
    colour = int(dataset.get("SamplesPerPixel") or 1) == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR"
    if (not own or dataset.get("VOILUTFunction", "LINEAR") != "LINEAR") and not colour:
        return None
    picture = shown_by_dcmtk(path)
    if picture is not None:
        return picture, "dcmj2pnm"
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        found = stored_by(dataset)
        assert found is not None
        table = apply_color_lut(found[0], dataset)[..., :3]
        return (table >> 8 if table.max() > 255 else table), "pydicom"
    if int(dataset.get("SamplesPerPixel") or 1) == 3 and dataset.BitsAllocated == 8:
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
        for name in (name for name in PLUGINS if name in decoder.available_plugins):
            try:
                return decoder.as_array(dataset, index=0, decoding_plugin=name)[0], f"pydicom, {name}"
            except Exception:
                continue
    return None


def at(values: np.ndarray) -> dict[str, Any]:
    """Some pixels: position -> value, a list in colour."""
    rows, columns = values.shape[:2]
    places = [(rows // 3, columns // 2), (2 * rows // 3, columns // 3), (rows // 2, columns // 2), (0, columns - 1)]
    return {f"{row},{column}": values[row, column].tolist() for row, column in places}


def entry(path: Path, dataset: Any) -> dict[str, Any] | None:
    """The table's line of one file."""
    found = stored_by(dataset)
    if found is None:
        return None
    values, photometric, decoder = found
    line = {
        "syntax": str(dataset.file_meta.TransferSyntaxUID),
        "header": dataset.PhotometricInterpretation,
        "photometric": photometric,
        "by": decoder,
        "shape": list(values.shape),
        "dtype": values.dtype.newbyteorder("=").name,
        "stored": at(values),
    }
    if photometric.startswith("MONOCHROME"):
        line["modality"] = at(modality_of(values, dataset))
    picture = shown(path, dataset)
    if picture is not None and picture[0].shape[:2] == values.shape[:2]:
        line |= {"display": at(picture[0]), "display_by": picture[1]}
    return line


def main() -> None:
    """Write the table."""
    warnings.simplefilter("ignore")
    lines: dict[str, Any] = {}
    kinds: Counter[tuple[Any, ...]] = Counter()
    for path in sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.is_file()):
        if path.stat().st_size > LARGEST:
            continue
        try:
            dataset = dcmread(path)
            line = entry(path, dataset)
        except Exception:
            continue
        if line is None or path.name in lines:
            continue
        kind = (line["syntax"], line["header"], line["dtype"], dataset.get("BitsStored"), "modality" in line)
        kinds[kind] += 1
        if kinds[kind] <= LIKE:
            lines[path.name] = line
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(lines[name])}" for name in sorted(lines))
    TABLE.write_text("{\n" + text + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
