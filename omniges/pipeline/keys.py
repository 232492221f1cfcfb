"""What a stage's result depends on: the code it can reach, its parameters, and the content of its inputs.

Code counts by its syntax tree without docstrings, so a comment changes nothing. A stage's modules are found
by following imports from its function, so none can be forgotten.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from omniges.errors import PipelineError
from omniges.pipeline.graph import Stage, lookup
from omniges.pipeline.hashes import Hashes, tree_md5

# Modules that can't change a result: parameters count by value, not by the text of their schema; the others
# report, name folders, or run the pipeline.
WITHOUT_EFFECT = (
    "omniges",
    "omniges.__main__",
    "omniges.cli",
    "omniges.config",
    "omniges.errors",
    "omniges.log",
    "omniges.pipeline",
    "omniges.tracked",
    "omniges.tracking",
    "omniges.workspace",
)


_Import = tuple[str, int, list[str]]  # module, level, names
_PARSER = f"code-{sys.version_info.major}.{sys.version_info.minor}-"  # another Python writes other trees


def code_hashes(run: str, root: Path, hashes: Hashes) -> dict[str, str]:
    """Hash of every module that `run` can reach by imports, and of the data files beside them.

    Args:
        run: "module:function".
        root: folder that holds the package.
        hashes: remembers what the sources parse to.
    Returns:
        module or file name → hash; a module that does not exist hashes to "missing".
    """
    found: dict[str, str] = {}
    entry = run.partition(":")[0]
    queue = [entry]
    while queue:
        module = queue.pop()
        if module in found or (module != entry and _without_effect(module)):
            continue
        path = _source(root, module)
        if path is None:
            found[module] = "missing"
            continue
        found[module], imports = _parsed(path, hashes)
        queue += list(_resolve(imports, module, path.name == "__init__.py", root))
        queue += _parents(module)
        if path.name == "__init__.py":
            found.update(_data_files(path.parent, root, hashes))
    return dict(sorted(found.items()))


def section_values(stage: Stage, params: Mapping[str, Any]) -> dict[str, Any]:
    """The stage's parameters, by the names that dvc.yaml lists."""
    return {name: lookup(params, name) for name in stage.params}


def named_files(values: Any, hashes: Hashes, but: str | None = None) -> dict[str, str]:
    """Digests of files and folders that parameters name: another checkpoint under an old name is noticed.

    Args:
        values: nested parameters.
        hashes: the digest cache.
        but: a path that does not count (the raw tree).
    """
    found = {}
    for text in _texts(values):
        path = Path(text)
        if "/" in text and text != but and path.exists():
            found[text] = tree_md5(path, hashes)
    return found


def canonical(value: Any) -> str:
    """JSON with sorted keys: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _without_effect(module: str) -> bool:
    return module in WITHOUT_EFFECT or module.startswith(("omniges.cli.", "omniges.pipeline."))


def _source(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _parsed(path: Path, hashes: Hashes) -> tuple[str, list[_Import]]:
    """Hash of a module's syntax tree, and its imports."""
    content = f"{_PARSER}{hashes.md5(path)}"
    tree_hash, imports = json.loads(hashes.remembered(content, lambda: json.dumps(_parse(path))))
    return tree_hash, imports


def _parse(path: Path) -> tuple[str, list[_Import]]:
    try:
        tree = ast.parse(path.read_text("utf-8"), filename=str(path))
    except SyntaxError as error:
        raise PipelineError(f"{path}:{error.lineno}: {error.msg}; its stages can't be planned.") from error
    imports: list[_Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, 0, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.module or "", node.level, [alias.name for alias in node.names]))
    _drop_docstrings(tree)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:32], imports


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # any bare string in a body is a comment to Python
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _resolve(imports: list[_Import], module: str, is_package: bool, root: Path) -> Iterator[str]:
    for name, level, names in imports:
        if level:
            parts = module.split(".")
            base = parts[: len(parts) - level + (1 if is_package else 0)]
            name = ".".join([*base, name] if name else base)
        if name.partition(".")[0] != "omniges":
            continue
        yield name
        yield from (f"{name}.{each}" for each in names if _source(root, f"{name}.{each}"))


def _data_files(package: Path, root: Path, hashes: Hashes) -> Iterator[tuple[str, str]]:
    folders = [each for each in package.iterdir() if each.is_dir() and not (each / "__init__.py").exists()]
    for path in sorted([*package.iterdir(), *(each for folder in folders for each in folder.rglob("*"))]):
        if "__pycache__" in path.parts:  # numba keeps its compiled functions there too
            continue
        if path.is_file() and path.suffix != ".py" and path.name != "py.typed":
            yield (
                path.relative_to(root).as_posix(),
                hashes.remembered(f"data-{hashes.md5(path)}", partial(_sha256, path)),
            )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]
