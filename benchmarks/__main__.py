"""``python -m benchmarks [W1 W3 ...]``: run workloads, print ratios, keep the figures.

Each engine runs in a process of its own, in turn, several times; the median is shown, and its ratio to the
workload's base. Machines are noisy: the ratios carry, the times do not. What an engine is timed at begins
with its first call and ends with its stream; imports and making the input are left out, for all alike.
CPU time is user and system time of the engine's processes, of the same span; where the figure is that of a
batch, it is a batch's mean.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.picture import picture
from benchmarks.report import page, table
from benchmarks.runner import EngineMissing, Results, chosen_engines, run
from benchmarks.workload import Workload, workloads

RUNS = 3


def main() -> None:
    """The command."""
    parser = _parser()
    options = parser.parse_args()
    known = workloads(quick=options.quick)
    if options.child:
        name, engine = options.child
        print(json.dumps(_whole(known[name].engines[engine](options.folder))))
        return
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: 1 or more")
    chosen = _chosen(parser, options.workloads, known, all_of_them=options.given is None)
    results: Results = json.loads(options.given.read_text()) if options.given else {}
    if unknown := set(results) - set(known):
        parser.error(f"{options.given} has {', '.join(sorted(unknown))}, which is no workload")
    failed: list[str] = []
    if chosen:
        try:
            named = options.engines.split(",") if options.engines else None
            engines, lines = chosen_engines(chosen, named, peers=options.peers)
        except EngineMissing as missing:
            parser.error(str(missing))
        for line in lines:
            print(line, file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
            folder = options.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            measured, failed = run(chosen, engines, options.runs, folder, quick=options.quick)
        for name, figures in measured.items():
            results[name] = {**results.get(name, {}), **figures}
    results = {name: results[name] for name in known if name in results}
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    shown = table(results, known, options.runs, command)
    print(shown)
    if options.json:
        _write(options.json, json.dumps(results, indent=1, sort_keys=True) + "\n")
    if options.picture:
        _write(options.picture, picture(results, known))
    if options.table:
        _write(options.table, page(shown, options.picture.name if options.picture else None))
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workloads", nargs="*", metavar="W", help="such as W1, or W4-10000 of W4; default: all"
    )
    parser.add_argument("--engines", help="comma-separated; default: those that are installed and fast")
    parser.add_argument("--peers", action="store_true", help="also the engines that take minutes, once each")
    parser.add_argument("--quick", action="store_true", help="smaller workloads: minutes for all of them")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each engine; default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table here too, as Markdown")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the ratios here, as SVG")
    parser.add_argument(
        "--from",
        dest="given",
        type=Path,
        metavar="JSON",
        help="begin with the figures of this file; runs only the workloads that are named, in their place",
    )
    parser.add_argument("--folder", type=Path, help="where files are made; default: a temporary folder")
    parser.add_argument("--child", nargs=2, metavar=("W", "ENGINE"), help=argparse.SUPPRESS)
    return parser


def _chosen(
    parser: argparse.ArgumentParser, names: list[str], known: dict[str, Workload], *, all_of_them: bool
) -> dict[str, Workload]:
    """The workloads of these names; a name also stands for all of its amounts."""
    if not names:
        return known if all_of_them else {}
    chosen: dict[str, Workload] = {}
    for wanted in names:
        found = {name: w for name, w in known.items() if name == wanted or name.startswith(f"{wanted}-")}
        if not found:
            parser.error(f"no workload {wanted}; there are {', '.join(known)}")
        chosen.update(found)
    return {name: workload for name, workload in known.items() if name in chosen}


def _whole(figures: dict[str, float]) -> dict[str, float]:
    if "records" in figures:
        figures["records_per_second"] = figures["records"] / figures["seconds"]
    return figures


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
