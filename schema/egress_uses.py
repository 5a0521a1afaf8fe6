"""What a tenant can be granted private hosts for."""

from typing import Literal, get_args

EgressUse = Literal["tools", "documents", "providers", "sign_in", "webhooks"]
"""`tools`: configured tools, data sources and what tools fetch. `documents`: uploads by address. `providers`: the `base_url` of
the tenant's own provider keys. `sign_in`: its identity providers. `webhooks`: its webhook endpoints and the callbacks
of its jobs."""

EGRESS_USES: tuple[EgressUse, ...] = get_args(EgressUse)
