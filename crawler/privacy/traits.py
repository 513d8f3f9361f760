"""Traits of planes and pixels that are text, as outputs may have them: as different from one another as they were.

Which planes a trait tells apart is the business of `crawler/layout/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from crawler.model import Pixels, Plane
from crawler.privacy.keys import Key
from crawler.privacy.text import is_vocabulary

_SHORT = re.compile(r"\d{1,4}")
_PLAIN = frozenset({int, float})
_PHOTOMETRIC = frozenset(
    (
        *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "XYB", "YBR_FULL"),
        *("YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"),
    )
)


@dataclass
class PublicTraits:
    """Texts of traits and what stands for them: themselves where they are words of the standard, else tokens."""

    key: Key
    _words: dict[str, str] = field(default_factory=dict, repr=False)

    def planes(self, planes: tuple[Plane, ...]) -> tuple[Plane, ...]:
        """The planes with public texts."""
        return tuple(self._plane(plane) for plane in planes)

    def _plane(self, plane: Plane) -> Plane:
        changed = plane.traits
        for place, value in enumerate(plane.traits):
            if value is not None and type(value) not in _PLAIN and (new := self._trait(value)) != value:
                changed = (*changed[:place], new, *changed[place + 1 :])
        stack = (
            plane.stack if not plane.stack or _SHORT.fullmatch(plane.stack) else self.key.token("trait", plane.stack)
        )
        custom = self._trait(plane.custom)
        if changed == plane.traits and stack == plane.stack and custom == plane.custom:
            return plane
        return plane._replace(traits=changed, stack=stack, custom=custom)

    def _trait(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._word(value)
        if isinstance(value, tuple | list):
            return type(value)(self._trait(one) for one in value)
        return value

    def _word(self, text: str) -> str:
        found = self._words.get(text)
        if found is None:
            found = self._words[text] = text if is_vocabulary(text) else self.key.token("trait", text)
        return found


def public_pixels(pixels: Pixels | None) -> Pixels | None:
    """The description of the pixels with a photometric interpretation that is none of PS3.3 C.7.6.3.1.2 left out."""
    if pixels is None or pixels.photometric in _PHOTOMETRIC or not pixels.photometric:
        return pixels
    return pixels._replace(photometric="UNKNOWN")
