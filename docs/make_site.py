"""Build the documentation as a site: `python docs/make_site.py [FOLDER]`, or `make docs`.

Pages that live elsewhere in the repository (evals, security, changes) are put beside those of docs/. A link to
a file that is no page becomes the name of the file. zensical then builds the site and refuses dead links and
dead anchors. Links to other hosts are listed; nobody fetches them.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)
LABEL = re.compile(r"^( *```\w+) [^\n]*$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
EXTERNAL = re.compile(r"https?://[^\s)>\"'`]+")


def sources() -> dict[str, str]:
    """Path in the repository -> path on the site, of every page."""
    pages = {f"docs/{_below(path, DOCS)}": _below(path, DOCS) for path in DOCS.rglob("*.md")}
    for path in (ROOT / "evals").glob("*/README.md"):
        pages[_below(path, ROOT)] = f"evals/{path.parent.name}.md"
    pages |= {"evals/README.md": "evals/index.md", "README.md": "index.md"}
    return pages | {"SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}


def rewritten(text: str, page: str, pages: Mapping[str, str]) -> str:
    """The text of a page with its links as they must be on the site.

    Args:
        text: Markdown.
        page: Where the page is in the repository.
        pages: As `sources`.
    """

    def relinked(match: re.Match[str]) -> str:
        label, (target, hash_, anchor) = match[1], match[2].partition("#")
        if "://" in target or not target:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        there = pages.get(file) or pages.get(f"{file}/README.md")
        if there is None:
            return label if "`" in label else f"{label} (`{file}`)"
        return (
            f"[{label}]({posixpath.relpath(there, posixpath.dirname(pages[page]))}{hash_}{anchor})"
        )

    parts = FENCED.split(text)
    return "".join(
        LABEL.sub(r"\1", part) if index % 2 else CODE.sub(_bar, LINK.sub(relinked, part))
        for index, part in enumerate(parts)
    )


def _bar(code: re.Match[str]) -> str:
    """Code in a table without the backslash before `|`, which the site would show."""
    return code[0].replace("\\|", "|")


def stage(folder: Path) -> None:
    """Write every page, and the configuration, to a folder."""
    pages = sources()
    shutil.rmtree(folder / "pages", ignore_errors=True)
    for source, target in pages.items():
        if source == "README.md":
            continue  # the site opens with docs/index.md
        file = folder / "pages" / target
        file.parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / source).read_text(encoding="utf-8")
        file.write_text(rewritten(text, source, pages), encoding="utf-8")
    (folder / "zensical.toml").write_text(config(), encoding="utf-8")


def config() -> str:
    """The configuration, each `"folder/*"` replaced by the pages of the folder that it does not list."""
    text = (DOCS / "zensical.toml").read_text(encoding="utf-8")

    def listed(match: re.Match[str]) -> str:
        pages = (page for page in sorted(set(sources().values())) if page.startswith(match[1]))
        return "".join(f'"{page}", ' for page in pages if f'"{page}"' not in text)

    return re.sub(r'"(\w+/)\*",?', listed, re.sub(r"^#.*$", "", text, flags=re.MULTILINE))


def external() -> dict[str, list[str]]:
    """Every link to another host, with the pages that have it."""
    found: dict[str, list[str]] = {}
    for source in sorted(sources()):
        prose = CODE.sub("", FENCED.sub("", (ROOT / source).read_text(encoding="utf-8")))
        for link in sorted(set(EXTERNAL.findall(prose))):
            found.setdefault(link.rstrip(".,;"), []).append(source)
    return found


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def main() -> int:
    """Stage and build; return the exit code of zensical."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    stage(folder)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(  # noqa: S603 - our own command line
        command, cwd=folder, check=False, env=os.environ | {"NO_COLOR": "1"}
    )
    if done.returncode == 0:
        for link, pages in external().items():
            print(f"not fetched: {link} ({', '.join(pages)})")
        print(f"{len(list((folder / 'site').rglob('*.html')))} pages in {folder / 'site'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
