"""The contract that every row of the table of sinks keeps; outputs are read back without the sinks."""

import errno
import io
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import imageio_ffmpeg
import nibabel
import numpy as np
import pytest
import scipy.io
import SimpleITK
import xxhash
from PIL import Image

from crawler.config.loader import Config
from crawler.errors import ConfigError, OutputError, SinkError, StopError
from crawler.model import File, Frame, Instance, Layout, Place, Plane, Scan
from crawler.sinks import LAYOUT_SINKS, SINKS, FileSubject, LayoutSubject, Target, base, media_sinks, require
from crawler.sinks.image import ImageSink
from crawler.sinks.video import VideoSink

ROWS, COLUMNS = 24, 32


class Plain:
    """A display that shows stored values as they are, in the upper bits when 16 are wanted."""

    def render(self, frame, bits=8):
        return frame.values.astype(np.uint16) * 257 if bits == 16 else frame.values


def grey(number):
    values = np.tile(np.arange(COLUMNS, dtype=np.uint8) * 4 + number * 16, (ROWS, 1))
    return Frame(number, values, "MONOCHROME2")


def file_subject():
    return FileSubject(Instance(File("/in", "a.dcm", 1, 1), {}, frame_rate=12.5), Plain())


def layout_subject(count):
    instances = tuple(
        Instance(File("/in", f"{n}.dcm", 1, 1), {}, sop_uid=f"1.2.{n}", planes=(Plane(position=(0.0, 0.0, float(n))),))
        for n in range(count)
    )
    layout = Layout(
        "", (count, ROWS, COLUMNS), ("slice", "row", "column"), tuple(Place(n, 0, (n,)) for n in range(count))
    )
    return LayoutSubject(Scan("s1-00000000", "1.2", instances), layout, np.dtype(np.uint8), "stored", "MONOCHROME2", {})


def read_image(path):
    return (np.asarray(Image.open(path)) // 257)[np.newaxis]


def read_video(path):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, ROWS, COLUMNS)


def read_frames(path):
    return np.stack([np.asarray(Image.open(one)) // 257 for one in sorted(Path(path).parent.iterdir())])


def read_hdf5(path):
    with h5py.File(path) as file:
        return file["image"][()]


def read_nifti(path):
    return np.asanyarray(nibabel.load(path).dataobj).T


def read_npz(path):
    with np.load(path) as file:
        return file["data"]


def read_metaimage(path):
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))


def read_mat(path):
    return scipy.io.loadmat(path)["A"]


# name -> frames it takes, reader, largest error of a grey value (video: to limited range and back, and crf 17)
CASES = {
    "image": (1, read_image, 0),
    "video": (5, read_video, 6),
    "gif": (5, read_video, 0),
    "frames": (5, read_frames, 0),
    "hdf5": (4, read_hdf5, 0),
    "nifti": (4, read_nifti, 0),
    "nii": (4, read_nifti, 0),
    "npz": (4, read_npz, 0),
    "metaimage": (4, read_metaimage, 0),
    "mhd": (4, read_metaimage, 0),
    "mat": (4, read_mat, 0),
}


KINDS = {"gif": "video", "frames": "image"}


@pytest.fixture(params=list(SINKS))
def name(request):
    return request.param


@pytest.fixture
def target(tmp_path):
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out" / "deep" / "name.1.2"), str(tmp_path / "temp"))


def begin(name, target):
    sink = SINKS[name]()
    sink.open(target, file_subject() if sink.per == "file" else layout_subject(CASES[name][0]))
    return sink


def fill(sink, name):
    for number in range(CASES[name][0]):
        sink.put((number,), grey(number))


def write(name, target):
    sink = begin(name, target)
    fill(sink, name)
    return sink.close()


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_every_sink_has_a_case():
    assert set(CASES) == set(SINKS)
    assert set(LAYOUT_SINKS) == {name for name, sink in SINKS.items() if sink.per == "layout"}


def test_values_come_back(name, target):
    count, read, tolerance = CASES[name]
    product = write(name, target)[0]
    expected = np.stack([grey(number).values for number in range(count)])
    actual = read(product.path)
    assert actual.shape == expected.shape
    assert np.abs(actual.astype(int) - expected).max() <= tolerance


def test_products_are_what_they_say(name, target):
    sink = begin(name, target)
    fill(sink, name)
    products = sink.close()
    assert products[0].path == target.path + sink.extension
    assert products[0].kind == ("volume" if sink.per == "layout" else KINDS.get(name, name))
    for product in products:
        data = Path(product.path).read_bytes()
        assert product.size == len(data) > 0
        assert product.checksum == xxhash.xxh3_128_hexdigest(data)
    assert os.listdir(target.temp) == []
    assert len(files_below(Path(target.path).parent)) == len(products)


def test_abort_after_close_keeps_the_products(name, target):
    sink = begin(name, target)
    fill(sink, name)
    products = sink.close()
    sink.abort()
    assert all(os.path.isfile(product.path) for product in products)


def test_equal_frames_give_equal_bytes(name, target):
    first = [Path(product.path).read_bytes() for product in write(name, target)]
    elsewhere = replace(target, path=os.path.join(target.temp, os.pardir, "other", os.path.basename(target.path)))
    again = [Path(product.path).read_bytes() for product in write(name, elsewhere)]
    assert first == again


def test_a_target_is_replaced(name, target):
    write(name, target)
    product = write(name, target)[0]
    assert os.path.getsize(product.path) == product.size


@pytest.mark.parametrize("moment", ["made", "opened", "begun", "filled"])
def test_abort_leaves_nothing(name, target, tmp_path, moment):
    sink = SINKS[name]() if moment == "made" else begin(name, target)
    if moment == "begun":
        sink.put((0,), grey(0))
    if moment == "filled":
        fill(sink, name)
    sink.abort()
    sink.abort()
    assert files_below(tmp_path) == []


def test_close_without_frames_is_an_error(name, target, tmp_path):
    sink = begin(name, target)
    with pytest.raises(SinkError):
        sink.close()
    sink.abort()
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (errno.ENOSPC, OutputError, "disk full"),
        (errno.EDQUOT, OutputError, "disk full"),
        (errno.EACCES, SinkError, "no permission"),
        (errno.EIO, SinkError, "cannot write"),
    ],
)
def test_a_failing_disk_is_reported(name, target, tmp_path, monkeypatch, code, error, text):
    def fail(source, destination):
        raise OSError(code, os.strerror(code), source)

    sink = begin(name, target)
    fill(sink, name)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(error, match=text) as caught:
        sink.close()
    sink.abort()
    assert files_below(tmp_path) == []
    assert target.temp not in str(caught.value)


def test_a_folder_at_the_target_is_reported(name, target, tmp_path):
    os.makedirs(target.path + SINKS[name]().extension)
    with pytest.raises(SinkError, match="a folder lies at the target"):
        write(name, target)
    assert files_below(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_reported(name, target):
    folder = Path(target.path).parent
    folder.parent.mkdir()
    folder.write_text("")
    with pytest.raises(SinkError, match="a file lies where a folder is needed"):
        write(name, target)


def test_a_name_too_long_is_reported(name, target, tmp_path):
    with pytest.raises(SinkError, match="name too long"):
        write(name, replace(target, path=str(tmp_path / ("n" * 300))))
    assert files_below(tmp_path) == []


def test_a_missing_folder_for_unfinished_files_is_reported(name, target):
    os.rmdir(target.temp)
    sink = SINKS[name]()
    with pytest.raises(SinkError, match="No such file") as caught:  # noqa: PT012 - sinks differ in when they notice
        sink.open(target, file_subject() if sink.per == "file" else layout_subject(CASES[name][0]))
        fill(sink, name)
        sink.close()
    sink.abort()
    assert target.temp not in str(caught.value)


def test_products_have_the_permissions_of_any_new_file(name, target, tmp_path):
    (tmp_path / "plain").touch()
    expected = (tmp_path / "plain").stat().st_mode
    assert os.stat(write(name, target)[0].path).st_mode == expected


def test_names_in_any_bytes(name, target):
    odd = os.path.join(os.path.dirname(target.path), os.fsdecode(b"caf\xe9 %03d 'x'"))
    assert os.path.isfile(write(name, replace(target, path=odd))[0].path)


def test_present_packages_are_found(name):
    require(SINKS[name])


@pytest.mark.parametrize("name", [name for name, sink in SINKS.items() if sink.needs])
def test_a_missing_package_names_the_install_line(name, monkeypatch):
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(StopError, match=f"pip install {SINKS[name].needs[0]}"):
        require(SINKS[name])


def test_importing_the_table_imports_no_writer():
    writers = ("h5py", "imageio_ffmpeg", "nibabel", "scipy")
    program = f"import sys, crawler.sinks; print([m for m in {writers} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sections_choose_their_sink(tmp_path):
    config = Config.from_mapping(
        {
            "dicom": {"dir": str(tmp_path)},
            "image": {"extension": ".jpg", "bits": 8, "save_method_kwargs": {"pil_writer_params": {"quality": 90}}},
            "video": {"fps": 7, "save_method_kwargs": {"encoding_args": {"options": {"crf": 20}, "gop_size": 3}}},
        }
    )
    assert config.image is not None
    assert config.video is not None
    (image,), (video,) = media_sinks(config.image), media_sinks(config.video)
    assert isinstance(image, ImageSink)
    assert isinstance(video, VideoSink)
    assert image.extension == ".jpg"
    assert dict(image._options.pil_writer_params) == {"quality": 90}
    arguments = video._options.arguments()
    assert arguments[arguments.index("-crf") + 1] == "20"
    assert arguments[arguments.index("-g") + 1] == "3"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("image", {"bits": 12}),
        ("image", {"extension": "png"}),
        ("video", {"fps": 0}),
        ("video", {"fps": "fast"}),
        ("video", {"extension": "mp4"}),
        ("gif", {"fps": -1}),
        ("frames", {"bits": 12}),
        ("hdf5", {"level": 10}),
        ("nifti", {"level": 10}),
        ("npz", {"level": -1}),
        ("mhd", {"level": 10}),
    ],
)
def test_impossible_options_are_refused(name, options):
    with pytest.raises(ConfigError):
        SINKS[name].Options(**options)


def test_errors_cross_process_borders():
    error = pickle.loads(pickle.dumps(base.write_error(OSError(errno.ENOSPC, "x", "/secret"))))
    assert isinstance(error, OutputError)
    assert "/secret" not in str(error)


def test_checksum_of_a_large_file(tmp_path):
    path = tmp_path / "large"
    data = io.BytesIO(bytes(range(256)) * 20_000).getvalue()
    path.write_bytes(data)
    assert base.fingerprint(str(path)) == (len(data), xxhash.xxh3_128_hexdigest(data))
