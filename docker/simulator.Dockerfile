# docker build --file docker/simulator.Dockerfile --tag nerava-simulator .
# The reasons for this way to build it: docs/decisions/0034-containers.md.
# For a release, pin the digest too: python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /source
COPY pyproject.toml uv.lock ./
COPY docker/pyproject.toml docker/services_wheel.py docker/
# The libraries have their own layer, which changes only with the lock file.
RUN uv sync --frozen --only-group simulator
COPY schemas schemas
COPY runtime runtime
COPY hubspot_consumer hubspot_consumer
COPY sandbox sandbox
# No wheel of the project contains the simulator, so its packages are copied.
RUN python="$UV_PROJECT_ENVIRONMENT/bin/python" \
    && packages="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && cp -r schemas runtime hubspot_consumer sandbox "$packages" \
    && "$python" -m compileall -q "$packages"

FROM ${PYTHON} AS service
RUN groupadd --gid 10001 nerava \
    && useradd --uid 10001 --gid 10001 --no-create-home --no-log-init --shell /usr/sbin/nologin nerava \
    && pip uninstall --yes pip setuptools wheel
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["sh", "-c", "exec python -m runtime.liveness http://127.0.0.1:8090/_simulator/settings"]
ENTRYPOINT ["python", "-m", "sandbox.hubspot"]
CMD ["--host", "0.0.0.0"]
# What it was built from, as `make images` says it. It comes last: another commit changes no layer.
ARG VERSION
ARG REVISION
ARG CREATED
ENV NERAVA_VERSION=$VERSION NERAVA_REVISION=$REVISION
LABEL org.opencontainers.image.title="nerava-simulator" \
      org.opencontainers.image.description="A simulator of HubSpot, for trials and tests." \
      org.opencontainers.image.licenses="LicenseRef-Proprietary" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.created=$CREATED
