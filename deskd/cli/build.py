"""`deskctl build`: the packages that a strategy's requirements.txt asks for."""

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call

TIMEOUT_S = 1_000.0  # three steps of at most 300 s, in jails


@click.command()
@click.argument("name")
@json_option
@pass_call
def build(call: Call, name: str, *, as_json: bool) -> None:
    """Build the packages of a strategy's requirements.txt, in jails. For officers; see [sandbox] requirements."""
    answer = call.desk().command("/build", {"name": name}, timeout_s=TIMEOUT_S)
    if as_json:
        show.as_json(answer.body)
    else:
        print(f"{answer.body['strategy_id']}: {answer.body['done']}")
