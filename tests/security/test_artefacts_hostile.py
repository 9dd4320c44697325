"""A file that somebody else wrote, or that rotted: refused with its name, and nothing in it runs."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import re
import shutil
import traceback
import warnings
from pathlib import Path

import canaries
import pytest
from artefact_formats import FORMATS, Format

from effortctl import Answer, ConfigError, EffortctlWarning, StoreError
from effortctl.stores import DiskCache

SOUND: dict[str, tuple[Path, Path]] = {}
NAMES = [each.name for each in FORMATS]
BY_NAME = {each.name: each for each in FORMATS}
TEXTS = [name for name in NAMES if name not in {"ledger", "outcomes-parquet"}]
VERSIONED = ["policy", "result", "traces", "recording-gz", "recording", "run-header"]
ZIPPED = {"outcomes-gz", "recording-gz"}
DEEP = 20_000


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest) -> Format:
    return BY_NAME[request.param]


@pytest.fixture
def copy(kind, tmp_path, tmp_path_factory):
    """Makes fresh copies of a sound file, together with the files beside it."""
    if kind.name not in SOUND:
        folder = tmp_path_factory.mktemp("sound", numbered=True)
        if kind.name == "outcomes-parquet":
            pytest.importorskip("pyarrow")
        SOUND[kind.name] = (folder, kind.make(folder))
    folder, path = SOUND[kind.name]
    count = iter(range(10_000))

    def fresh() -> Path:
        target = tmp_path / f"copy{next(count)}"
        shutil.copytree(folder, target)
        return target / path.relative_to(folder)

    return fresh


def refusal(kind: Format, path: Path) -> str | None:
    """What a reader says about a file; None when it takes it. Anything but our errors is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", EffortctlWarning)
        try:
            kind.read(path)
        except (StoreError, ConfigError) as error:
            said = str(error)
        else:
            return None
    assert path.name in said or str(path.parent) in said, said
    return said


def rewritten(kind: Format, data: bytes, change) -> bytes:
    """The file with its text changed, zipped again where it was zipped."""
    if kind.name in ZIPPED:
        return gzip.compress(change(gzip.decompress(data)))
    return change(data)


def test_every_sound_file_is_read(kind, copy):
    assert refusal(kind, copy()) is None


def test_flipped_bits_never_crash_a_reader(kind, copy):
    rng = random.Random(kind.name)
    path = copy()
    sound = path.read_bytes()
    for _ in range(40):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 1, 3, 20))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path = copy()
        path.write_bytes(data)
        refusal(kind, path)


def test_a_file_that_was_cut_never_crashes_a_reader(kind, copy):
    rng = random.Random(kind.name)
    size = copy().stat().st_size
    for end in {0, 1, size - 1, *(rng.randrange(size) for _ in range(12))}:
        path = copy()
        os.truncate(path, end)
        refusal(kind, path)


def test_an_empty_file_is_refused_or_new(kind, copy):
    path = copy()
    path.write_bytes(b"")
    if kind.name not in {
        "ledger",
        "traces",
        "feedback",
        "journal",
        "cards",
    }:  # nothing is there yet
        assert refusal(kind, path)
    else:
        refusal(kind, path)


@pytest.mark.parametrize("kind", TEXTS, indirect=True)
@pytest.mark.parametrize(
    "planted",
    [
        b"NaN",
        b"Infinity",
        b"1e999",
        b"9" * 5000,
        b"-" + b"9" * 400,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b"null",
        b'"\\ud800"',
        b'"\\u0000"',
        b"true",
    ],
    ids=lambda value: value[:6].decode(),
)
def test_planted_values_are_refused_or_harmless(kind, copy, planted):
    rng = random.Random(kind.name)
    sound = copy().read_bytes()

    def numbers(data: bytes) -> list[re.Match[bytes]]:
        return list(re.finditer(rb"(?<=[:,=\[ \n])-?\d+(?:\.\d+)?(?=[,\]}\s])", data))

    def plant(data: bytes) -> bytes:
        spots = numbers(data)
        if not spots:
            return data + b"\n" + planted
        spot = rng.choice(spots)
        return data[: spot.start()] + planted + data[spot.end() :]

    for _ in range(6):
        path = copy()
        path.write_bytes(rewritten(kind, sound, plant))
        refusal(kind, path)
    path = copy()
    path.write_bytes(rewritten(kind, sound, lambda _data: planted))
    refusal(kind, path)


@pytest.mark.parametrize("kind", VERSIONED, indirect=True)
@pytest.mark.parametrize("version", [b"2", b"0", b'"1"', b"null", b"1e400", b"[]"])
def test_another_version_is_refused(kind, copy, version):
    path = copy()
    sound = path.read_bytes()
    marked = re.compile(rb'("version": ?)1\b')
    text = gzip.decompress(sound) if kind.name in ZIPPED else sound
    assert marked.search(text)
    changed = rewritten(kind, sound, lambda data: marked.sub(rb"\g<1>" + version, data, count=1))
    path.write_bytes(changed)
    assert "version" in str(refusal(kind, path))


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_in_place_of_the_file_does_not_run(kind, copy, tmp_path, zipped):
    canary = tmp_path / "canary"
    payload = pickle.dumps(Bomb(canary))
    path = copy()
    path.write_bytes(gzip.compress(payload) if zipped else payload)
    refused = refusal(kind, path)
    assert refused or kind.name == "journal"  # where a last line without an end was never finished
    assert not canary.exists()


def test_the_bomb_would_go_off(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("kind", TEXTS, indirect=True)
def test_text_that_looks_like_code_stays_text(kind, copy, tmp_path):
    canary = tmp_path / "canary"
    code = f"__import__('os').mkdir('{canary}')"
    for text in (code, f"!!python/object/apply:os.mkdir ['{canary}']", "${" + code + "}"):
        path = copy()
        sound = path.read_bytes()
        quoted = json.dumps(text).encode()
        path.write_bytes(
            rewritten(
                kind, sound, lambda data, q=quoted: re.sub(rb'"[^"\n]{2,40}"', lambda _: q, data)
            )
        )
        refusal(kind, path)
    assert not canary.exists()


def test_a_folder_in_place_of_the_file_is_refused(kind, copy):
    path = copy()
    path.unlink()
    path.mkdir()
    assert refusal(kind, path)


@pytest.mark.parametrize("target", ["nowhere", "itself", "/dev/null"])
def test_a_link_to_nothing_readable_never_crashes_a_reader(kind, copy, target):
    path = copy()
    path.unlink()
    path.symlink_to(path.name if target == "itself" else target)
    refusal(kind, path)


@pytest.mark.parametrize("kind", NAMES if os.geteuid() else NAMES[:1], indirect=True)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(kind, copy):
    path = copy()
    path.chmod(0)
    assert refusal(kind, path)


# Longer than any quotation of a wrong value, so that only a dump of the file would show the end.
LONG = "x" * 80 + canaries.PROMPT


@pytest.mark.parametrize(
    "kind",
    ["policy", "result", "traces", "feedback", "recording", "journal", "otel"],
    indirect=True,
)
def test_what_a_damaged_file_holds_is_not_dumped_into_the_error(kind, copy):
    rng = random.Random(kind.name)
    text = copy().read_text("utf-8")
    values = list(
        re.finditer(r'(?<=: )"[^"\\]{1,80}"(?=[,}\]\s])|(?<=:)"[^"\\]{1,80}"(?=[,}\]\s])', text)
    )
    keys = list(re.finditer(r'"(\w+)"(?=:)', text))
    errors = []
    for _ in range(40):
        changes = [(spot, json.dumps(LONG)) for spot in rng.sample(values, min(3, len(values)))]
        changes.append((rng.choice(keys), '"renamed"'))
        broken = text
        for spot, new in sorted(changes, key=lambda change: -change[0].start()):
            broken = broken[: spot.start()] + new + broken[spot.end() :]
        path = copy()
        path.write_text(broken, "utf-8")
        errors.append(error_of(kind, path))
    shown = ["".join(traceback.format_exception(error)) for error in errors if error is not None]
    assert len(shown) > 10
    assert [text for text in shown if canaries.leaks(text)] == []


def error_of(kind: Format, path: Path) -> Exception | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffortctlWarning)
        try:
            kind.read(path)
        except (StoreError, ConfigError) as error:
            return error
    return None


# --- the cache: never an error ---------------------------------------------------------------------


ANSWER = Answer(text="408")


def look(directory: Path) -> Answer | None:
    """Every use of a cache; whatever is wrong may be a warning and a miss, nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", EffortctlWarning)
        with DiskCache(directory) as cache:
            found = cache.get("k")
            cache.set("new", ANSWER)
            cache.get("new")
            return found


def test_damage_to_the_cache_is_a_miss_and_never_another_answer(tmp_path):
    sound = tmp_path / "sound"
    with DiskCache(sound) as cache:
        for key in "kabcdef":
            cache.set(key, ANSWER if key == "k" else Answer(text=key * 40))
    data = (sound / "cache.db").read_bytes()
    rng = random.Random(7)
    hits = 0
    for number in range(60):
        directory = tmp_path / str(number)
        directory.mkdir(mode=0o700)
        broken = bytearray(data)
        if number % 3 == 0:
            del broken[rng.randrange(len(broken)) :]
        else:
            for _ in range(rng.choice((1, 8, 200))):
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        (directory / "cache.db").write_bytes(broken)
        (directory / "cache.db").chmod(0o600)
        found = look(directory)
        assert found in (None, ANSWER)
        hits += found == ANSWER
    assert 0 < hits < 60


@pytest.mark.parametrize("planted", ["folder", "link", "fifo", "text"])
def test_something_else_in_place_of_the_cache_is_a_miss(tmp_path, planted):
    directory = tmp_path / "cache"
    directory.mkdir(mode=0o700)
    database = directory / "cache.db"
    if planted == "folder":
        database.mkdir()
    elif planted == "link":
        database.symlink_to("/etc/passwd")
    elif planted == "fifo":
        os.mkfifo(database)
    else:
        database.write_text("not a database " * 100)
    assert look(directory) is None
