"""Make crawler/privacy/vocabulary.txt: words that the standard uses, and that therefore name nobody.

Words of the names of elements (PS3.6), of the concepts of DICOM's own coding scheme and of anatomy (PS3.16, as
pydicom has them), and defined terms of code strings that stand below. Words of fewer than four letters are left out:
the policy lets these pass by themselves.

    python -m tests.support.make_privacy_vocabulary
"""

from __future__ import annotations

import re
from pathlib import Path

from pydicom.sr._concepts_dict import concepts

from crawler.dicom.dictionary_tables import public

TARGET = Path(__file__).parents[2] / "crawler" / "privacy" / "vocabulary.txt"
ANATOMY = {4, 4009, 4028, 4030, 4031, 4040, 4042, 6, 10, 12, 13, 18, 19, 20, 21, 3010, 3014, 3015, 4013, 4014, 29, 244}
TERMS = """
rtstruct rtplan rtdose rtimage rtrecord dicomdir hfs ffs
 original primary secondary derived axial localizer scout mosaic norm magnitude phase imaginary real
mixed volume average maximum minimum subtraction resampled reformatted multiplanar projection
isotropic perfusion diffusion trace dwi adc tracew colfa fractional anisotropy angio angiography
flair mprage space haste trufi fisp flash stir tirm vibe dixon water fat inphase outphase opposed
mean sum ratio helical spiral sequential cine gated static dynamic dce bold field fieldmap epse
segmented prospective retrospective reprojection head neck chest abdomen pelvis spine cspine tspine
lspine knee shoulder elbow wrist hand foot ankle hip breast heart cardiac brain skull extremity
whole body wholebody thorax left right unpaired both frontal lateral oblique sagittal coronal
transverse supine prone decubitus standing feet first yes none unknown male female other arterial
venous delayed native contrast plain with without pre post early late bone lung soft tissue
mediastinum liver standard detail edge sharp smooth medium siemens philips medical systems
healthineers toshiba canon hitachi agfa fuji fujifilm carestream kodak hologic varian elekta mindray
samsung esaote shimadzu konica minolta hewlett packard general electric marconi picker elscint
acuson aloka medison ultrasonix bruker biospin magnetom somatom biograph symphony sonata avanto
skyra prisma vida aera trio verio espree essenza definition sensation emotion force flash drive edge
lightspeed brightspeed optima discovery revolution signa excite hdxt artist premier architect
achieva ingenia intera gyroscan panorama ambition elition brilliance ingenuity iqon gemini vereos
aquilion vantage titan orian monochrome palette color manufacturer ondemand research protocol
routine series study sequence unspecified default
"""


def main() -> None:
    """Write the words, one a line."""
    words: set[str] = set()
    for entry in public().values():
        words |= set(re.findall("[A-Za-z]{4,}", entry[2]))
    for scheme in ("DCM", "SCT"):
        for codes in concepts[scheme].values():
            for meaning, groups in codes.values():
                if scheme == "DCM" or ANATOMY & set(groups):
                    words |= set(re.findall("[A-Za-z]{4,}", meaning))
    words |= set(TERMS.split())
    TARGET.write_text("\n".join(sorted({word.lower() for word in words})) + "\n")


if __name__ == "__main__":
    main()
