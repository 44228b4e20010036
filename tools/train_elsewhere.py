r"""Train on a machine without network, such as one with a GPU: pack, work there, bring back.

Here, in a checkout (the archive holds it, the meshes, and how to record the demonstrations there):

    python tools/train_elsewhere.py pack job.tar.gz \
        --demos "humanoid/touch --episodes 2400 --tail-s 0 --workers 16" \
        --train "--steps 3600 --name my-controller" --eval "humanoid/touch --episodes 200 --seed 8000 --workers 16"

There, with dualsys' dependencies installed (or as wheels in the archive); the same again goes on where it was stopped:

    tar xzf job.tar.gz && python job/repository/tools/train_elsewhere.py work --limit-s 3000

Here again, with what lies in job/parts:

    python tools/train_elsewhere.py join parts outputs/my-controller

What is taken along with `pack --data DIR` and `--checkpoint DIR` is data/NAME and checkpoints/NAME there, and commands
run beside these: `--train "--init checkpoints/NAME"` starts from such a checkpoint. What is recorded there is
data/recorded-0, -1 ... (-00, -01 ... where there are more than ten). The training gets all datasets in the order of
their names, which `pack` prints: that is the order of the numbers of `--data-shares`.

`pack` needs dualsys here, for the meshes and to look at the options. `work` and `join` need the standard library alone.
"""

import argparse
import importlib.util
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# Run as a file, it would find what lies beside it only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.carried_parts import Refusal, files_in, join, split

MAX_ARCHIVE_BYTES = 64 * 2**20
"""Of what is carried there."""
NEEDED = (
    *("torch", "transformers", "tokenizers", "safetensors", "einops", "mujoco", "gymnasium"),
    *("numpy", "pydantic", "pyarrow", "av", "PIL", "matplotlib", "packaging", "rich", "tyro", "jinja2"),
)
"""Modules looked for before anything is begun. Only what the humanoid's tasks need: dm_control alone has 54 MiB."""
REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE_S = 10.0
"""Between asking a command to end and ending it."""
NOT_DONE = 3
"""Exit status of `work` when the time was up first."""


def pack(options: argparse.Namespace) -> int:
    """Write the archive: `job/` with `repository/`, `cache/`, `data/`, `checkpoints/`, `wheels/` and `plan.json`."""
    plan = {"demos": options.demos, "train": options.train, "eval": options.eval}
    taken_along = list(_taken_along(options))
    data = {Path(place).name for place in _places("--data", "data", options.data)}
    names = sorted(data | {folder.name for folder in _recorded(options.demos, Path())})
    from tools.plan_check import check_plan  # needs dualsys, which `work` and `join` do without

    check_plan(plan, names, REPOSITORY)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False).stdout
    if not tracked:
        raise Refusal(f"{REPOSITORY} is no git checkout, so what belongs to it cannot be told")
    # In the order of names, each once: what has been deleted and is still listed is left out.
    listed = sorted(name for name in tracked.decode().split("\0") if name and os.path.lexists(REPOSITORY / name))
    entries = [(f"repository/{name}", REPOSITORY / name) for name in listed]
    entries += [
        (f"cache/{mesh.parent.name}/{name}", file) for mesh in [_meshes()] for name, file in files_in(mesh.parent)
    ]
    entries += taken_along
    made = {"plan.json": json.dumps(plan, indent=2), **_metadata()}
    with tarfile.open(options.archive, "w:gz", compresslevel=6) as archive:
        for name, file in entries:
            archive.add(file, f"job/{name}")
        for name, text in made.items():
            head = tarfile.TarInfo(f"job/{name}")
            head.size = len(text.encode())
            archive.addfile(head, io.BytesIO(text.encode()))
    size_bytes = options.archive.stat().st_size
    if size_bytes > MAX_ARCHIVE_BYTES:
        options.archive.unlink()
        raise Refusal(
            f"the archive would have {size_bytes / 2**20:.1f} MiB, {MAX_ARCHIVE_BYTES // 2**20} are allowed: of it "
            f"{_shares(entries)} before compression. Leave out --data and record it there, with --demos"
        )
    print(f"{options.archive}: {size_bytes / 2**20:.1f} MiB; {_shares(entries)} before compression")
    print(f"datasets, in the order in which the training gets them: {', '.join(names)}")
    return 0


def _taken_along(options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Datasets without decoded frames, checkpoints without what their training left, wheels: names and files."""
    recorded = [folder.name for folder in _recorded(options.demos, Path())]
    for place, folder in _places("--data", "data", options.data).items():
        if Path(place).name in recorded:
            raise Refusal(f"--data {folder} would be {place} there, which is where --demos are recorded; rename it")
        yield from ((f"{place}/{name}", file) for name, file in files_in(folder) if ".frames" not in name)
    for place, folder in _places("--checkpoint", "checkpoints", options.checkpoint).items():
        if not (folder / "config.json").is_file():
            raise Refusal(f"--checkpoint {folder} is none: it has no config.json; give the --out of a training")
        yield from ((f"{place}/{name}", file) for name, file in files_in(folder) if not name.startswith("training/"))
    if options.wheels is not None:
        yield from ((f"wheels/{name}", file) for name, file in files_in(options.wheels))


def _places(option: str, parent: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Folders by where they lie there, such as `data/touch`. Raises `Refusal` where two would lie in one place."""
    places: dict[str, Path] = {}
    for folder in folders:
        place = f"{parent}/{Path(os.path.abspath(folder)).name}"
        if place in places:
            raise Refusal(f"{option} {places[place]} and {option} {folder} would both be {place} there; rename one")
        places[place] = folder
    return places


def _metadata() -> dict[str, str]:
    """What an installed dualsys is found by, its plug-ins too: there, the repository is only put on the path."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    points = [
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in groups[group].items()) for group in groups
    ]
    folder = f"repository/{project['name']}-{project['version']}.dist-info"
    return {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        f"{folder}/entry_points.txt": "\n\n".join(points) + "\n",
    }


def _meshes() -> Path:
    from dualsys.sim_envs.humanoid.meshes import robot_xml

    return robot_xml()


def _shares(entries: Sequence[tuple[str, Path]]) -> str:
    totals: dict[str, int] = {}
    for name, file in entries:
        kind = name.partition("/")[0]
        totals[kind] = totals.get(kind, 0) + file.lstat().st_size
    return ", ".join(f"{kind} {size_bytes / 2**20:.1f} MiB" for kind, size_bytes in totals.items())


def work(options: argparse.Namespace) -> int:
    """Record, train, evaluate, and split what came of it. Goes on where an earlier call was stopped."""
    job = REPOSITORY.parent
    out = job / "out" if options.out is None else options.out.absolute()
    plan = json.loads((options.plan or job / "plan.json").read_text())
    _install(job / "wheels")
    until_s = time.monotonic() + options.limit_s
    for stage in _stages(plan, job, out):
        if not stage(until_s):
            break
    else:
        split(out, job / "parts", with_state=options.state)
        return 0
    # A state is what a training that was stopped is good for.
    split(out, job / "parts", with_state=True)
    print("not done: the time was up; the same command goes on from here")
    return NOT_DONE


def _install(wheels: Path) -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing and wheels.is_dir():
        found = sorted(str(file) for file in wheels.glob("*.whl"))
        subprocess.run([sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", *found], check=True)
        importlib.invalidate_caches()
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Refusal(f"this Python lacks {', '.join(missing)}; put their wheels into a folder and pack with --wheels")


Stage = Callable[[float], bool]
"""Takes the time at which it must end; returns whether it is done."""


def _stages(plan: dict[str, Any], job: Path, out: Path) -> Iterator[Stage]:
    for folder, text in zip(_recorded(plan["demos"], job), plan["demos"], strict=True):
        resume = ["--resume"] if folder.exists() else []
        yield _command(job, "demos", *shlex.split(text), "--out", str(folder), *resume)
    data = sorted(info.parents[1] for info in (job / "data").glob("*/meta/info.json"))
    if not data:
        raise Refusal("nothing to train on: pack with --demos or --data")
    resume = ["--resume"] if (out / "training/state.pt").is_file() else []
    yield _command(job, "train", *shlex.split(plan["train"]), "--data", *map(str, data), "--out", str(out), *resume)
    videos = out / "training/videos"
    for number, text in enumerate(plan["eval"]):
        figures = out / f"training/eval-{number}.json"
        if _is_whole(figures):
            continue
        words = shlex.split(text)
        trained = [] if any(word.partition("=")[0] == "--checkpoint" for word in words) else ["--checkpoint", str(out)]
        yield _command(job, "eval", *words, *trained, "--json", str(figures), "--video-dir", str(videos))
    if plan["eval"]:
        yield _command(job, "report", str(out))


def _is_whole(figures: Path) -> bool:
    """Whether an evaluation came to its end: its file is made empty when it begins, and written when all else is."""
    try:
        json.loads(figures.read_text())
    except (FileNotFoundError, ValueError):
        return False
    return True


def _recorded(demos: Sequence[str], job: Path) -> list[Path]:
    """Where they are recorded to; the order of these names is that of the demos, ten and more of them, too."""
    width = len(str(len(demos) - 1))
    return [job / "data" / f"recorded-{number:0{width}d}" for number in range(len(demos))]


def _command(job: Path, *words: str) -> Stage:
    def run(until_s: float) -> bool:
        print("dualsys", *words, flush=True)
        path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
        here = {"PYTHONPATH": path, "DUALSYS_CACHE": str(job / "cache")}
        command = [sys.executable, "-m", "dualsys", *words]
        # A session of its own: where the time is up, what it has started ends with it.
        with subprocess.Popen(command, cwd=job, env=os.environ | here, start_new_session=True) as process:
            try:
                status = process.wait(None if until_s == float("inf") else max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                _end(process)
                return False
            except BaseException:
                _end(process)
                raise
        if status:
            raise Refusal(f"dualsys {words[0]} ended with status {status}; what it says stands above")
        return True

    return run


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)


def _join(options: argparse.Namespace) -> int:
    join(options.parts, options.out)
    return 0


def parser() -> argparse.ArgumentParser:
    """The three commands."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = described.add_subparsers(required=True, metavar="COMMAND")
    packs = commands.add_parser("pack", help="write the archive that is carried there")
    packs.add_argument("archive", type=Path)
    packs.add_argument("--demos", action="append", default=[], help="options of a `dualsys demos` to run there")
    packs.add_argument("--data", action="append", default=[], type=Path, help="a dataset to take along")
    packs.add_argument("--checkpoint", action="append", default=[], type=Path, help="one to take along, for --init")
    packs.add_argument("--train", default="", help="options of `dualsys train`")
    packs.add_argument("--eval", action="append", default=[], help="options of a `dualsys eval` to run there")
    packs.add_argument("--wheels", type=Path, help="folder of wheels to install there")
    packs.set_defaults(act=pack)
    works = commands.add_parser("work", help="record, train, evaluate and split, there")
    works.add_argument("--limit-s", type=float, default=float("inf"), help="seconds after which to stop and split")
    works.add_argument("--plan", type=Path, help="another plan than the archive's plan.json")
    works.add_argument("--out", type=Path, help="folder of the training; default: job/out")
    works.add_argument("--state", action="store_true", help="bring back what the training can be resumed from, too")
    works.set_defaults(act=work)
    joins = commands.add_parser("join", help="put together what was brought back")
    joins.add_argument("parts", type=Path)
    joins.add_argument("out", type=Path)
    joins.set_defaults(act=_join)
    return described


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.act(options)
    except Refusal as refusal:
        print(f"train_elsewhere: {refusal}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
