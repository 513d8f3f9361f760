"""Looking at an output: its series, a viewer, its files, the lists behind its counts, and taking things away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crawler.ledger.status import Reader
from crawler.paths import portable
from crawler.web import ratings, threed
from crawler.web.access import PRIVATE
from crawler.web.crossing import lines
from crawler.web.files import send_file, send_zip
from crawler.web.outputs import (
    Output,
    Product,
    found_outputs,
    neighbours,
    output_of,
    own,
    product_of,
    products,
    scan_of,
    series_table,
)
from crawler.web.refusals import Refused
from crawler.web.site import Form, site_of, with_form, with_json
from crawler.web.volumes import READABLE, opened, origin

SHOWN = 200  # files of a page
_OUTCOMES = ("exported", "skipped", "failed")
_SELECTED = 100_000  # series of one selection


def listing(request: Request) -> Response:
    """Outputs that no job of ours made."""
    return site_of(request).page(request, "outputs.html", outputs=found_outputs(site_of(request)))


def show(request: Request) -> Response:
    """The table of series; its rows come by `table`."""
    output = shown_output(request)
    with output.reading() as ledger:
        accounts = ledger.accounts()
    return site_of(request).page(request, "series.html", output=output, accounts=accounts)


def table(request: Request) -> Response:
    """The rows."""
    return Response(series_table(shown_output(request)), media_type="application/json")


def rated(request: Request) -> Response:
    """Number of each rated series -> its rating."""
    output = shown_output(request)
    known = ratings.read(output.notes)
    with output.reading() as ledger:
        numbers = dict(ledger.execute("SELECT scan_id, id FROM scans"))
    return JSONResponse({str(numbers[name]): row["rating"] for name, row in known.items() if name in numbers})


def rate(request: Request, given: dict[str, Any]) -> Response:
    """Keep what a person thinks of a series."""
    output, rating = shown_output(request), given.get("rating")
    if rating not in (*ratings.RATINGS, ""):
        raise Refused(400, "a rating is keep, drop or unsure")
    with output.reading() as ledger:
        scan_id, verdict = scan_of(ledger, _number(given.get("series")))
    ratings.rate(output.notes, scan_id, str(verdict.get("SeriesInstanceUID") or ""), str(rating))
    return JSONResponse({"rating": rating})


def ratings_file(request: Request) -> Response:
    """The CSV."""
    return send_file(request, site_of(request).places, os.path.join(shown_output(request).notes, ratings.NAME))


def series(request: Request) -> Response:
    """One series: the viewer, its files, its verdict."""
    output = shown_output(request)
    number = _number(request.path_params["series"])
    with output.reading() as ledger:
        scan_id, verdict = scan_of(ledger, number)
        files = list(products(ledger, [number]))
        before, after = neighbours(ledger, scan_id)
    known = ratings.read(output.notes).get(scan_id, {}).get("rating", "")
    shown = {name: value for name, value in verdict.items() if value not in (None, "", [])}
    return site_of(request).page(
        request,
        "series_one.html",
        output=output,
        number=number,
        scan_id=scan_id,
        verdict=shown,
        volumes=[one for one in files if one.kind == "volume" and one.path.lower().endswith(READABLE)],
        pictures=[one for one in files if one.kind in ("image", "preview")][:24],
        videos=[one for one in files if one.kind == "video" and one.path.endswith(".mp4")],
        files=files[:SHOWN],
        count=len(files),
        before=before,
        after=after,
        rating=known,
        for_3d=[one for one in files if one.kind == "volume" and one.path.lower().endswith(threed.ENDINGS)],
        has_3d=threed.script() is not None,
        install_3d=threed.how_to_install(),
        name_of=lambda one: portable(os.path.basename(one.path)),
    )


def file(request: Request) -> Response:
    """A file that a run wrote."""
    one = product_asked(request)
    return send_file(request, site_of(request).places, one.path, inline="show" in request.query_params)


def describe(request: Request) -> Response:
    """What the viewer begins with."""
    one, path, unpacked = _volume(request)
    with opened(path, one.checksum, unpacked) as volume:
        return JSONResponse(volume.describe())


def plane(request: Request) -> Response:
    """One plane, as bytes of its type; `at` is the index, with "-" for the two axes of the plane."""
    one, path, unpacked = _volume(request)
    at = _index(request.query_params.get("at", ""))
    with opened(path, one.checksum, unpacked) as volume:
        values = volume.plane(at)
    headers = {"x-shape": ",".join(map(str, values.shape)), "x-type": values.dtype.str[1:]}
    return Response(values.tobytes(), media_type="application/octet-stream", headers=headers)


def across(request: Request) -> Response:
    """Lines of some slices, as bytes of their type: those along the row, then those along the column."""
    one, path, unpacked = _volume(request)
    asked = request.query_params
    row, column = (_number(asked[name]) if name in asked else None for name in ("row", "column"))
    before = [_number(part) for part in asked.get("before", "").split(",") if part][:16]
    first, step = _number(asked.get("first", "0")), _number(asked.get("step", "1"))
    with opened(path, one.checksum, unpacked) as volume:
        found = lines(volume, before, row, column, first, step)
    parts = [part for part in (found.rows, found.columns) if part is not None]
    headers = {"x-count": str(found.count), "x-type": parts[0].dtype.str[1:]}
    return Response(b"".join(part.tobytes() for part in parts), media_type="application/octet-stream", headers=headers)


def source(request: Request) -> Response:
    """Which file a plane comes from."""
    _, path, _ = _volume(request)
    at = [place for place in _index(request.query_params.get("at", "")) if place is not None]
    return JSONResponse(origin(path, at))


def account(request: Request) -> Response:
    """The files behind a count: those of an outcome, or of one of its reasons."""
    output = shown_output(request)
    asked = {name: str(request.query_params.get(name, "")) for name in ("outcome", "stage", "reason")}
    if asked["outcome"] not in (*_OUTCOMES, ""):
        raise Refused(400, "there is no such outcome")
    page = max(1, _number(request.query_params.get("page", "1")))
    where = [f"{name} = ?" for name, value in asked.items() if value]
    values: list[object] = [value for value in asked.values() if value]
    folder = request.query_params.get("folder")
    if folder is not None:
        where.append("folder = ?")
        values.append(_number(folder))
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    sql = f"""SELECT path, name, outcome, stage, reason, detail, scan FROM files
        JOIN folders ON folder = folders.id{condition} ORDER BY path, name LIMIT ? OFFSET ?"""
    with output.reading() as ledger:
        rows = ledger.execute(sql, (*values, SHOWN + 1, (page - 1) * SHOWN)).fetchall()
        accounts = ledger.accounts()
    shown: dict[str, Any] = {"rows": rows[:SHOWN], "more": len(rows) > SHOWN, "page": page, "folder": folder}
    return site_of(request).page(request, "files.html", output=output, asked=asked, accounts=accounts, **shown)


def zipped(request: Request, form: Form) -> Response:
    """Files of selected series, or all of the output, as a ZIP."""
    output, site = shown_output(request), site_of(request)
    chosen = form.get("series", "")
    numbers = None if chosen == "all" else [_number(text) for text in chosen.split(",") if text]
    if numbers is not None and not 0 < len(numbers) <= _SELECTED:
        raise Refused(400, "no series is selected")
    with output.reading() as ledger:
        members = list(_members(output, ledger, numbers))
    return send_zip(site.places, members, f"{output.id}.zip")


def _members(output: Output, ledger: Reader, numbers: list[int] | None) -> Iterator[tuple[str, str]]:
    taken: set[str] = set()
    found = [one.path for one in products(ledger, numbers)]
    if numbers is None:
        found += own(output, ledger)
    for path in dict.fromkeys(found):
        inside = os.path.relpath(path, output.home)
        name = portable(os.path.basename(path) if inside.startswith(os.pardir) or os.path.isabs(inside) else inside)
        stem, number = name, 1
        while name in taken:
            number += 1
            name = f"{number}/{stem}"
        taken.add(name)
        yield path, name


def shown_output(request: Request) -> Output:
    """The output that an address names."""
    return output_of(site_of(request), str(request.path_params["output"]))


def product_asked(request: Request) -> Product:
    """The file that an address names."""
    with shown_output(request).reading() as ledger:
        return product_of(ledger, _number(request.path_params["series"]), str(request.path_params["checksum"]))


def _volume(request: Request) -> tuple[Product, str, str]:
    """A volume, its real path, and the folder for what is unpacked."""
    site, one = site_of(request), product_asked(request)
    path = site.places.inside(one.path)
    if not os.path.isfile(path):
        raise Refused(404, "the file is gone")
    return one, path, os.path.join(site.places.workspace, PRIVATE, "unpacked")


def _number(text: object) -> int:
    if isinstance(text, int) and not isinstance(text, bool) and 0 <= text < 1 << 53:
        return text
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise Refused(400, "a number is expected")


def _index(text: str) -> list[int | None]:
    return [None if part == "-" else _number(part) for part in text.split(",")][:16]


ROUTES = [
    Route("/outputs", listing),
    Route("/look/{output}", show),
    Route("/look/{output}/series.json", table),
    Route("/look/{output}/ratings.json", rated),
    Route("/look/{output}/ratings.csv", ratings_file),
    Route("/look/{output}/rate", with_json(rate), methods=["POST"]),
    Route("/look/{output}/files", account),
    Route("/look/{output}/zip", with_form(zipped), methods=["POST"]),
    Route("/look/{output}/s/{series}", series),
    Route("/look/{output}/s/{series}/f/{checksum}", file),
    Route("/look/{output}/s/{series}/v/{checksum}", describe),
    Route("/look/{output}/s/{series}/v/{checksum}/plane", plane),
    Route("/look/{output}/s/{series}/v/{checksum}/across", across),
    Route("/look/{output}/s/{series}/v/{checksum}/source", source),
]
