"""Every route of the API. A module with `routes` that is missing here is not served, and a test fails."""

from api import health
from api.agents import manage as manage_agents
from api.agents import routes as agents
from api.agents import versions as agent_versions
from api.anthropic import count_tokens, messages
from api.anthropic.batches import routes as message_batches
from api.audit import routes as audit
from api.batches import routes as batches
from api.benchmarks import routes as benchmarks
from api.certificates import challenges
from api.certificates import routes as certificates
from api.chat import routes as chat
from api.console.routes import show_console
from api.datasets import quality
from api.datasets import routes as datasets
from api.documents import collections, content, document_stats
from api.documents import delete as delete_documents
from api.documents import retry as retry_documents
from api.documents import routes as documents
from api.documents import search as search_documents
from api.documents import update as update_documents
from api.documents.upload import routes as upload_documents
from api.events import routes as events
from api.files import routes as files
from api.grants import egress
from api.grants import routes as grants
from api.identity import api_keys, browser_login, credentials, identity_providers, login, oidc_login, well_known
from api.jobs import routes as jobs
from api.jobs import trace
from api.openai import completions, embeddings, models, text_completions
from api.openai.conversations import routes as conversations
from api.openai.responses import create as create_response
from api.openai.responses import stored as stored_responses
from api.operations import checks, performance, performance_series, route_table
from api.operations import metrics as operations_metrics
from api.pipelines import routes as pipelines
from api.root_page import get_about
from api.schedules import routes as schedules
from api.sessions import feedback, memories, sharing
from api.sessions import routes as sessions
from api.tenants import configuration, metrics, tenant_users
from api.tenants import routes as tenants
from api.tools import data_sources, trial_run
from api.tools import routes as tools
from api.triggers import hooks
from api.triggers import routes as triggers
from api.usage import models as usable_models
from api.usage import routes as usage
from api.usage import stored_models
from api.users import privacy
from api.users import routes as users
from api.webhooks import deliveries
from api.webhooks import routes as webhooks
from api.widgets import embed as embedded_widgets
from api.widgets import manage as widgets

NATIVE = (
    *(chat.routes, jobs.routes, events.routes, trace.routes, sessions.routes, sharing.routes, feedback.routes),
    memories.routes,
    *(
        login.routes,
        browser_login.routes,
        identity_providers.routes,
        oidc_login.routes,
        api_keys.routes,
        credentials.routes,
    ),
    *(users.routes, privacy.routes),
    *(agents.routes, manage_agents.routes, agent_versions.routes, tools.routes, trial_run.routes, data_sources.routes),
    *(configuration.routes, pipelines.routes, benchmarks.routes, datasets.routes, quality.routes, schedules.routes),
    *(upload_documents.routes, documents.routes, content.routes, update_documents.routes, delete_documents.routes),
    *(retry_documents.routes, collections.routes, document_stats.routes, search_documents.routes),
    *(
        tenants.routes,
        grants.routes,
        egress.routes,
        tenant_users.routes,
        usable_models.routes,
        stored_models.routes,
        usage.routes,
        audit.routes,
        metrics.routes,
    ),
    *(webhooks.routes, deliveries.routes, triggers.routes, hooks.routes, widgets.routes, embedded_widgets.routes),
    route_table.routes,
    performance.routes,
    performance_series.routes,
    checks.routes,
    certificates.routes,
)
"""Under `/api`."""

OPENAI = (
    completions.routes,
    text_completions.routes,
    embeddings.routes,
    models.routes,
    files.routes,
    batches.routes,
    create_response.routes,
    stored_responses.routes,
    conversations.routes,
)
"""Under `/v1`."""

ANTHROPIC = (messages.routes, count_tokens.routes, message_batches.routes)
"""Under `/v1` too."""

ROOT = (get_about, show_console, health.routes, operations_metrics.routes, well_known.routes, challenges.routes)
"""At the root."""
