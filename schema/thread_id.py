"""The thread id of a conversation in LangGraph. Row-level security reads the tenant from it."""

from uuid import UUID


def thread_name(tenant_id: UUID, user_id: UUID | None, session_id: UUID) -> str:
    """Return `tenant_{id}__user_{id}__session_{id}`; a job without a session uses its own id."""
    return f"tenant_{tenant_id}__user_{user_id or 'none'}__session_{session_id}"
