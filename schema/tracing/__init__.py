"""Traces for OpenTelemetry: what a process does, as spans that belong together across processes.

`spans.py` is what all others use, and costs under a microsecond while nothing is traced. `settings.py` reads the standard
OTEL_* variables; only where they ask for traces, `sdk.py` loads OpenTelemetry's SDK. `attributes.py` has all names,
`ids.py` the ids of spans that are known before, `traceparent.py` the header that carries one, `content.py` what was said.
`lost.py` records spans of killed workers, `export.py` sends what has ended, `process.py` starts and ends it all.

    HTTP ─▶ submit ─▶ attempt ─▶ node of a graph ─┬▶ chat MODEL
                 └──▶ attempt (the next)          └▶ execute_tool TOOL ─▶ retrieval ─▶ embeddings
                          └──▶ deliver
"""
