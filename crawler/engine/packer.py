"""`output.pack`: finished products move into packs of a bounded size, so that an output is a few large files.

It works with the run's commits: when products of so many bytes are done, a pack is written beside its final name, put
in place, recorded in one transaction, and then the products by themselves are deleted. Wherever a run is killed, every
pack is whole, and every product lies by itself or in a pack that the ledger names. Rows keep the products' names; the
index tells where each lies.
"""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import groupby

from crawler.config.loader import Config
from crawler.disk import is_as_recorded, make_folders
from crawler.errors import SourceError, StopError
from crawler.ledger.own_files import UNFINISHED, delete_product
from crawler.ledger.packed import Member, Packed
from crawler.ledger.store import Store, disk_error, output_root
from crawler.ledger.uploads import was_uploaded
from crawler.paths import TEMP, portable
from crawler.sinks.packs import EXTENSIONS, FORMATS, member_name, sample_of
from crawler.tables.base import replacing, rows_of
from crawler.tables.named import patterns, wanted_names

log = logging.getLogger("dme")

INDEX = "index.csv"
CLEANING = "packs to clean"  # in the ledger: packs whose members may still lie by themselves, too
OBSOLETE = "packs to renew"  # in the ledger: packs that hold what another pack holds as it is now
NAMES = "names in packs"  # in the ledger: the patterns that members are named by
EVERY = 2.0  # seconds between two looks at how much is done


class _Names:
    """Names of products by patterns; of those that want one in a folder, the first has it, the others a number."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, str, str]] = {}  # by absolute path: key of what belongs together, stem, ending
        self._stems: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()

    def of(self, folder: str, path: str) -> str:
        """The relative name of a product in the folder of its kind; empty for one without."""
        if path not in self.files:
            return ""
        key, stem, ending = self.files[path]
        name, number = self._stems.get((folder, key)), 1
        if name is None:
            name = stem
            while (folder, name.casefold()) in self._taken:
                number += 1
                name = f"{stem}_{number}"
            self._taken.add((folder, name.casefold()))
            self._stems[folder, key] = name
        return f"{name}{ending}"


class Packer:
    """The packs of one output, or of one shard.

    Parameters
    ----------
    fetch
        Brings a pack that lies in a remote folder alone, with `output.dir` as an address.
    """

    def __init__(self, config: Config, store: Store, fetch: Callable[[str], None] | None = None) -> None:
        assert config.output.pack is not None, "only an output with packs has a packer"
        self._config, self._store, self._section = config, store, config.output.pack
        self._folder = config.path(self._section.dir)
        self._packed = Packed(store.ledger)
        shard = store.ledger.get("shard")
        self._prefix = f"{shard['number']:04d}-" if shard else ""
        self._fetch = fetch
        self._patterns = [str(one) for one in patterns(config)]
        self._last = time.monotonic()
        self._taken: set[str] = set()

    def attach(self) -> None:
        """Put right what a killed run left, and pack with the store's commits from now on."""
        self._clean()
        if self._store.ledger.get(NAMES) is None or not self._packed.packs():
            self._store.ledger.put(NAMES, ["None", "None"] if self._packed.packs() else self._patterns)
        for name in self._packed.packs():
            path = os.path.join(self._folder, name)
            if not (os.path.exists(path) or was_uploaded(self._config, self._store.ledger, path)):
                log.warning("%s is gone: what lay in it is made again", portable(path))
                self._packed.forget(name)
                self._forget_file(path)
        known = {*self._packed.packs()}
        for path, state in self._store.own.recorded_below(self._folder).items():
            if path.endswith(EXTENSIONS[self._section.format]) and os.path.basename(path) not in known:
                # Put in place and never recorded: its products lie by themselves. Or made anew, and not deleted yet.
                self._drop(path, state)
        self._store.commit_hooks.append(self._after_commit)

    def finish(self, index: bool) -> None:
        """Pack what is left, make packs anew that hold what is obsolete, and write the index."""
        self._store.commit_hooks.remove(self._after_commit)
        self._pack_all(self._made_again(), everything=True)
        self._repack()
        self._store.ledger.put(NAMES, self._patterns)
        if index:
            write_index(self._config, self._store)

    def _after_commit(self) -> None:
        if time.monotonic() - self._last >= EVERY:
            if self._packed.pending_bytes() >= self._section.size:
                self._pack_all()
            self._last = time.monotonic()

    def _made_again(self) -> list[Member]:
        """Products that lie in a pack and by themselves, too, as a run made them again and they came out equal."""
        cleaning = self._store.ledger.get(CLEANING, [])
        found: list[Member] = []
        for root in {output_root(self._config, "image"), output_root(self._config, "volume")}:
            for folder, folders, names in os.walk(root):  # there is little where all is packed
                folders[:] = [name for name in folders if name != TEMP]
                for name in names:
                    path = os.path.relpath(os.path.join(folder, name), root)
                    found += (
                        member
                        for member, pack in self._packed.at(path)
                        if output_root(self._config, member.kind) == root and pack not in cleaning
                    )
        return found

    def _pack_all(self, more: Sequence[Member] = (), everything: bool = False) -> None:
        """Write packs of what is pending, and more; the last, smaller one only with `everything`."""
        batch: list[Member] = []
        size = 0
        spans = self._packed.spans(None, [member.path for member in more])
        named = self._named([*self._packed.pending(), *more], spans)
        for _, members in groupby(named, lambda member: sample_of(member.name)):
            sample = [member for member in members if self._is_whole(member)]
            wanted = sum(member.size for member in sample)
            if batch and size + wanted > self._section.size:
                self._write(batch)
                batch, size = [], 0
            batch += sample
            size += wanted
        if batch and (everything or size >= self._section.size):
            self._write(batch)

    def _named(self, members: Sequence[Member], spans: Sequence[tuple[int, int]]) -> list[Member]:
        """Members by their names; the rows that patterns make these of lie in `spans`."""
        folders = {"volume": self._config.volume_dir, "sidecar": self._config.volume_dir}
        wanted = self._wanted_names(spans)
        self._taken = set()
        named: list[Member] = []
        for member in members:
            folder = os.path.basename(folders.get(member.kind, self._config.media_dir) or "")
            path = wanted.of(folder, self._place(member)) or member.path
            named.append(member._replace(name=member_name(folder, path, self._taken)))
        return sorted(named, key=lambda member: (sample_of(member.name), member.name))

    def _wanted_names(self, spans: Sequence[tuple[int, int]]) -> _Names:
        """What `volume.name` and `media.name` call the products of some rows."""
        config, names = self._config, _Names()
        if any(patterns(config)):
            rows = rows_of(config).rows_at(spans)
            for key, stem, files in wanted_names(config, self._store.ledger, rows):
                names.files |= {file.path: (key, stem.replace(".", "_"), ending) for ending, file in files}
        return names

    def _is_whole(self, member: Member) -> bool:
        """Whether a product lies as it was recorded; one that was changed by somebody stays where it is."""
        try:
            return is_as_recorded(self._place(member), member.size, member.checksum)
        except OSError:
            return False

    def _place(self, member: Member) -> str:
        return os.path.join(output_root(self._config, member.kind), member.path)

    def _write(self, members: Sequence[Member], old: str = "") -> None:
        """Write a pack of products; with `old`, of members of an older pack, which goes."""
        own, ledger, path = self._store.own, self._store.ledger, self._next_path()
        try:
            make_folders(self._folder)
            own.claim([path])
            own.begin([path])
            pack = FORMATS[self._section.format](path + UNFINISHED)
            try:
                if old:
                    self._bring(old)
                    there = {(one.kind, one.path): one.name for one in self._packed.members(old)}
                    names = {there[one.kind, one.path]: one.name for one in members}
                    pack.take(os.path.join(self._folder, old), names)
                else:
                    for member in members:
                        pack.add(member.name, self._place(member))
            finally:
                pack.close()
            with open(path + UNFINISHED, "rb") as file:
                os.fsync(file.fileno())
            os.replace(path + UNFINISHED, path)
            own.finish(path)
        except OSError as error:
            raise disk_error(error, path) from None
        except SourceError as error:
            raise StopError(f"output.pack: {error}") from None
        if old:
            self._packed.forget(old)
        name = os.path.basename(path)
        obsolete = {*ledger.get(OBSOLETE, []), *self._packed.add(name, members)} - {old, name}
        ledger.put(OBSOLETE, sorted(obsolete))
        ledger.put(CLEANING, [*ledger.get(CLEANING, []), name])
        ledger.commit()
        self._clean()

    def _clean(self) -> None:
        """Delete products that lie in packs by now."""
        ledger = self._store.ledger
        packs = ledger.get(CLEANING, [])
        left = [pack for pack in packs if not all([self._delete(member) for member in self._packed.members(pack)])]
        if left != packs:
            ledger.put(CLEANING, left)
            ledger.commit()

    def _delete(self, member: Member) -> bool:
        root = output_root(self._config, member.kind)
        return delete_product(root, member.path, member.size, member.checksum)

    def _repack(self) -> None:
        """Make packs anew without what is no product any more, or lies in another, or with names of other patterns."""
        ledger = self._store.ledger
        obsolete, renamed = ledger.get(OBSOLETE, []), ledger.get(NAMES) != self._patterns
        for pack in sorted({*self._packed.packs(), *obsolete}):
            live = self._packed.members(pack)
            if renamed or len(live) < self._packed.count(pack) or pack in obsolete:
                if live:
                    self._write(self._named(live, self._packed.spans(pack)) if renamed else live, old=pack)
                else:
                    self._packed.forget(pack)
                    ledger.put(OBSOLETE, [one for one in ledger.get(OBSOLETE, []) if one != pack])
                    ledger.commit()  # before the file goes: what is gone and is recorded would be made again
                path = os.path.join(self._folder, pack)
                state = self._store.own.recorded_below(self._folder).get(os.path.normpath(path))
                if state is not None:
                    self._drop(path, state)
                ledger.commit()

    def _drop(self, path: str, state: tuple[int | None, str | None]) -> None:
        """Delete a pack that nothing names any more."""
        if self._store.own.drop(path, state, self._folder):
            self._forget_file(path)

    def _next_path(self) -> str:
        taken = {*self._packed.packs()}
        number = 0
        ending = EXTENSIONS[self._section.format]
        while (
            (name := f"{self._prefix}{number:05d}{ending}") in taken
            or os.path.exists(path := os.path.join(self._folder, name))
            or was_uploaded(self._config, self._store.ledger, path)
        ):
            number += 1
        return path

    def _bring(self, name: str) -> None:
        """Have a pack here that another machine made and uploaded."""
        path = os.path.join(self._folder, name)
        if self._fetch is not None and not os.path.exists(path):
            self._fetch(path)

    def _forget_file(self, path: str) -> None:
        self._store.own.note(path, -1, "")


def write_index(config: Config, store: Store) -> None:
    """Write which file lies in which pack: kind, file, bytes, pack, member."""
    assert config.output.pack is not None, "only an output with packs has an index"
    path = os.path.join(config.path(config.output.pack.dir), INDEX)
    try:
        make_folders(os.path.dirname(path))
        store.own.claim([path])
        store.own.begin([path])
        with replacing(path) as scratch, open(scratch, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["kind", "file", "bytes", "pack", "member"])
            for kind, product, size, pack, member in Packed(store.ledger).index():
                rows.writerow([kind, portable(product), size, pack, member])
        store.own.finish(path)
        store.ledger.commit()
    except OSError as error:
        raise disk_error(error, path) from None
