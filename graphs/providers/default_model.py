"""Whether the default model can be called, and what is missing where it can't. What it is, `settings.py` reads."""

from graphs.providers.langchain import listing as langchain
from graphs.providers.langchain.described import broken_model
from graphs.providers.native import NATIVE
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.settings import SUPPORTED, ProviderSettings, resolve
from schema.errors import HeadraceError


def find_default_problem(settings: ProviderSettings) -> str | None:
    """Return why the default model can't be called with the operator's settings, and what to set; None if it can. Tenants
    with a provider key of their own may use it all the same."""
    try:
        resolve(None, settings)
    except HeadraceError as error:
        provider, slash, _ = settings.default_model.partition("/")
        if slash and provider in SUPPORTED and provider not in settings.names and (names := _connected_by(provider)):
            return f"The model {settings.default_model} needs {' or '.join(names)}, which is not set."
        return error.message
    return None


def default_model_error(settings: ProviderSettings) -> str:
    """Return why nothing can answer for `auto`, as a sentence, if that is known without a call: its class of LangChain can't be
    made, or none of the listed ones can. Empty if nothing is known."""
    try:
        ref = resolve(None, settings)
    except HeadraceError:
        return ""
    if ref.provider != langchain.NAME:
        return ""
    names = [ref.name] if ref.name else [model.name for model in settings.langchain_models]
    errors = [broken_model(name) for name in names]
    return errors[0] if errors and all(errors) else ""


def _connected_by(provider: str) -> tuple[str, ...]:
    """Return the variables any of which connects a provider; none for one that has no address and key."""
    if provider in VENDORS:
        return (*VENDORS[provider].key_env, *VENDORS[provider].base_url_env)
    return tuple(NATIVE[provider].configured_by) if provider in NATIVE else ()
