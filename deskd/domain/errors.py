"""The few exceptions of our own. A refusal is a value; the world's failures are builtin or library exceptions."""


class ConfigError(Exception):
    """Configuration is wrong. The text names file, place, key, what is wrong and the remedy, one problem a line."""


class WireError(Exception):
    """Bytes are not a valid message. The text names the field and the rule."""


class LedgerError(Exception):
    """The ledger cannot be used: locked, full, newer than this program, or broken. The text has the remedy."""


class BrokerFatal(Exception):
    """The broker refuses us for good (keys, plan). Retrying cannot help; an officer must act."""


class SandboxUnavailable(Exception):
    """Jails cannot be made here. The text is one clear sentence with the remedy."""
