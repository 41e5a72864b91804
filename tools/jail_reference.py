"""The reference of jails: every wall, how the desk tests it at each start, and every attack of the corpus."""

from deskd.supervision.walls import DESK_PROBES, PROBES, WALLS
from tests.jail.attacks import ATTACKS, NOT_CONTAINED


def reference(generated: str) -> str:
    """Return docs/reference/jail.md."""
    lines = [
        generated,
        "# Jails: walls and attacks",
        "",
        "Each run of a strategy is in a jail of its own. At every start, and for `deskctl jail test`, the desk attacks a jail",
        f"of its own with the {len(PROBES)} probes below, in about 100 ms. Where one gets through, no strategy starts, and the desk says",
        "which wall is missing. `python -m deskd.supervision.self_test [--json] [STATE_DIR]` does the same without a desk.",
        f"`deskctl jail test` also tries the {len(DESK_PROBES)} of the order socket and the log, which the desk bounds itself: some seconds.",
        "What a jail costs, and what was contained where: [../jail-figures.md](../jail-figures.md).",
        "",
        "## Walls",
        "",
        "| wall | protects | tested by trying to |",
        "|---|---|---|",
    ]
    for wall, (protects, _) in WALLS.items():
        tried = "; ".join(words for of, words, _ in (*PROBES.values(), *DESK_PROBES.values()) if of is wall)
        lines.append(f"| {wall} | {protects} | {tried} |")
    lines += [
        "",
        "Where the desk may not map uids (no root, no capabilities), `own uid` and `no groups` are **weaker**: all strategies share",
        "the desk's uid. The start, `deskctl doctor` and `deskctl jail test` say so.",
        "",
        "## Attacks tried and contained",
        "",
        f"The {len(ATTACKS)} hostile scripts of `tests/jail/hostile/`, each with up to 90 tries of its kind. Each is run in a real jail beside a",
        "victim, who must get every line of the market and have its orders taken before, during and after. The desk's loop must",
        "go on, and no process, cgroup, socket, file or descriptor may be left.",
        "",
        "| attack | tries | held by |",
        "|---|---|---|",
    ]
    lines += [f"| {attack.name} | {attack.tries} | {attack.wall} |" for attack in ATTACKS]
    lines += [
        "",
        "Before any jail, the desk reads a strategy's folder and `config.json` itself: nested, huge, doubled and malformed",
        "configurations, links, pipes, devices, sparse files and hostile names are tried in `tests/jail/test_hostile_folders.py`,",
        "the configurations beside a victim, too.",
        "",
        "## Not contained",
        "",
        *(f"- **{what}**: {why}." for what, why in NOT_CONTAINED),
    ]
    return "\n".join(lines) + "\n"
