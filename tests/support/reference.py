"""Real files whose pixels are known: shape, dtype, meaning and some values of the first frame.

Read by this package, and equal to what one of pydicom's own decoders gives, except for what no second decoder on hand
reads: the JPEG-LS files (of which MR_small and emri_small equal their uncompressed twins, see `SAME_IMAGE`) and 12-bit
JPEG (JPEG-lossy.dcm, JPGExtended.dcm). Of lossless JPEG, libjpeg-turbo and jpegsof3 give the same.
"""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """What `pixels.frames` must yield: frames in the file, shape, dtype, photometric; {position: value} of frame 0."""

    frames: int
    shape: tuple[int, ...]
    dtype: str
    photometric: str
    values: dict[tuple[int, ...], int | float]


FILES: dict[str, Known] = {
    "CT_small.dcm": Known(1, (128, 128), "int16", "MONOCHROME2", {(42, 64): 1367, (85, 42): 1071, (64, 64): 1928}),
    "MR_small.dcm": Known(1, (64, 64), "int16", "MONOCHROME2", {(21, 32): 243, (42, 21): 230, (32, 32): 182}),
    "MR_small_RLE.dcm": Known(1, (64, 64), "int16", "MONOCHROME2", {(21, 32): 243, (42, 21): 230, (32, 32): 182}),
    "MR_small_jpeg_ls_lossless.dcm": Known(
        1, (64, 64), "int16", "MONOCHROME2", {(21, 32): 243, (42, 21): 230, (32, 32): 182}
    ),
    "JPEG2000.dcm": Known(1, (1024, 256), "int16", "MONOCHROME2", {(341, 128): 24, (682, 85): 33, (512, 128): 7}),
    "JPEG-LL.dcm": Known(1, (1024, 256), "int16", "MONOCHROME2", {(341, 128): 36, (682, 85): 27, (512, 128): 13}),
    "JPEG-lossy.dcm": Known(1, (1024, 256), "uint16", "MONOCHROME2", {(341, 128): 31, (682, 85): 39, (512, 128): 14}),
    "JPGExtended.dcm": Known(1, (1024, 256), "uint16", "MONOCHROME2", {(341, 128): 31, (682, 85): 39, (512, 128): 14}),
    "JPEGLSNearLossless_08.dcm": Known(1, (45, 10), "uint8", "MONOCHROME2", {(15, 5): 30, (30, 3): 5, (22, 5): 15}),
    "JPEGLSNearLossless_16.dcm": Known(
        1, (50, 10), "uint16", "MONOCHROME2", {(16, 5): 4095, (33, 3): 65, (25, 5): 255}
    ),
    "J2K_pixelrep_mismatch.dcm": Known(
        1, (512, 512), "int16", "MONOCHROME2", {(170, 256): 90, (341, 170): 48, (256, 256): 27}
    ),
    "693_J2KI.dcm": Known(
        1, (512, 512), "int16", "MONOCHROME2", {(170, 256): 1061, (341, 170): 1121, (256, 256): 1056}
    ),
    "RG1_J2KR.dcm": Known(
        1, (1955, 1841), "uint16", "MONOCHROME1", {(651, 920): 3344, (1303, 613): 7393, (977, 920): 3441}
    ),
    "SC_rgb_jpeg.dcm": Known(
        1, (256, 256, 3), "uint8", "RGB", {(85, 128, 0): 244, (170, 85, 1): 244, (128, 128, 2): 244}
    ),
    "SC_jpeg_no_color_transform_2.dcm": Known(
        1, (256, 256, 3), "uint8", "RGB", {(85, 128, 0): 242, (170, 85, 1): 246, (128, 128, 2): 246}
    ),
    "SC_rgb_dcmtk_+eb+cr.dcm": Known(
        1, (100, 100, 3), "uint8", "RGB", {(33, 50, 0): 128, (66, 33, 1): 0, (50, 50, 2): 255}
    ),
    "SC_rgb_dcmtk_+eb+cy+s4.dcm": Known(
        1, (100, 100, 3), "uint8", "YBR_FULL", {(33, 50, 0): 203, (66, 33, 1): 128, (50, 50, 2): 115}
    ),
    "SC_rgb_small_odd_jpeg.dcm": Known(
        1, (3, 3, 3), "uint8", "YBR_FULL", {(1, 1, 0): 90, (2, 1, 1): 126, (1, 1, 2): 108}
    ),
    "SC_rgb_jls_lossy_line.dcm": Known(
        1, (100, 100, 3), "uint8", "RGB", {(33, 50, 0): 130, (66, 33, 1): 0, (50, 50, 2): 255}
    ),
    "SC_rgb_jls_lossy_sample.dcm": Known(
        1, (100, 100, 3), "uint8", "RGB", {(33, 50, 0): 130, (66, 33, 1): 0, (50, 50, 2): 255}
    ),
    "SC_ybr_full_422_uncompressed.dcm": Known(
        1, (100, 100, 3), "uint8", "YBR_FULL", {(33, 50, 0): 203, (66, 33, 1): 128, (50, 50, 2): 115}
    ),
    "US1_J2KI.dcm": Known(1, (480, 640, 3), "uint8", "RGB", {(160, 320, 0): 116, (320, 213, 1): 87, (240, 320, 2): 8}),
    "GDCMJ2K_TextGBR.dcm": Known(
        1, (400, 400, 3), "uint8", "RGB", {(133, 200, 0): 128, (266, 133, 1): 0, (200, 200, 2): 128}
    ),
    "examples_ybr_color.dcm": Known(
        30, (240, 320, 3), "uint8", "YBR_FULL", {(80, 160, 0): 21, (160, 106, 1): 128, (120, 160, 2): 128}
    ),
    "color3d_jpeg_baseline.dcm": Known(
        120, (480, 640, 3), "uint8", "YBR_FULL", {(160, 320, 0): 27, (320, 213, 1): 128, (240, 320, 2): 128}
    ),
    "rtdose_rle.dcm": Known(15, (10, 10), "uint32", "MONOCHROME2", {(3, 5): 1079000, (6, 3): 932000, (5, 5): 978000}),
    "liver.dcm": Known(3, (512, 512), "uint8", "MONOCHROME2", {(170, 256): 1, (341, 170): 1, (256, 256): 1}),
    "SC_rgb_small_odd_big_endian.dcm": Known(
        1, (3, 3, 3), "uint8", "RGB", {(1, 1, 0): 63, (2, 1, 1): 158, (1, 1, 2): 176}
    ),
    "OBXXXX1A_expb.dcm": Known(1, (600, 800), "uint8", "PALETTE COLOR", {(200, 400): 1, (400, 266): 1, (300, 400): 1}),
    "bad_sequence.dcm": Known(
        1, (512, 512), "uint16", "MONOCHROME2", {(170, 256): 1103, (341, 170): 1460, (256, 256): 1226}
    ),
    "emri_small_big_endian.dcm": Known(
        10, (64, 64), "uint16", "MONOCHROME2", {(21, 32): 194, (42, 21): 275, (32, 32): 110}
    ),
    "MR-SIEMENS-DICOM-WithOverlays.dcm": Known(
        1, (484, 484), "uint16", "MONOCHROME2", {(161, 242): 175, (322, 161): 555, (242, 242): 108}
    ),
    "image_dfl.dcm": Known(1, (512, 512), "uint8", "MONOCHROME2", {(170, 256): 164, (341, 170): 148, (256, 256): 65}),
}

# Names of files that show one image: equal values whatever the encoding.
SAME_IMAGE: tuple[tuple[str, ...], ...] = (
    (
        "SC_rgb.dcm",
        "SC_rgb_expb.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_2frame.dcm",
        "SC_rgb_expb_2frame.dcm",
        "SC_rgb_rle_2frame.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_gdcm2k_uncompressed.dcm",
    ),
    ("SC_rgb_16bit.dcm", "SC_rgb_expb_16bit.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_rle_16bit_2frame.dcm"),
    ("SC_rgb_32bit.dcm", "SC_rgb_expb_32bit.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_rle_32bit_2frame.dcm"),
    (
        "emri_small.dcm",
        "emri_small_big_endian.dcm",
        "emri_small_RLE.dcm",
        "emri_small_jpeg_2k_lossless.dcm",
        "emri_small_jpeg_ls_lossless.dcm",
    ),
    (
        "MR_small.dcm",
        "MR_small_expb.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
    ),
    ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm", "OBXXXX1A_rle.dcm", "OBXXXX1A_expb_2frame.dcm", "OBXXXX1A_rle_2frame.dcm"),
    ("liver_1frame.dcm", "liver_expb_1frame.dcm"),
    ("rtdose.dcm", "rtdose_rle.dcm", "rtdose_expb.dcm"),
    ("SC_jpeg_no_color_transform.dcm", "SC_rgb_jpeg.dcm"),
    ("SC_jpeg_no_color_transform_2.dcm", "SC_rgb_jpeg_app14_dcmd.dcm"),
    ("MR2_J2KR.dcm", "MR2_UNCR.dcm"),
    ("RG3_J2KR.dcm", "RG3_UNCR.dcm"),
    ("US1_J2KR.dcm", "US1_UNCR.dcm"),
    ("693_J2KR.dcm", "693_UNCR.dcm"),
)
