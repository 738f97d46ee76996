"""Build the wheel, install it alone in a clean environment, import every module, resolve every name that bundles use.

Dependencies come from the environment that runs this script; the package itself only from the wheel.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CHECK = r"""
import importlib, importlib.metadata, pkgutil, re, sys
from pathlib import Path

root, site = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
import dymo_med

if site not in Path(dymo_med.__file__).resolve().parents:
    raise SystemExit(f"dymo_med must come from the wheel, however: {dymo_med.__file__}")
names = [module.name for module in pkgutil.walk_packages(dymo_med.__path__, "dymo_med.")]
sources = {
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    for path in (root / "dymo_med").rglob("*.py")
}
lacking = sources - {"dymo_med", *names}
if lacking:
    raise SystemExit(f"the wheel lacks modules: {sorted(lacking)}")
for name in names:
    importlib.import_module(name)
data = {path.relative_to(root) for path in (root / "dymo_med").rglob("*") if path.is_file()}
data = {path for path in data if path.suffix not in {".py", ".pyc"}}
absent = [str(path) for path in data if not (site / path).is_file()]
if absent:
    raise SystemExit(f"the wheel lacks package data: {absent}")
used = set()
for config in root.glob("bundles/*/configs/*.yaml"):
    text = config.read_text()
    used |= set(re.findall(r"_target_:\s*\"?(dymo_med[\w.]+|torch[\w.]+|monai[\w.]+)", text))
    used |= {f"{module}.{name}" for module, name in re.findall(r"\$from (dymo_med[\w.]*) import (\w+)", text)}
for name in sorted(used):
    module, attribute = name.rsplit(".", 1)
    getattr(importlib.import_module(module), attribute)
for point in importlib.metadata.distribution("dymo-med").entry_points:
    point.load()
counts = f"{len(names)} modules imported, {len(data)} data files, {len(used)} names of bundles resolved"
sys.stdout.write(f"wheel: {counts}\n")
"""


def main() -> None:
    """Build, install and check; raises on the first fault."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        wheel = next(Path(folder).glob("*.whl"))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
        environment = os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-c", CHECK, str(ROOT), str(site)]
        subprocess.run(command, check=True, cwd=folder, env=environment)


if __name__ == "__main__":
    main()
