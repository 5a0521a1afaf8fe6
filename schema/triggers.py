"""How callers of a trigger prove that they may."""

from typing import Literal, get_args

TriggerAuth = Literal["secret", "standard_webhooks", "github"]
"""`secret`: it stands in the path or is sent as a bearer; `standard_webhooks` and `github`: it signs the body."""

TRIGGER_AUTHS: tuple[TriggerAuth, ...] = get_args(TriggerAuth)
