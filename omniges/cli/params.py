"""`omniges params`: check the parameter file, or choose a shipped one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from omniges.config import load_params, parse_params
from omniges.errors import ConfigError
from omniges.files import atomic_path

TARGET = Path("params.yaml")


def params(
    use: Annotated[Path | None, typer.Option(help="Write params.yaml from this file, comments kept.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, in YAML's spelling.")
    ] = None,
) -> None:
    """Check params.yaml; with --use or --set, write it anew and show what changed. Nothing faulty is ever
    written.
    """
    if use is None and not change:
        load_params(TARGET)
        print(f"{TARGET}: every key is known, every value has its type.")
        return
    from ruamel.yaml import YAML

    source = use or TARGET
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    load_params(source)
    tree = yaml.load(source.read_text("utf-8"))
    for each in change or ():
        _assign(tree, each)
    parse_params(tree, str(source))
    before = _flat(YAML(typ="safe").load(TARGET.read_text("utf-8"))) if TARGET.exists() else {}
    with atomic_path(TARGET) as temporary, temporary.open("w", encoding="utf-8") as stream:
        yaml.dump(tree, stream)
    after = _flat(tree)
    changed = [key for key in after if before.get(key) != after[key]]
    for key in changed:
        print(f"{key}: {before.get(key)} → {after[key]}")
    print(f"{TARGET}: {len(changed)} value(s) changed.")


def _assign(tree: Any, text: str) -> None:
    from ruamel.yaml import YAML

    dotted, found, value = text.partition("=")
    *path, key = dotted.split(".")
    for part in path:
        tree = tree.get(part) if hasattr(tree, "get") else None
    if not found or not hasattr(tree, "get") or key not in tree:
        raise ConfigError(f"--set {text}: wanted section.key=value with a key that params.yaml has.")
    tree[key] = YAML(typ="safe").load(value)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not hasattr(tree, "items"):
        return {prefix: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found
