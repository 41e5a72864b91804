"""The broker's keys: from the environment or from systemd's credentials, never from a file of ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deskd.domain.errors import ConfigError

ID_NAMES = ("APCA_API_KEY_ID", "ALPACA_API_KEY")
SECRET_NAMES = ("APCA_API_SECRET_KEY", "ALPACA_SECRET_KEY")
ID_CREDENTIAL, SECRET_CREDENTIAL = "alpaca_key_id", "alpaca_secret_key"

HOME_OF_KEYS = (
    f"the broker's keys come from {ID_NAMES[0]} and {SECRET_NAMES[0]} in the environment, "
    f"or from the systemd credentials {ID_CREDENTIAL} and {SECRET_CREDENTIAL}"
)


class BrokerKeys(NamedTuple):
    """An Alpaca key pair. It is never shown: its text is masked."""

    key_id: str
    secret_key: str

    def __repr__(self) -> str:
        """Tell that there are keys, and not what they are."""
        return "BrokerKeys(***)"


def read_keys(environment: Mapping[str, str]) -> BrokerKeys | None:
    """Return the keys, or None where there are none; raise ConfigError where only half of a pair is there."""
    for id_name, secret_name in zip(ID_NAMES, SECRET_NAMES, strict=True):
        key_id, secret_key = environment.get(id_name, "").strip(), environment.get(secret_name, "").strip()
        if key_id or secret_key:
            return _pair(id_name, key_id, secret_name, secret_key)
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    id_file, secret_file = Path(folder, ID_CREDENTIAL), Path(folder, SECRET_CREDENTIAL)
    key_id, secret_key = _credential(id_file), _credential(secret_file)
    if not key_id and not secret_key:
        return None
    return _pair(str(id_file), key_id, str(secret_file), secret_key)


def shown_to_nobody(environment: Mapping[str, str]) -> list[str]:
    """Return every text of a key that stands in the environment, whole pair or not: what is never to be shown."""
    return [text for name in (*ID_NAMES, *SECRET_NAMES) if (text := environment.get(name, "").strip())]


def _pair(id_name: str, key_id: str, secret_name: str, secret_key: str) -> BrokerKeys:
    if not key_id or not secret_key:
        there, missing = (id_name, secret_name) if key_id else (secret_name, id_name)
        raise ConfigError(f"{missing}: is not set, but {there} is; set both or neither")
    for name, value in ((id_name, key_id), (secret_name, secret_key)):
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"{name}: is not a key: spaces or characters that no key has; copy it again, whole")
    return BrokerKeys(key_id, secret_key)


def _credential(file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: the credential cannot be read ({error}); check LoadCredential= of the unit"
        ) from error
