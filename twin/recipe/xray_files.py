"""The files that an X-ray recipe's options name: real sources, real light curves, a table of exposures."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twin.io.xray.source_lists import read_bat, read_binaries
from twin.priors.xray.catalogue import Catalogue, merged
from twin.priors.xray.templates import Templates, read_templates
from twin.recipe.xray_config import XrayConfig
from twin.recipe.xray_exposures import Exposures, read_exposures
from twin.schema import Node, suggest
from twin.simulators.lobster.field import CONDITIONS, POINTING

log = logging.getLogger("twin")
Keys = tuple[str, ...]


@dataclass(frozen=True)
class Files:
    """What the files hold, None for options that a recipe does not use, and the recipe's YAML with the paths of those
    that lie beside it made absolute, so that a copy of it elsewhere still finds them."""

    node: Node
    catalogue: Catalogue | None = None
    templates: Templates | None = None
    exposures: Exposures | None = None

    def identity(self, content: dict[str, Any]) -> dict[str, Any]:
        """A recipe's content with that of the files in place of their names."""
        content = copy.deepcopy(content)
        if self.catalogue is not None:
            of = self.catalogue
            parts = (of.place, of.source, of.low, of.high, of.transient)
            lists = {name: content["sky"]["catalogue"][name] for name in ("toward", "outburst")}
            content["sky"]["catalogue"] = lists | {"sha256": _sha256(*parts), "names": list(of.names)}
        if self.templates is not None:
            for kind, (first, number) in self.templates.span.items():
                part = slice(first, first + number)
                content["sky"]["transients"][kind]["templates"] = _sha256(self.templates.time[part],
                                                                          self.templates.rate[part])  # fmt: skip
        if self.exposures is not None:
            content["telemetry"]["table"] = self.exposures.sha256
        return content


def read_files(node: Node, config: XrayConfig) -> Files:
    """Read what `config` names. Raises UserError: of the recipe where a file is not there, else of the file."""
    value = copy.deepcopy(node.value)
    catalogue, templates, exposures = None, None, None
    lists = config.sky.catalogue
    if lists is not None:
        binaries = []
        for name, text in (("lmxb", lists.lmxb), ("hmxb", lists.hmxb)):
            if text is not None:
                path = _find(node, value, ("sky", "catalogue", name), text)
                binaries.append(read_binaries(path))
                if binaries[-1].left_out:
                    log.info("%s: %s", path, binaries[-1].left_out)
        bat = None if lists.bat is None else read_bat(_find(node, value, ("sky", "catalogue", "bat"), lists.bat))
        catalogue = merged(binaries, bat)
    folders = {
        kind: _find(node, value, ("sky", "transients", kind, "templates"), law.templates)
        for kind, law in config.sky.transients.items()
        if law.templates is not None
    }
    if folders:
        templates, without = read_templates(folders)
        if without:
            log.info("%d files of light curves are of no form known, or too short: %s", len(without),
                     ", ".join(without[:3]) + (", ..." if without[3:] else ""))  # fmt: skip
    if config.table is not None:
        exposures = read_exposures(_find(node, value, ("telemetry", "table"), config.table))
        for name in exposures.names:
            if name in config.outside:
                raise node.error("is told by the table of telemetry, and has no law", ("outside", name))
            if name in POINTING and lists is not None and lists.toward:
                raise node.error(f"goes without a table that tells {name}", ("sky", "catalogue", "toward"))
    told = exposures.names if exposures is not None else ()
    for name in CONDITIONS:
        if name not in config.laws and name not in told:
            raise node.error(f"needs a law for {name} ({CONDITIONS[name].meaning})", ("telemetry",))
    return Files(replace(node, value=value), catalogue, templates, exposures)


def _find(node: Node, value: dict[str, Any], keys: Keys, text: str) -> Path:
    """A file or folder beside the recipe, or below TWIN_REAL_DATA; the first kind is made absolute in `value`."""
    said_in = node.where(keys)[0]
    beside = ((Path() if said_in == "--set" else Path(said_in).parent) / text).absolute()
    folder = keys[-1] == "templates"

    def there(path: Path) -> bool:
        return path.is_dir() if folder else path.is_file()

    if there(beside):
        for key in keys[:-1]:
            value = value[key]
        value[keys[-1]] = str(beside)
        return beside
    what, data = "folder" if folder else "file", os.environ.get("TWIN_REAL_DATA")
    if not data:
        raise node.error(f'there is no {what} "{text}" beside the recipe, and TWIN_REAL_DATA is not set', keys)
    found = Path(data) / text
    if not there(found):
        here = [p.name for p in found.parent.iterdir()] if found.parent.is_dir() else []
        raise node.error(
            f'no such {what} beside the recipe or in TWIN_REAL_DATA: "{text}"', keys, suggest(found.name, here)
        )
    return found


def _sha256(*arrays: Any) -> str:
    made = hashlib.sha256()
    for array in arrays:
        made.update(array.tobytes())
    return made.hexdigest()
