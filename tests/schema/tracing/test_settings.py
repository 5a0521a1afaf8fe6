"""Which of OpenTelemetry's variables ask for traces, and which are refused at the start of a process."""

import pytest

from schema.tracing.settings import TracingSettings

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("env", "exporter"),
    [
        ({}, None),
        (ENDPOINT, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "OTLP"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, None),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, None),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
    ],
)
def test_traces_are_sent_where_the_standard_variables_say(env: dict[str, str], exporter: str | None) -> None:
    assert exporter == TracingSettings.from_env(env).exporter


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "jeager"}, "OTEL_TRACES_EXPORTER is 'jeager'; it must be otlp, console or none."),
        ({"OTEL_TRACES_EXPORTER": "otlp,zipkin"}, "OTEL_TRACES_EXPORTER"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; .* port 4318"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:secret@host:port"}, "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
        (ENDPOINT | {"OTEL_TRACES_SAMPLER": "sometimes"}, "OTEL_TRACES_SAMPLER"),
        (
            ENDPOINT | {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"},
            "OTEL_TRACES_SAMPLER_ARG is '10%'; it must be a number, from 0 to 1",
        ),
        (ENDPOINT | {"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, "OTEL_BSP_MAX_QUEUE_SIZE"),
        (ENDPOINT | {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "0.5"}, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT"),
        (
            ENDPOINT | {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "all"},
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        ),
    ],
)
def test_what_is_misspelt_is_refused_with_what_is_right(env: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        TracingSettings.from_env(env)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(("said", "captured"), [("", False), ("false", False), ("true", True), ("SPAN_ONLY", True)])
def test_messages_are_recorded_only_when_that_is_asked_for(said: str, captured: bool) -> None:
    env = ENDPOINT | {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": said}
    assert captured == TracingSettings.from_env(env).content


def test_settings_for_what_is_not_sent_are_named() -> None:
    env = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "none", "OTEL_PROPAGATORS": "tracecontext,b3"}
    assert ("OTEL_METRICS_EXPORTER", "OTEL_PROPAGATORS") == TracingSettings.from_env(env).unused
