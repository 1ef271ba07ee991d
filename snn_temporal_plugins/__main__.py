"""Command line: ``python -m snn_temporal_plugins list | info | check | doctor``.

Exit codes: 0 all right, 1 a check failed, 2 wrong use or a plug-in that cannot be used.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from typing import Any

from .neurons import ClockedNeuron, TimedNeuron
from .plugins import checks, doctor, registry
from .plugins._table import table
from .plugins.errors import PluginError
from .plugins.spec import GROUPS, NeuronSpec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (PluginError, ImportError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m snn_temporal_plugins",
        description="Plug-ins for temporal coding in snnTorch, Norse and plain torch.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
        sub.set_defaults(run=run)
        return sub

    listing = command("list", _list, "List the plug-ins that are installed.")
    listing.add_argument("--kind", choices=GROUPS, help="only this kind")
    listing.add_argument("--host", choices=registry.HOSTS, help="only neurons for this host")
    info = command("info", _info, "Describe one plug-in.")
    info.add_argument("name", help="name or alias, if need be as distribution:name")
    info.add_argument("--kind", choices=GROUPS, help="by default every kind is searched")
    check = command("check", _check, "Check that a neuron keeps the contract, in every host.")
    check.add_argument("neuron", help="registered name, or module:Class")
    command("doctor", _doctor, "Show versions, hosts and their known problems.")
    return parser


def _list(options: argparse.Namespace) -> int:
    kind = "neuron" if options.host else options.kind
    rows = []
    for entry in registry.entries(kind):
        if options.host and options.host not in _hosts(entry):
            continue
        spec = entry.spec
        rows.append(
            {
                "kind": entry.kind,
                "name": entry.name,
                "from": f"{entry.distribution} {entry.version}".strip(),
                "aliases": list(spec.aliases) if spec else [],
                "summary": spec.summary if spec else f"BROKEN: {entry.error}",
            }
        )
    _show(rows, options.json, "Plug-ins")
    return 0


def _hosts(entry: registry.Entry) -> list[str]:
    """Hosts that the neuron can be made for; imports the neuron but no host."""
    if not isinstance(entry.spec, NeuronSpec):
        return []
    core = registry.load(entry.spec, entry.spec.core)
    return list(registry.HOSTS) if issubclass(core, ClockedNeuron) else list(entry.spec.hosts)


def _info(options: argparse.Namespace) -> int:
    kinds = [options.kind] if options.kind else list(GROUPS)
    entries = [e for kind in kinds for e in registry.entries(kind) if e.answers_to(options.name)]
    kinds = sorted({entry.kind for entry in entries}) or kinds[:1]
    for kind in kinds:
        spec = registry.find(kind, options.name)
        entry = next(e for e in entries if e.spec is spec)
        core = registry.load(spec, spec.core)
        rows: dict[str, Any] = {
            "kind": kind,
            "name": spec.name,
            "aliases": list(spec.aliases),
            "from": f"{entry.distribution} {entry.version}".strip(),
            "summary": spec.summary,
            "reference": spec.reference,
            "class": f"{core.__module__}.{core.__qualname__}",
            "signature": f"{core.__name__}{inspect.signature(core)}",
        }
        if kind == "neuron":
            forms = {"clocked": ClockedNeuron, "timed": TimedNeuron}
            rows["forms"] = [form for form, base in forms.items() if issubclass(core, base)]
            rows["hosts"] = _hosts(entry)
        if options.json:
            print(json.dumps(rows, indent=2))
        else:
            _show([{"": key, " ": _text(value)} for key, value in rows.items()], False, spec.name)
    return 0


def _check(options: argparse.Namespace) -> int:
    neuron = options.neuron
    if ":" in neuron and not any(e.answers_to(neuron) for e in registry.entries("neuron")):
        neuron = registry.load_object(neuron)
    results = checks.check_neuron(neuron, on_fail=None, on_skip=None)
    rows = [
        {
            "check": result["check_name"],
            "status": result["status"],
            "why": result["expected_to_fail_reason"] or str(result["exception"] or ""),
        }
        for result in results
    ]
    _show(rows, options.json, results.title)
    return 1 if results.failed else 0


def _doctor(options: argparse.Namespace) -> int:
    versions = doctor.versions()
    build = doctor.torch_build()
    problems = doctor.problems(versions, build)
    broken = [
        {"kind": e.kind, "name": e.qualified, "error": str(e.error)}
        for e in registry.entries()
        if e.error
    ]
    if options.json:
        report = {"versions": versions, "torch build": build, "backend": doctor.backend()}
        print(json.dumps({**report, "problems": problems, "broken": broken}, indent=2))
        return 0
    rows = [{"package": name, "version": v or "not installed"} for name, v in versions.items()]
    rows += [
        {"package": "torch is built for", "version": build},
        {"package": "backend='auto'", "version": doctor.backend()},
    ]
    _show(rows, False, "Versions")
    if problems:
        _show(problems, False, "Known problems of what is installed")
    if broken:
        _show(broken, False, "Plug-ins that cannot be used")
    return 0


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _show(rows: Sequence[dict[str, Any]], as_json: bool, title: str) -> None:
    """Print rows as JSON, as a rich table, or as plain text where rich is missing."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    columns = list(rows[0]) if rows else ["nothing found"]
    cells = [[_text(row[column]) for column in columns] for row in rows]
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:
        print(table(columns, cells, title=title))
        return
    drawn = Table(*columns, title=title, title_justify="left", show_lines=False)
    for row in cells:
        drawn.add_row(*map(escape, row))
    Console().print(drawn)


if __name__ == "__main__":
    sys.exit(main())
