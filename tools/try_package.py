# SPDX-License-Identifier: Apache-2.0
"""Build the archives that are published, and install and start each where nothing else is.

try_package.py DIRECTORY [PYTHON...]    # by default only this Python
"""

import pathlib
import shutil
import subprocess  # nosec B404 # for the commands below
import sys

_CHECKOUT = pathlib.Path(__file__).parents[1]
#: What is in a checkout beside the sources.
_ASIDE = (".tox", ".venv", ".stestr", "__pycache__", "build", "dist", "*.egg-info")
#: What an installation must have beside modules.
_FILES = ("hypervisor/default_fleet.yaml", "db/migrations/script.py.mako")
_CHECK = """
import importlib.metadata, pathlib, kongming
where = pathlib.Path(kongming.__file__).parent
assert "site-packages" in str(where), where
missing = [name for name in {files} if not (where / name).exists()]
assert not missing, missing
points = importlib.metadata.distribution("kongming").entry_points
for point in points:
    # the driver of libvirt comes with an extra that is compiled
    if point.value != "kongming.hypervisor.libvirt:LibvirtDriver":
        point.load()
print(len(points), "entry points of", importlib.metadata.version("kongming"))
"""


def main() -> None:
    """Try each archive with each Python."""
    directory = pathlib.Path(sys.argv[1])
    shutil.rmtree(directory, ignore_errors=True)
    # what builds them writes into the sources, which others may read meanwhile
    source = directory / "source"
    shutil.copytree(_CHECKOUT, source, symlinks=True, ignore=shutil.ignore_patterns(*_ASIDE))
    _run(sys.executable, "-m", "build", "--outdir", directory, source)
    for python in sys.argv[2:] or [sys.executable]:
        for archive in sorted(directory.glob("kongming-*")):
            where = directory / "venv"
            _run(python, "-m", "venv", "--clear", where)
            _run(
                where / "bin/pip", "install", "--quiet", f"{archive}[cli,memcache,mysql,postgresql]"
            )
            _try(where)
            print(f"{archive.name}: installs and starts with {python}")


def _try(where: pathlib.Path) -> None:
    """Start what is installed."""
    binaries = where / "bin"
    _run(binaries / "pip", "check")
    _run(binaries / "python", "-c", _CHECK.format(files=_FILES))
    conf = where / "kongming.conf"
    conf.write_text(f"[database]\nconnection = sqlite:///{where}/kongming.db\n")
    _run(binaries / "kongming-dbsync", "--config-file", conf, "upgrade")
    for program in ("api", "conductor", "agent", "standalone", "status"):
        _run(binaries / f"kongming-{program}", "--help")


def _run(*command: str | pathlib.Path) -> None:
    # from elsewhere: the checkout must not be found instead of what is installed
    done = subprocess.run(  # nosec B603 # of ours alone
        list(map(str, command)), cwd="/", capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
