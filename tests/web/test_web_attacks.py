"""What is not let in: strangers, other sites, other names, paths that lead out, hostile names, too much at once."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import zipfile
from collections import Counter
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from support.factories import ct_series, quick_dataset, save
from support.web import Web, serving

from crawler.errors import OutputError
from crawler.web.access import read_token

PAGES = ["/", "/new", "/system", "/outputs", "/templates", "/jobs.json", "/events", "/jobs/x", "/look/x", "/nowhere"]


# -- strangers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("cookie", [None, "dme-web-1=x", "dme-web=", "\x01=;;;"])
def test_nobody_without_the_cookie(web: Web, page: str, cookie: str | None) -> None:
    answer = web.get(page, Cookie=cookie)
    assert answer.status == 401
    assert b"<html" not in answer.body


def test_cookie_of_another_token_is_none(web: Web) -> None:
    name, value = web.cookie.split("=")
    assert web.get("/", Cookie=f"{name}={value[:-1]}0").status in (200, 401)
    assert web.get("/", Cookie=f"{name}={'0' * len(value)}").status == 401
    assert web.get("/", Cookie=f"{name}={web.token}").status == 401, "the token itself is no cookie"


def test_token_opens_once_given_in_a_form(web: Web) -> None:
    assert web.post("/open", {"Cookie": None}, token="wrong").status == 401
    answer = web.post("/open", {"Cookie": None}, token=web.token)
    assert answer.status == 303
    flags = answer.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=strict" in flags
    assert web.token not in answer.headers["set-cookie"]
    assert web.get("/", Cookie=answer.headers["set-cookie"].split(";")[0]).status == 200


def test_bearer_token_is_for_programs(web: Web) -> None:
    assert web.get("/", Cookie=None, Authorization=f"Bearer {web.token}").status == 200
    assert web.get("/", Cookie=None, Authorization=f"Bearer {web.token}x").status == 401


def test_token_file_is_private(tmp_path: Path) -> None:
    token = read_token(str(tmp_path))
    path = tmp_path / ".dme-web" / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(token) >= 43, "256 bits"
    assert read_token(str(tmp_path)) == token, "open pages go on after a restart"
    path.chmod(0o644)
    with pytest.raises(OutputError, match="read by others"):
        read_token(str(tmp_path))


# -- other names, other sites ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]", "0"]
)
def test_other_names_are_refused(web: Web, host: str) -> None:
    """DNS rebinding: a name of the attacker's that leads to this machine."""
    assert web.get("/", Host=host).status == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST:9999"])
def test_own_names_on_any_port_of_a_tunnel(web: Web, host: str) -> None:
    assert web.get("/", Host=host).status == 200


def test_no_host_at_all(web: Web) -> None:
    assert web.get("/", Host=None).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": None},
        {"Origin": "null", "Sec-Fetch-Site": None},
        {"Origin": None, "Sec-Fetch-Site": "cross-site"},
        {"Origin": None, "Sec-Fetch-Site": "same-site"},
        {"Origin": None, "Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": None},
        {"Origin": None, "Sec-Fetch-Site": None},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_writes_of_other_sites_are_refused(web: Web, headers: dict[str, str | None], method: str) -> None:
    before = len(web.get("/jobs.json").json)
    answer = web.ask(method, "/new", b"goal=tables&source=upload", headers)
    assert answer.status in (400, 403)
    assert len(web.get("/jobs.json").json) == before


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_reads_into_pages_of_other_sites_are_refused(web: Web, site: str) -> None:
    assert web.get("/jobs.json", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
    assert web.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200, "a link may lead here"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PATCH", "PROPFIND"])
def test_other_methods(web: Web, method: str) -> None:
    assert web.ask(method, "/", headers={"Content-Length": None}).status in (400, 405)


@pytest.mark.parametrize("page", ["/", "/open", "/static/style.css", "/nowhere", "/static/none.js"])
def test_headers_are_on_every_answer(web: Web, page: str) -> None:
    headers = web.get(page).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("access-control")]
    assert "server" not in headers


def test_redirects_stay_inside(web: Web) -> None:
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "/a\nb"):
        assert web.post("/language", language="zh", back=back).headers["location"] == "/"


# -- paths -------------------------------------------------------------------------------------------------------------

OUT = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc",
    "%2e%2e%2f%2e%2e",
    "....//",
    "%00",
    "/etc/passwd",
    "..%5c..",
    "%252e%252e",
    "x" * 3000,
]


@pytest.mark.parametrize("text", OUT)
@pytest.mark.parametrize(
    "page",
    [
        "/jobs/{}",
        "/jobs/{}/edit",
        "/jobs/{}/log/run",
        "/look/{}",
        "/look/{}/series.json",
        "/static/{}",
        "/look/{}/ratings.csv",
        "/templates/{}/ct.json",
        "/templates/dicom_tags/{}",
        "/jobs/{}/words",
    ],
)
def test_no_path_leads_out(web: Web, page: str, text: str) -> None:
    answer = web.get(page.format(text))
    assert answer.status in (301, 307, 400, 404, 405), answer.body[:200]
    assert b"root:" not in answer.body


@pytest.mark.parametrize("text", OUT)
def test_no_part_of_an_output_leads_out(web: Web, done: str, text: str) -> None:
    for page in (f"/look/{done}/s/{text}", f"/look/{done}/s/1/f/{text}", f"/look/{done}/s/1/v/{text}/plane?at=0,-,-"):
        answer = web.get(page)
        assert answer.status in (307, 400, 404), page
    assert web.get(f"/look/{done}/s/1/v/x/plane?at={text}").status in (400, 404)
    assert web.get(f"/jobs/{done}/log/run?from={text}").status == 200, "what is no number is 0"
    assert web.get(f"/look/{done}/files?outcome={text}").status == 400
    assert web.post(f"/look/{done}/zip", series=text).status == 400


@pytest.mark.parametrize("folder", ["/etc", "/", "relative", "../..", "", "/proc/self/root/etc", "~"])
def test_input_lies_inside(web: Web, folder: str) -> None:
    answer = web.post("/new", goal="tables", source="folder", folder=folder)
    assert answer.status == 422


def test_links_out_of_the_workspace_are_no_way(web: Web, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "x.dcm").write_text("secret")
    link = web.workspace / "link"
    link.symlink_to(secret)
    assert web.post("/new", goal="tables", source="folder", folder=str(link)).status == 422
    assert web.post("/new", goal="tables", source="folder", folder=str(link / "x.dcm")).status == 422
    job = web.new_job()
    (web.workspace / "jobs" / job / "input" / "out").symlink_to(secret)
    headers: dict[str, str | None] = {"x-name": "out/new.dcm", "x-offset": "0", "x-size": "1"}
    assert web.ask("PUT", f"/jobs/{job}/input", b"x", headers).status == 403
    assert os.listdir(secret) == ["x.dcm"]


def test_a_product_that_became_a_link_is_not_sent(web: Web, done: str, tmp_path: Path) -> None:
    table = web.get(f"/look/{done}/series.json").json
    number, checksum = table["rows"][0][0], table["rows"][0][-1]
    address = f"/look/{done}/s/{number}/f/{checksum}"
    assert web.get(address).status == 200
    [preview] = (web.workspace / "jobs" / done / "output" / "previews").rglob("*.png")
    (tmp_path / "secret").write_text("secret")
    kept = preview.rename(preview.with_suffix(".kept"))
    preview.symlink_to(tmp_path / "secret")
    answer = web.get(address)
    preview.unlink()
    kept.rename(preview)
    assert answer.status in (403, 404)
    assert b"secret" not in answer.body


# -- YAML from a form --------------------------------------------------------------------------------------------------

HOSTILE = {
    "python": "dicom: {dir: !!python/object/apply:os.system ['touch /tmp/owned']}",
    "bomb": "a: &a [x, x]\n"
    + "".join(f"{n}: &{n} [*{p}, *{p}, *{p}]\n" for p, n in pairwise("abcdefghijklmnopqrstuvwxyz")),
    "input": "dicom: {dir: /etc}",
    "address": "dicom: {dir: 's3://bucket/in'}\nmetadata:\n",
    "http": "dicom: {dir: 'http://169.254.169.254/latest'}\nmetadata:\n",
    "upload": "output: {dir: 's3://bucket/out', staging: out}\ndicom: {dir: input}\nmetadata:\n",
    "output": "output: {dir: /tmp/out}\ndicom: {dir: input}\nmetadata:\n",
    "dots": "output: {dir: ../../..}\ndicom: {dir: input}\nmetadata:\n",
    "media": "dicom: {dir: input}\nmedia: {dir: /tmp/media}\n",
    "volume": "dicom: {dir: input}\nvolume: {dir: ../../../../volumes}\n",
    "rows": "dicom: {dir: input}\nmetadata: {file: /etc/metadata.jsonl}\n",
    "copy": "dicom: {dir: input}\nconfig: {file: /etc/cron.d/x}\n",
    "templates": "dicom: {dir: input}\nmetadata: {templates: /etc}\n",
    "cohort": "pacs: {host: x, port: 1, list: /etc/passwd}\nmetadata:\n",
    "private": "dicom: {dir: input}\nmetadata:\nprivacy: {private: /tmp/private}\n",
    "ratings": "dicom: {dir: input}\nmetadata:\nselect: {list: /etc/passwd}\n",
    "custodian": "dicom: {dir: input}\nmetadata:\nprivacy: {private: private, custodian: /etc/shadow}\n",
    "rules by device": "dicom: {dir: input}\nmetadata:\nprivacy: {private: private, pixels: {rules: /etc/shadow}}\n",
    "private tags": "dicom: {dir: input}\nmetadata:\nprivacy: {private: private, private_tags: /etc/shadow}\n",
    "secret": "dicom: {dir: input}\nmetadata:\nprivacy: {private: private, key: {file: /etc/shadow}}\n",
    "received": "pacs: {host: x, port: 1, dir: /tmp/in, query: {PatientID: x}}\nmetadata:\n",
    "key": "pacs: {host: x, port: 1, query: {PatientID: x}, tls: {key: /etc/shadow}}\nmetadata:\n",
    "tab": "dicom:\n\tdir: x",
    "control": "dicom: {dir: 'a\x07b'}",
}


@pytest.mark.parametrize("text", ["[" * 3000, "{a: " * 200, "a: x\n" * 100_000])
def test_yaml_that_takes_for_ever_is_not_begun(web: Web, text: str) -> None:
    job = web.new_job()
    assert web.send(f"/jobs/{job}/check", {"yaml": text}).status == 400
    assert web.post(f"/jobs/{job}/edit", yaml=text).status == 400
    assert web.send(f"/jobs/{job}/check", {"yaml": "a: 1", "path": "b", "value": text}).status == 400


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_and_never_run(web: Web, name: str) -> None:
    job = web.new_job()
    text = HOSTILE[name]
    told = web.send(f"/jobs/{job}/check", {"yaml": text})
    assert told.status == 200
    assert told.json["problems"]
    answer = web.post(f"/jobs/{job}", action="start", yaml=text)
    assert answer.headers["location"] == f"/jobs/{job}/edit"
    assert web.state(job)["state"] == "draft"
    web.post(f"/jobs/{job}", action="dry", yaml=text)
    assert not (web.workspace / "jobs" / job / "dryrun.out").exists()
    assert not Path("/tmp/owned").exists()


@pytest.mark.parametrize(
    "body", [b"[]", b"1", b"{", b'{"yaml": 1}', b'{"yaml": "\\ud800"}', b'{"yaml": "\\u0000"}', b"\xff", b"[" * 99_999]
)
def test_bodies_that_are_none(web: Web, body: bytes) -> None:
    assert web.ask("POST", f"/jobs/{web.new_job()}/check", body).status == 400


def test_bodies_that_are_too_large(web: Web) -> None:
    assert web.post("/new", goal="x" * (1 << 20)).status == 413
    assert web.ask("POST", "/new", b"&".join(b"a=%d" % n for n in range(5000))).status == 400


# -- names and descriptions --------------------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/x",
        "a//b",
        ".",
        "..",
        "",
        "a\\..\\b",
        "C:/x",
        "a\nb",
        "a\0b",
        "x" * 300,
        "a/" * 40 + "x",
    ],
)
def test_hostile_names_of_uploads(web: Web, name: str) -> None:
    from urllib.parse import quote

    job = web.new_job()
    headers: dict[str, str | None] = {"x-name": quote(name, safe=""), "x-offset": "0", "x-size": "1"}
    before = {path for path in web.workspace.rglob("*") if path.is_file()}
    answer = web.ask("PUT", f"/jobs/{job}/input", b"x", headers)
    if name == "C:/x" and answer.status == 200:  # an ordinary name of a folder here
        return
    assert answer.status == 400
    assert {path for path in web.workspace.rglob("*") if path.is_file()} == before


def test_hostile_descriptions_stay_text(tmp_path: Path) -> None:
    source = tmp_path / "in" / "x"
    dataset = quick_dataset(SeriesDescription=SCRIPT[:60], PatientID=SCRIPT[:60], StudyDescription="=cmd()")
    save(dataset, source / "a'\"><img src=x>.dcm")
    with serving(tmp_path / "ws", tmp_path / "in") as web:
        job = (
            web.post("/new", goal="tables", source="folder", folder=str(tmp_path / "in"), title=SCRIPT)
            .headers["location"]
            .split("/")[2]
        )
        web.post(f"/jobs/{job}", action="start")
        web.wait(job, "finished")
        number = web.get(f"/look/{job}/series.json").json["rows"][0][0]
        for page in (
            "/",
            f"/jobs/{job}",
            f"/jobs/{job}/edit",
            f"/look/{job}",
            f"/look/{job}/files",
            f"/look/{job}/s/{number}",
        ):
            text = web.get(page).text
            assert "<script>alert" not in text
            assert "<img src=x" not in text
            assert " onerror=" not in text.replace("&#34;", "").replace("&lt;img src=x onerror=alert(1)&gt;", "")
        assert web.get(f"/look/{job}/series.json").headers["content-type"].startswith("application/json")


def test_an_archive_that_leads_out_writes_nothing(web: Web, tmp_path: Path) -> None:
    """Zip slip: members named to lie elsewhere."""
    ct_series(tmp_path / "ct", 1)
    [inside] = (tmp_path / "ct").iterdir()
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("../../../../evil.dcm", "/tmp/evil-of-dme.dcm", "ok/x.dcm"):
            archive.write(inside, name)
    body = packed.getvalue()
    job = web.new_job()
    headers: dict[str, str | None] = {"x-name": "slip.zip", "x-offset": "0", "x-size": str(len(body))}
    assert web.ask("PUT", f"/jobs/{job}/input", body, headers).json["done"]
    web.post(f"/jobs/{job}", action="start")
    web.wait(job, "finished", "incomplete")
    assert not Path("/tmp/evil-of-dme.dcm").exists()
    assert not [path for path in web.workspace.parent.rglob("evil*")]


def test_html_is_never_shown_as_a_page(web: Web, done: str) -> None:
    table = web.get(f"/look/{done}/series.json").json
    number, checksum = table["rows"][0][0], table["rows"][0][-1]
    assert web.get(f"/look/{done}/s/{number}/f/{checksum}?show").headers["content-type"] == "image/png"
    plain = web.get(f"/look/{done}/s/{number}/f/{checksum}").headers
    assert plain["content-type"] == "application/octet-stream"
    assert plain["content-disposition"].startswith("attachment")


# -- the log, and too much at once -------------------------------------------------------------------------------------


def test_the_log_names_no_job_and_no_file(web: Web, done: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        web.get(f"/look/{done}/files?reason=Mueller")
        web.get("/jobs/Mueller-Hans")
        web.get("/Mueller%20Hans")
    text = caplog.text
    assert "/look" in text
    assert done not in text
    assert "Mueller" not in text
    assert web.token not in text


def test_many_requests_at_once(tmp_path: Path) -> None:
    """As many connections as the test may open: those beyond the limit are told so, and the server goes on."""
    with serving(tmp_path / "ws") as web:

        async def one() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
            told = f"Host: 127.0.0.1\r\nCookie: {web.cookie}\r\nConnection: close\r\n\r\n"
            writer.write(f"GET /jobs.json HTTP/1.1\r\n{told}".encode())
            line = await reader.readline()
            await reader.read()
            writer.close()
            return int(line.split()[1])

        async def all_of_them() -> Counter[int]:
            return Counter(await asyncio.gather(*(one() for _ in range(400))))

        states = asyncio.run(all_of_them())
        assert set(states) <= {200, 503}
        assert states[200] > 0
        assert web.get("/").status == 200
