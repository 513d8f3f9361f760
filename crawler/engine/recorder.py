"""Results of workers into the store: rows appended, scans replaced, progress told."""

from __future__ import annotations

import contextlib
import os

from crawler.config.parts import section_of, section_of_product
from crawler.engine.progress import Progress
from crawler.export.result import ScanResult
from crawler.layout.scan import series_hash
from crawler.ledger.database import ProductRow, ScanRow
from crawler.ledger.store import Store, disk_error, output_root
from crawler.model import File, Product


class Recorder:
    """The one who writes records. `handled` counts the files of this run."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self.store, self.progress = store, progress
        self.handled = 0

    def scan(self, folder: str, result: ScanResult) -> None:
        """Keep an exported scan of a folder (of a root, in a tree)."""
        try:
            span = self.store.rows.append(result.rows) if self.store.rows is not None else (0, 0)
        except OSError as error:
            raise disk_error(error, self.store.config.metadata_path or "") from None
        if isinstance(result.rows, str):
            with contextlib.suppress(OSError):  # it goes with its folder
                os.unlink(result.rows)
        files = tuple((_folder(file), file.name, file.size, file.mtime_ns, out) for file, out in result.files)
        if result.products:
            self.store.products_written()
        products = tuple(self._product(product) for product in result.products)
        products += self._kept(result, {(kind, path) for kind, path, *_ in products})
        first = result.files[0][0]
        series = series_hash(result.series_uid, "" if result.series_uid else first.key)
        parts = self.store.parts | result.kept
        row = ScanRow(result.scan_id, series, result.digest, result.verdict, span, files, products, parts)
        self.store.ledger.put_scan(folder, row)
        if result.cells is not None:
            self.store.cells.add(result.scan_id, *result.cells)
        failed = sum(outcome.outcome == "failed" for _, outcome in result.files)
        self.advance(len(files), sum(file.size for file, _ in result.files), failed)

    def advance(self, files: int, size: int, failed: int) -> None:
        """So many more files are done."""
        if files:
            self.handled += files
            self.progress.advance(files, size, failed)

    def _kept(self, result: ScanResult, made: set[tuple[str, bytes]]) -> tuple[ProductRow, ...]:
        """Products of earlier runs that a scan still has."""
        if not result.kept:
            return ()
        have = {section_of(part) for part in result.kept}
        number = self.store.ledger.scan_number(result.scan_id)
        return tuple(
            row
            for row in self.store.ledger.products_in(number)
            if section_of_product(row[0], row[1]) in have and (row[0], row[1]) not in made
        )

    def _product(self, product: Product) -> tuple[str, bytes, str, int, str]:
        path = os.path.relpath(product.path, output_root(self.store.config, product.kind))
        return product.kind, os.fsencode(path), product.layout, product.size, product.checksum


def _folder(file: File) -> str:
    return file.key.rpartition("/")[0]
