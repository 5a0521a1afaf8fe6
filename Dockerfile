# One image for every process; compose.yaml and docs/deployment/ say which one a container runs.
# HEADRACE_TORCH=none leaves torch out, as it does for ./headrace (.env.example). Closed networks: docs/deployment.md.
ARG PYTHON_IMAGE=python:3.13-slim
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS console
ARG NPM_CONFIG_REGISTRY
ENV NODE_EXTRA_CA_CERTS=/run/secrets/ca
WORKDIR /web
COPY api/console/web/package.json api/console/web/package-lock.json ./
RUN --mount=type=secret,id=ca npm ci --omit=dev --ignore-scripts
COPY api/console/web ./
RUN npm run build

FROM ${PYTHON_IMAGE} AS packages
ARG HEADRACE_TORCH=cpu
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
WORKDIR /app
COPY pyproject.toml constraints.txt ./
# torch first and by pip, as ./headrace does it: its CPU build lies in an index of its own.
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi; \
    export UV_DEFAULT_INDEX="${PIP_INDEX_URL:-https://pypi.org/simple}" UV_FIND_LINKS="${PIP_FIND_LINKS:-}"; \
    pip install --no-cache-dir uv==0.13.8 \
 && python -m venv --without-pip /opt/venv \
 && case "$HEADRACE_TORCH" in \
      none) printf "%s ; sys_platform == 'never'\n" torch sentence-transformers > left-out.txt;; \
      cpu) : > left-out.txt && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps \
             "torch==2.13.0+cpu" --extra-index-url "$TORCH_INDEX_URL";; \
      auto) : > left-out.txt;; \
      *) echo "HEADRACE_TORCH is $HEADRACE_TORCH; it must be cpu, auto or none." >&2; exit 2;; \
    esac \
 && uv pip install --python /opt/venv/bin/python --no-cache --compile-bytecode -r pyproject.toml -c constraints.txt \
      --override left-out.txt

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="headrace" org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY . .
COPY --from=console /web/dist api/console/web/dist
# A numeric user, as Kubernetes wants to see that it isn't root. It writes to /data and /tmp only, so the root may be read-only.
RUN python -m compileall -q api workers graphs tools schema \
 && groupadd --gid 10001 headrace \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp headrace \
 && install -d -o 10001 -g 10001 -m 0700 /data
USER 10001:10001
ENV HEADRACE_HOME=/data HEADRACE_HOST=0.0.0.0 HEADRACE_METRICS_HOST=0.0.0.0 HEADRACE_METRICS_PORT=9464
EXPOSE 8000 9464
# Every process has this port. Who runs the API asks it for more: /health/ready.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-S", "-c", "import os, socket; socket.create_connection(('127.0.0.1', int(os.environ['HEADRACE_METRICS_PORT'])), 3)"]
CMD ["python", "-m", "api", "serve"]
