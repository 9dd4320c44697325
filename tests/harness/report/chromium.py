"""Headless Chromium, driven over a pipe with its own protocol: no driver to install, no port to open."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # it refuses to run as root otherwise, and opens only files that tests write
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--font-render-hinting=none",
)


def find_chromium() -> str | None:
    """The browser to use, if this machine has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab: load a file, evaluate, look at it, and remember what it complained about."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, params, session=self._session, page=self)

    def open(self, path: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Show a file at a size and colour scheme, and wait until it has loaded."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
        self._browser.wait_until(lambda: self._loaded)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Save the whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def heard(self, event: dict[str, Any]) -> None:
        method, params = event["method"], event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.complaints.append(json.dumps(params))
        elif method == "Runtime.consoleAPICalled" and params["type"] in {
            "error",
            "warning",
            "assert",
        }:
            self.complaints.append(json.dumps(params["args"]))


class Chromium:
    """A browser process; a context manager, because it must not outlive its test."""

    def __init__(self, program: str, *, timeout_s: float = 60.0) -> None:
        self._timeout_s = timeout_s
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        theirs_in, self._ours_out = os.pipe()
        self._ours_in, theirs_out = os.pipe()
        # The protocol lives on descriptors 3 and 4 of the browser; only a shell can put them there
        # without Python code between fork and exec.
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, program, *_FLAGS, f"--user-data-dir={self._folder}"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._last_id = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours_out)
        os.close(self._ours_in)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_page(self) -> Page:
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        session = attached["sessionId"]
        page = Page(self, session)
        self._pages[session] = page
        return page

    def call(
        self,
        method: str,
        params: dict[str, Any],
        *,
        session: str | None = None,
        page: Page | None = None,
    ) -> dict[str, Any]:
        """Ask the browser and wait for its answer; events that come first are delivered."""
        if session is not None and page is not None:
            self._pages[session] = page
        self._last_id += 1
        number = self._last_id
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        os.write(self._ours_out, json.dumps(message).encode() + b"\0")
        self.wait_until(lambda: number in self._answers)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def wait_until(self, done: Any) -> None:
        until = time.monotonic() + self._timeout_s
        while not done():
            left = until - time.monotonic()
            ready, _, _ = select.select([self._ours_in], [], [], max(0.0, left))
            if not ready:
                raise TimeoutError("Chromium did not answer")
            self._read()

    def _read(self) -> None:
        chunk = os.read(self._ours_in, 1 << 20)
        if not chunk:
            raise ConnectionError("Chromium closed its end")
        *whole, self._buffer = (self._buffer + chunk).split(b"\0")
        for raw in whole:
            message = json.loads(raw)
            if "id" in message:
                self._answers[message["id"]] = message
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]].heard(message)
