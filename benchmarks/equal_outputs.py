"""`python -m benchmarks.equal_outputs COMMIT [TREE ...]`: are the outputs of two commits equal to the byte?

Runs the code of the commit and that of this checkout over each tree, in one process, with every output on, and compares
all files but the ledger, the log and the times in the summary. For changes that move code and shall change nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py

from benchmarks.measure import ROOT

# Two configurations, since a run writes either nifti or nii.
EVERYTHING = """\
num_workers: 0
output: {{dir: "{out}"}}
dicom: {{dir: "{tree}"}}
config:
metadata: {{text: true, tables: [csv, parquet, xlsx], templates: dicom_tags, mr_clean: true}}
image: {{bits: {bits}, overlays: true}}
video: {{extension: [.mp4, .gif, frames], series: true}}
volume: {{formats: [hdf5, {nifti}, npz, {metaimage}, mat]}}
preview:
quality:
"""
VARIANTS = ({"bits": 16, "nifti": "nifti", "metaimage": "metaimage"}, {"bits": 8, "nifti": "nii", "metaimage": "mhd"})


def digests(out: Path) -> dict[str, str]:
    """Digest of every output, by its path."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_dir() or path.name == "run.log" or path.suffix == ".ledger":
            continue
        data = path.read_bytes()
        if path.name == "summary.json":
            whole = json.loads(data)
            whole.pop("run", None)
            data = json.dumps(whole, sort_keys=True).encode()
        if path.name == "pixel_data.h5":  # links alone; their order in the file is that of the work
            with h5py.File(path) as links:
                names: list[str] = []
                links.visit_links(names.append)
                data = repr([(name, links.get(name, getlink=True).__dict__) for name in sorted(names)]).encode()
        found[path.relative_to(out).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def export(code: Path, tree: Path, work: Path, variant: dict[str, object]) -> dict[str, str]:
    """Outputs of the code in a folder; each run lies at the same path, since some outputs name it."""
    out = work / "out"
    subprocess.run(["rm", "-rf", str(out)], check=True)
    settings = work / "config.yml"
    settings.write_text(EVERYTHING.format(out=out, tree=tree, **variant), encoding="utf-8")
    command = [sys.executable, str(code / "dme.py"), str(settings), "-q"]
    done = subprocess.run(command, cwd=code, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{code}: the run ended with {done.returncode}")
    return digests(out)


def main() -> int:
    """Compare; return 0 when all is equal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal_outputs", description=__doc__)
    parser.add_argument("commit", help="the commit before")
    parser.add_argument("trees", nargs="*", type=Path, default=[ROOT / "dicom_data"], help="folders of DICOM files")
    options = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder, "before")
        subprocess.run(["git", "worktree", "add", "--detach", str(before), options.commit], cwd=ROOT, check=True)
        try:
            for tree in options.trees:
                for variant in VARIANTS:
                    old, new = (export(code, tree.resolve(), Path(folder), variant) for code in (before, ROOT))
                    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
                    print(f"{tree}, {variant['nifti']}: {len(old)} files before, {len(new)} after, {len(names)} differ")
                    for name in names[:40]:
                        state = "only before" if name not in new else "only after" if name not in old else "differs"
                        print(f"  {state}: {name}")
                    different += len(names)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=ROOT, check=False)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
