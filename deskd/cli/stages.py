"""`deskctl pause`, `resume`, `shadow` and `activate`: how far a strategy is in use."""

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call

_TEXTS = {
    "pause": "Let strategies run, and take no orders of theirs; cancels pass, and what is open stays.",
    "resume": "Bring paused strategies back to the stage that they had before.",
    "shadow": "Judge and record what strategies order, and send nothing of it; they are told so.",
    "activate": "Send what strategies order, from now on.",
}
_DOES = {
    "paused": "runs, and no order is taken",
    "shadow": "orders are judged and recorded, not sent",
    "active": "orders are sent",
}


def _command(verb: str, text: str) -> click.Command:
    @click.command(name=verb, help=text)
    @click.argument("names", nargs=-1, metavar="NAME...")
    @click.option("--all", "is_all", is_flag=True, help="Every strategy of the desk; officers only.")
    @json_option
    @pass_call
    def command(call: Call, names: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
        if bool(names) == is_all:
            raise click.UsageError("give exactly one of NAME..., --all")
        body = call.desk().command(f"/{verb}", {"all": True} if is_all else {"names": list(names)}).body
        if as_json:
            show.as_json(body)
            return
        for row in body["strategies"]:
            was = "" if row["before"] == row["stage"] else f" (was {row['before']})"
            show.say(f"{row['strategy_id']}: {row['stage']}{was}: {_DOES[row['stage']]}")

    return command


pause, resume, shadow, activate = (_command(verb, text) for verb, text in _TEXTS.items())
