"""Draw the pictures of docs/mlflow.md: MLflow's own pages over a store of simulated runs, in a headless Chromium.

    python docs/scripts/show_mlflow.py runs/cad/eval/mlflow.db docs/figures

Needs the program chromium. The store needs an experiment with five trainings, an evaluation and predictions.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
from PIL import Image

WIDTH, PATIENCE_MS = 1500, 25_000


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


def pages(client: mlflow.MlflowClient, experiment: str) -> dict[str, tuple[str, int]]:
    """Give the address and height of each picture."""
    found = client.get_experiment_by_name(experiment)
    where = f"#/experiments/{found.experiment_id}"
    runs = client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])
    by_kind: dict[str, list[str]] = {}
    for run in runs:
        if run.info.status == "FINISHED":
            by_kind.setdefault(run.info.run_name.split()[0], []).append(run.info.run_id)
    five = ",".join(f'"{run_id}"' for run_id in by_kind["train"][:5])
    (model,) = client.search_registered_models(max_results=1)
    return {
        "runs": (f"{where}/runs", 600),
        "train": (f"{where}/runs/{by_kind['train'][0]}", 1600),
        "compare": (f'#/compare-runs?runs=[{five}]&experiments=["{found.experiment_id}"]', 1000),
        "model": (f"#/models/{model.name}/versions/1", 900),
    }


def shrink(picture: Path) -> None:
    """Keep the page itself, without MLflow's menu and assistant, in 64 colors."""
    with Image.open(picture) as image:
        page = image.crop((195, 0, 1110, image.height)).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    page.save(picture, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--experiment", default="dymo_med cad")
    arguments = parser.parse_args()
    uri, port = f"sqlite:///{arguments.store.absolute()}", free_port()
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri", uri],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    try:
        wait_for(address)
        arguments.output.mkdir(parents=True, exist_ok=True)
        for name, (page, height) in pages(mlflow.MlflowClient(uri, registry_uri=uri), arguments.experiment).items():
            picture = arguments.output / f"mlflow_{name}.png"
            options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
            options += [f"--window-size={WIDTH},{height}", f"--virtual-time-budget={PATIENCE_MS}"]
            subprocess.run(
                ["chromium", *options, f"--screenshot={picture}", f"{address}/{page}"], check=True, timeout=200
            )
            shrink(picture)
            print(picture, picture.stat().st_size)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
