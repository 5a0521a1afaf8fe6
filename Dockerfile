# One image for every process; compose.yaml says which one a container runs.
FROM node:24-slim AS console
WORKDIR /web
COPY api/console/web ./
RUN npm ci --omit=dev --ignore-scripts && npm run build

FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1
WORKDIR /app

# torch first and by pip, as ./headrace does it: its CPU build lies in an index of its own.
RUN pip install --no-cache-dir uv==0.13.8 \
 && pip install --no-cache-dir --no-deps "torch==2.13.0+cpu" --extra-index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml constraints.txt ./
RUN uv pip install --system --no-cache --compile-bytecode -r pyproject.toml -c constraints.txt
COPY . .
COPY --from=console /web/dist api/console/web/dist

RUN useradd --create-home headrace && mkdir /data && chown headrace /data
USER headrace
ENV HEADRACE_HOME=/data HEADRACE_HOST=0.0.0.0
EXPOSE 8000
CMD ["python", "-m", "api", "serve"]
