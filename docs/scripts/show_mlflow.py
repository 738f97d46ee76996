"""Draw the pictures of docs/mlflow.md: MLflow's own pages over a store of simulated runs, in a headless Chromium.

    python docs/scripts/show_mlflow.py store/mlflow.db docs/figures

Needs the program chromium. The store needs five trainings, an evaluation and a sweep for CAD, and a sweep for
infarction: run the bundles with MLFLOW_TRACKING_URI=sqlite:///store/mlflow.db. With --only NAME one picture is drawn.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import mlflow
from PIL import Image

WIDTH, MENU = 1500, 195
PATIENCE_S, STEP_S, DRAWING_S = 300.0, 10.0, 40.0
BROWSER = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"]
CLOSE_ASSISTANT = "document.querySelector('button[aria-label=Close]')?.click()"
EXPAND_SWEEPS = """[...document.querySelectorAll('.ag-row a')].filter(link => /^sweep/.test(link.innerText)).forEach(
    link => link.closest('.ag-cell').querySelector('button')?.click())"""
HIDE_PATHS = """[...document.querySelectorAll('*')].filter(part => /^Path: file/.test(part.innerText)).pop()
    ?.style.setProperty('visibility', 'hidden')"""
SEARCH_CHARTS = "document.querySelector('input[placeholder^=\"Search metric charts\"]').focus()"


@dataclass(frozen=True)
class Picture:
    """A page, how high its window is, a text that it shows once it is there, clicks, and what is typed at the end."""

    page: str
    height: int
    shows: str
    clicks: Sequence[str] = ()
    typed: str = ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"no page at {address}")


@contextlib.contextmanager
def server(uri: str) -> Iterator[str]:
    port = free_port()
    words = ["-m", "mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri", uri]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    nothing = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, *words], stdout=nothing, stderr=nothing, env=os.environ | settings)
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def runs_of(client: mlflow.MlflowClient, experiment: str) -> tuple[str, dict[str, list[str]]]:
    """Give the id of an experiment, and its finished runs by the first word of their names, oldest first."""
    found = client.get_experiment_by_name(experiment)
    by_kind: dict[str, list[str]] = {}
    for run in client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]):
        if run.info.status == "FINISHED":
            by_kind.setdefault(run.info.run_name.split()[0], []).append(run.info.run_id)
    return str(found.experiment_id), by_kind


def pictures(client: mlflow.MlflowClient, task: str, other_task: str) -> dict[str, Picture]:
    number, runs = runs_of(client, f"dymo_med {task}")
    other, runs_of_other = runs_of(client, f"dymo_med {other_task}")
    (model,) = client.search_registered_models(max_results=1)
    where, both = f"#/experiments/{number}/runs", quote(json.dumps([number, other]))
    nested = quote(f'tags."mlflow.parentRunId" = "{runs["sweep"][0]}"')
    trainings = quote("attributes.run_name LIKE 'train%'")
    pair = quote(json.dumps([runs["auto"][0], runs_of_other["auto"][0]]))
    five = quote(json.dumps(runs["train"][:5]))
    return {
        "runs": Picture(where, 800, "Run Name", [EXPAND_SWEEPS]),
        "train": Picture(f"{where}/{runs['train'][0]}", 1600, "Metrics"),
        "sweep": Picture(
            f"{where}/{runs['sweep'][0]}/artifacts/figures/auroc_by_missing_rate.png", 1000, "regret.json", [HIDE_PATHS]
        ),
        "strategies": Picture(
            f"{where}?searchFilter={nested}&compareRunsMode=CHART",
            1150,
            "Run Name",
            [EXPAND_SWEEPS, SEARCH_CHARTS],
            r"whole table/(?!.*_(low|high))",
        ),
        "seeds": Picture(
            f"{where}?searchFilter={trainings}&compareRunsMode=CHART",
            900,
            "Run Name",
            [SEARCH_CHARTS],
            "validation/",
        ),
        "compare": Picture(f"#/compare-runs?runs={five}&experiments={quote(json.dumps([number]))}", 1000, "Comparing"),
        "bundles": Picture(f"#/compare-runs?runs={pair}&experiments={both}", 1300, "Comparing"),
        "model": Picture(f"#/models/{model.name}/versions/1", 900, "Version 1"),
    }


async def take(address: str, picture: Picture, path: Path) -> None:
    """Open a page, click, type, and keep what is seen."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = ["chromium", *BROWSER, f"--window-size={WIDTH},{picture.height}", f"--user-data-dir={profile}"]
        browser = subprocess.Popen([*words, "about:blank"], stderr=subprocess.DEVNULL)
        try:
            port = await _port_of(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    (tab,) = [each for each in await answer.json() if each["type"] == "page"]
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket_of_tab:
                    await _ask(socket_of_tab, "Page.navigate", url=f"{address}/{picture.page}")
                    await _wait_until_it_shows(socket_of_tab, picture.shows)
                    for click in (CLOSE_ASSISTANT, *picture.clicks):
                        await _ask(socket_of_tab, "Runtime.evaluate", expression=click)
                        await asyncio.sleep(STEP_S)
                    if picture.typed:
                        await _ask(socket_of_tab, "Input.insertText", text=picture.typed)
                    await asyncio.sleep(DRAWING_S)
                    seen = await _ask(socket_of_tab, "Page.captureScreenshot", format="png")
            path.write_bytes(base64.b64decode(seen["data"]))
        finally:
            browser.terminate()
            browser.wait()


async def _port_of(file: Path) -> str:
    for _ in range(600):
        if file.is_file() and file.read_text().count("\n"):
            return file.read_text().split()[0]
        await asyncio.sleep(0.1)
    raise TimeoutError("Chromium does not start")


async def _wait_until_it_shows(socket_of_tab: Any, text: str) -> None:
    question = f"document.body.innerText.includes({json.dumps(text)})"
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = await _ask(socket_of_tab, "Runtime.evaluate", expression=question, returnByValue=True)
        if answer["result"].get("value") is True:
            await asyncio.sleep(STEP_S)
            return
        await asyncio.sleep(1)
    raise TimeoutError(f"the page never shows {text!r}")


async def _ask(socket_of_tab: Any, method: str, **parameters: Any) -> Any:
    await socket_of_tab.send_json({"id": 1, "method": method, "params": parameters})
    async for message in socket_of_tab:
        answer = json.loads(message.data)
        if answer.get("id") == 1:
            return answer["result"]
    raise ConnectionError(f"Chromium ended before it answered {method}")


def shrink(picture: Path) -> None:
    """Keep the page itself, without MLflow's menu, in 64 colors."""
    with Image.open(picture) as image:
        page = image.crop((MENU, 0, *image.size)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    page.save(picture, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tasks", nargs=2, default=["cad", "infarction"], help="labels of the two bundles")
    parser.add_argument("--only", nargs="*", help="names of the pictures to draw")
    arguments = parser.parse_args()
    uri = f"sqlite:///{arguments.store.absolute()}"
    arguments.output.mkdir(parents=True, exist_ok=True)
    with server(uri) as address:
        for name, picture in pictures(mlflow.MlflowClient(uri, registry_uri=uri), *arguments.tasks).items():
            if arguments.only is None or name in arguments.only:
                path = arguments.output / f"mlflow_{name}.png"
                asyncio.run(take(address, picture, path))
                shrink(path)
                print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
