"""Write api.md and the pages in api/: every public name with its signature and its docstring.

`python docs/make_api.py` writes the pages; a test fails when they are older than the sources. The sources are
read, not imported, so the pages are the same whatever is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

HERE = Path(__file__).parent
ROOT = HERE.parent
SKIP = {"cli", "server"}
WIDTH = 100
LIMITED = re.compile(r"Annotated\[(.+?), (?:pydantic\.)?Field\(.*?\)\]")
TYPE_ALONE = r"\1"

INTRO = """# Library

Every public name, made from its docstring by `docs/make_api.py`. What is not listed here may change at any time; a leading
underscore in a path means the same. A page for each module has signatures, arguments and errors.
"""

WORDS = ("Effort", "Finish", "VerdictStatus", "TraceOutcome", "Usd", "Seconds", "Count")
"""Types that many signatures use and that have no entry of their own."""


def pages() -> dict[str, str]:
    """Text of every page by its path below docs/."""
    package = griffe.load("effortctl", search_paths=[str(ROOT)], docstring_parser="google")
    modules = list(_modules(package))
    words = package["_types._base"]
    index = [INTRO, _words(words), *(_table(module) for module in modules)]
    return {"api.md": "\n".join(index)} | {_path(module): _page(module) for module in modules}


def _words(module: Any) -> str:
    """A table of the types in `WORDS`."""
    rows = [f"| `{name}` | `{_cell(str(module[name].value))}` |" for name in WORDS]
    return "| type | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _modules(module: Any) -> Iterator[Any]:
    """The public modules, outermost first."""
    yield module
    for name in sorted(module.modules):
        if not name.startswith("_") and name not in SKIP:
            yield from _modules(module.modules[name])


def _path(module: Any) -> str:
    return f"api/{module.path.removeprefix('effortctl.').replace('.', '-')}.md"


def _names(module: Any) -> list[str]:
    """What a module exports; without `__all__`, what it defines."""
    exported = module.exports or [
        name for name, each in module.members.items() if not each.is_alias
    ]
    return sorted((name for name in map(str, exported) if name[0] != "_"), key=str.lower)


def _table(module: Any) -> str:
    """One line for each name of a module."""
    rows = []
    for name in _names(module):
        text = _cell(_summary(_final(module[name])))
        rows.append(f"| [`{name}`]({_path(module)}#{name.lower()}) | {text} |")
    title = f"## {module.path}\n\n{_summary(module)}\n\n"
    return title + "| name | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"


def _page(module: Any) -> str:
    parts = [f"# {module.path}\n", *_docstring(module)]
    for name in _names(module):
        parts += [f"## {name}\n", *_described(_final(module[name]), name)]
    return "\n".join(parts).rstrip() + "\n"


def _final(thing: Any) -> Any:
    return thing.final_target if thing.is_alias else thing


def _summary(thing: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    if thing.docstring is None:
        return f"`{thing.value}`" if getattr(thing, "value", None) is not None else ""
    return " ".join(thing.docstring.value.split("\n\n")[0].split())


def _described(thing: Any, name: str) -> Iterator[str]:
    yield _fenced(_signature(thing, name))
    yield from _docstring(thing)
    if thing.is_class:
        yield from _docstring(thing.all_members.get("__init__"))
        for method, each in _methods(thing).items():
            yield from _member(each, f"{name}.{method}")


def _methods(thing: Any) -> dict[str, Any]:
    """Public methods and properties with a docstring, those of private base classes included."""
    own = {name: each for name, each in thing.members.items() if not each.is_alias}
    inherited = {name: _final(each) for name, each in thing.inherited_members.items()}
    return {
        name: each
        for name, each in (inherited | own).items()
        if not name.startswith("_") and each.docstring is not None
    }


def _member(member: Any, title: str) -> Iterator[str]:
    if member.is_function or "property" in member.labels:
        name = title.rpartition(".")[2]
        yield f"### {title}\n"
        yield _fenced(_signature(member, name))
        yield from _docstring(member)


def _signature(thing: Any, name: str) -> str:
    if thing.is_function or thing.is_class:
        written = _arguments(thing) if thing.is_function or _constructed(thing) else ""
        prefix = "class " if thing.is_class else ""
        if "async" in thing.labels:
            prefix = "async def "
        returns = f" -> {thing.returns}" if thing.is_function and thing.returns else ""
        return f"{prefix}{name}{written}{returns}"
    annotation = f": {thing.annotation}" if thing.annotation else ""
    value = "" if thing.value is None or "property" in thing.labels else f" = {thing.value}"
    return f"{name}{annotation}{value}"


def _constructed(thing: Any) -> bool:
    """Is it made by arguments that the sources spell out? Values are made by their attributes."""
    return len(thing.parameters) > 0 and not any("Value" in str(base) for base in thing.bases)


def _arguments(thing: Any) -> str:
    """The arguments in one line if they fit, else one line each."""
    kinds = griffe.ParameterKind
    words: list[str] = []
    starred = False
    for argument in thing.parameters:
        if argument.name in {"self", "cls"}:
            continue
        if argument.kind is kinds.keyword_only and not starred:
            words.append("*")
            starred = True
        starred = starred or argument.kind is kinds.var_positional
        words.append(_argument(argument))
        if argument.kind is kinds.positional_only and _last_positional(thing, argument):
            words.append("/")
    line = f"({', '.join(words)})"
    if len(line) <= WIDTH - 30:
        return line
    return "(\n" + "".join(f"    {word},\n" for word in words) + ")"


def _last_positional(thing: Any, argument: Any) -> bool:
    only = [each for each in thing.parameters if each.kind is argument.kind]
    return bool(only[-1] is argument)


def _argument(argument: Any) -> str:
    stars = {"variadic positional": "*", "variadic keyword": "**"}.get(argument.kind.value, "")
    text = f"{stars}{argument.name}"
    if argument.annotation is not None:
        text += f": {argument.annotation}"
    if argument.default is None or stars:
        return text
    return f"{text} = {argument.default}" if argument.annotation else f"{text}={argument.default}"


def _docstring(thing: Any) -> Iterator[str]:
    """The sections of a docstring as Markdown."""
    if thing is None or thing.docstring is None:
        return
    for section in thing.docstring.parsed:
        match section.kind.value:
            case "text":
                yield f"{_code_as_py(section.value)}\n"
            case "parameters" | "attributes" | "raises" | "returns" | "yields" | "warns":
                yield _listed(section)
            case "examples":
                yield _fenced("\n".join(text for _, text in section.value))
            case _:
                yield f"**{section.title or 'Note'}**\n\n{_code_as_py(_contents(section))}\n"


def _type(annotation: Any) -> str:
    """The type of an attribute as a reader wants it: without the limits that pydantic checks."""
    if annotation is None:
        return ""
    return f" (`{LIMITED.sub(TYPE_ALONE, str(annotation))}`)"


def _contents(section: Any) -> str:
    return str(getattr(section.value, "contents", section.value))


def _listed(section: Any) -> str:
    """A list of arguments, attributes or errors."""
    title = {"parameters": "Arguments"}.get(section.kind.value, section.kind.value.capitalize())
    lines = []
    for each in section.value:
        label = getattr(each, "name", "") or str(each.annotation)
        if section.kind.value in {"returns", "yields"}:
            lines.append(" ".join(each.description.split()))
            continue
        kind = _type(each.annotation) if section.kind.value == "attributes" else ""
        lines.append(f"- `{label}`{kind}: {' '.join(each.description.split())}")
    return f"**{title}**\n\n" + "\n".join(lines) + "\n"


def _fenced(code: str) -> str:
    return f"```py\n{code}\n```\n"


def _code_as_py(text: str) -> str:
    """Signatures and examples of this page are `py`, so that nobody takes them for tested guides."""
    return text.strip().replace("```python\n", "```py\n")


def main() -> None:
    """Write every page and remove those of modules that are gone."""
    written = pages()
    (HERE / "api").mkdir(exist_ok=True)
    for old in (HERE / "api").glob("*.md"):
        if f"api/{old.name}" not in written:
            old.unlink()
    for name, text in written.items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
