"""The lessons as a student sees them: JupyterLab in a headless Chromium, Run All, no error, every formula set.

    pytest --slow tests/lessons/test_jupyterlab.py                         three notebooks
    TINYNET_LAB=all pytest --slow tests/lessons/test_jupyterlab.py         all
    python tests/lessons/test_jupyterlab.py FOLDER [01 16_gpu ...]         and a picture of each, to look at

Needs JupyterLab (the extra `lessons`) and Chromium, which is spoken to by its DevTools protocol: JSON over a socket.
"""
from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]
LESSONS = ROOT / "lessons"
NAMES = sorted(path.stem for path in (LESSONS / "_src").glob("[0-9][0-9]_*.py"))
KINDS = ("stub", "solution")
A_FEW = [("02_tensors", "stub"), ("06_softmax", "stub"), ("06_softmax", "solution")]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
MISSING = [what for what, there in (("JupyterLab (pip install jupyterlab)", importlib.util.find_spec("jupyterlab")),
                                    ("Chromium (apt install chromium)", BROWSER)) if not there]
LIMIT = 600  # seconds for a notebook
WIDTH, HEIGHT = 1100, 1600  # of the window; a picture is put together of such pieces


class Seen(NamedTuple):
    """What a notebook showed after Run All."""

    printed: str
    errors: list[str]  # the cells that raised
    badly_set: list[str]  # formulas that MathJax did not understand, or that it left as they were
    picture: bytes  # PNG of the whole page


# ---- the server
@contextlib.contextmanager
def jupyterlab(folder: Path, scale: str) -> Iterator[str]:
    """JupyterLab on a free port of this machine alone, with a token; the address of a document, but for its name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, own = secrets.token_hex(16), folder / ".jupyter"
    for plugin, wish in (("notebook-extension/tracker", {"windowingMode": "none"}),  # draws also what is out of sight
                         ("apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False})):
        settings = own / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(wish))
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
              "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
    python = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **{name: str(own / place) for name, place in places.items()},
                   "PYTHONPATH": python, "TINYNET_SCALE": scale}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
               f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"]
    with (folder / "jupyterlab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=5):
                break
            assert server.poll() is None, (folder / "jupyterlab.log").read_text()
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/doc/tree/{{}}?token={token}"
    finally:
        end(server)


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and what it started (kernels, pages)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# ---- the browser
class Page:
    """A page of the browser."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.count = connection, 0

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """The result of a method of the DevTools protocol."""
        self.count += 1
        await self.connection.write_message(json.dumps({"id": self.count, "method": method, "params": arguments}))
        while True:  # what it tells of its own accord is passed over
            message = await asyncio.wait_for(self.connection.read_message(), LIMIT)
            assert message is not None, "the browser has gone"
            answer = json.loads(message)
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    async def value(self, expression: str) -> Any:
        """What an expression of JavaScript is."""
        got = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    async def until(self, expression: str, seconds: float) -> None:
        """Wait for an expression to be true."""
        deadline = time.monotonic() + seconds
        while not await self.value(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"after {seconds:.0f} s this was still not so: {expression}"
            await asyncio.sleep(0.2)


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[str]:
    """A headless Chromium with one page; the address of the page's socket."""
    command = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={folder / '.chromium'}",
               f"--window-size={WIDTH},{HEIGHT}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        assert process.stderr is not None
        heard = next((m for line in process.stderr if (m := re.search(r"listening on ws://([\w.:]+)", line))), None)
        assert heard, "Chromium did not start"
        with urlopen(f"http://{heard[1]}/json/list", timeout=20) as answer:
            yield next(t for t in json.load(answer) if t["type"] == "page")["webSocketDebuggerUrl"]
    finally:
        end(process)
        if process.stderr is not None:
            process.stderr.close()


# ---- a lesson in it
NOTEBOOK = "[...(window.jupyterapp?.shell?.widgets('main') || [])].find(one => one.context)"
SESSION = f"{NOTEBOOK}?.context?.sessionContext"
SCROLLED = "document.querySelector('.jp-WindowedPanel-outer')"
UNSET = """Array.from(document.querySelectorAll('.jp-RenderedMarkdown')).flatMap(cell => {
    const bad = Array.from(cell.querySelectorAll('mjx-merror, merror')).map(e => e.textContent);
    const text = cell.cloneNode(true);
    text.querySelectorAll('code, pre, mjx-container').forEach(e => e.remove());
    return bad.concat(text.textContent.match(/.{0,30}\\$.{0,30}/g) || []);
})"""


async def run_all(page: Page, address: str) -> Seen:
    """Open a notebook, choose Run All, wait until the kernel has nothing to do, save it, and look."""
    await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
    await page.call("Page.navigate", url=address)
    await page.until(f"{NOTEBOOK}?.context?.isReady && {SESSION}?.isReady", 120)
    await page.until(f"{SESSION}.session?.kernel?.status === 'idle'", 120)
    await page.value(f"window.jupyterapp.shell.activateById({NOTEBOOK}.id)")
    await page.until("window.jupyterapp.shell.currentWidget", 20)
    await page.value("window.jupyterapp.commands.execute('notebook:run-all-cells').then("
                     "() => { window.ran = true }, () => { window.ran = true }), true")
    await page.until("window.ran", LIMIT)
    await page.until(f"{SESSION}.session?.kernel?.status === 'idle'", 60)
    cells = json.loads(await page.value(f"JSON.stringify({NOTEBOOK}.content.model.toJSON().cells)"))
    outputs = [(k, one) for k, cell in enumerate(cells) for one in cell.get("outputs", [])]
    errors = [f"cell {k}: {one['ename']}: {one['evalue']}" for k, one in outputs if one["output_type"] == "error"]
    printed = "".join("".join(one.get("text", "")) for _, one in outputs)
    await asyncio.sleep(1)  # figures and formulas are drawn after they have come
    seen = Seen(printed, errors, await page.value(UNSET), await picture(page))
    await page.value(f"{NOTEBOOK}.context.save().then(() => {SESSION}.shutdown()).then(() => true)")
    return seen


async def picture(page: Page) -> bytes:
    """The whole notebook as a PNG: pieces, one below the other."""
    from PIL import Image

    await page.call("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False)
    top, step, whole = await page.value(f"(s => [s.getBoundingClientRect().top, s.clientHeight, s.scrollHeight])"
                                        f"({SCROLLED})")
    made, done = Image.new("RGB", (WIDTH, int(whole)), "white"), 0
    while done < whole:
        await page.value(f"{SCROLLED}.scrollTop = {done}, new Promise(f => setTimeout(() => f(true), 200))")
        at = await page.value(f"{SCROLLED}.scrollTop")
        shot = base64.b64decode((await page.call("Page.captureScreenshot"))["data"])
        piece = Image.open(io.BytesIO(shot)).convert("RGB")
        made.paste(piece.crop((0, int(top), WIDTH, int(top + step))), (0, int(at)))
        done += int(step)
    file = io.BytesIO()
    made.save(file, "png")
    return file.getvalue()


class Lab(NamedTuple):
    """JupyterLab and Chromium, as they run."""

    folder: Path
    document: str  # the address of a document, but for its name
    page: str  # of the browser: its socket

    def look(self, name: str, kind: str) -> Seen:
        """What a copy of a lesson's notebook shows. kind: stub, solution."""
        own = self.folder / f"{name}_{kind}.ipynb"
        shutil.copy(LESSONS / ("solutions" if kind == "solution" else "") / f"{name}.ipynb", own)

        async def together() -> Seen:
            from tornado.websocket import websocket_connect  # JupyterLab needs it too

            connection = await websocket_connect(self.page, max_message_size=1 << 30)
            try:
                return await run_all(Page(connection), self.document.format(own.name))
            finally:
                connection.close()
                while await connection.read_message() is not None:  # until the other side has closed it, too
                    pass
        return asyncio.run(together())


@contextlib.contextmanager
def started(folder: Path, scale: str) -> Iterator[Lab]:
    """Both, working in a folder."""
    with jupyterlab(folder, scale) as document, chromium(folder) as page:
        yield Lab(folder, document, page)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with started(tmp_path_factory.mktemp("lab"), "ci") as both:
        yield both


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"NO LESSON WAS OPENED: {' and '.join(MISSING)} not installed")
@pytest.mark.parametrize(("name", "kind"), list(product(NAMES, KINDS)) if os.environ.get("TINYNET_LAB") == "all"
                         else A_FEW)
@pytest.mark.filterwarnings("default")
def test_run_all(lab: Lab, name: str, kind: str) -> None:
    seen = lab.look(name, kind)
    assert not seen.errors, seen.errors
    assert not seen.badly_set, seen.badly_set
    asked = set(re.findall(r'tn\.check\(\\"([\w.]+)', (LESSONS / f"{name}.ipynb").read_text(encoding="utf-8")))
    sign = "✓ {}:" if kind == "solution" else "○ {}: not done yet"
    missing = [id for id in sorted(asked) if sign.format(id) not in seen.printed]
    assert asked and not missing, f"{missing}\n{seen.printed}"
    assert seen.picture.startswith(b"\x89PNG") and len(seen.picture) > 50_000


def main(folder: str, *wanted: str) -> int:
    """Pictures of the lessons whose names begin so (default: all), stub and solution; status 1 if one has an error."""
    wrong, where = 0, Path(folder).resolve()
    where.mkdir(parents=True, exist_ok=True)
    with started(where, os.environ.get("TINYNET_SCALE", "ci")) as both:
        for name, kind in product((n for n in NAMES if n.startswith(wanted or "")), KINDS):
            start = time.monotonic()
            seen = both.look(name, kind)
            (where / f"{name}_{kind}.png").write_bytes(seen.picture)
            (where / f"{name}_{kind}.txt").write_text(seen.printed, encoding="utf-8")
            bad = [*seen.errors, *seen.badly_set]
            wrong += bool(bad)
            print(f"{name} {kind}: {time.monotonic() - start:.0f} s", *bad, sep="\n    ", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(f"not installed: {', '.join(MISSING)}" if MISSING else main(*sys.argv[1:]))
