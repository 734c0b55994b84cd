# The command a3cp, from this checkout and the files that requirements.lock names; docker-compose.yml says how to run it.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
# First every file of the lock, each against its hash; then only those of them that the processor and the exporter need.
RUN pip download --quiet --require-hashes --no-deps --requirement requirements.lock --dest /wheels
COPY . .
RUN python -m venv /opt/a3cp && /opt/a3cp/bin/pip install --quiet --no-index --find-links /wheels '.[postgres]'

FROM python:3.13-slim-bookworm
COPY --from=build /opt/a3cp /opt/a3cp
# A volume at /data is this user's from its first use on.
RUN useradd --uid 10001 --no-create-home a3cp && install --directory --owner a3cp --group a3cp /data
ENV PATH=/opt/a3cp/bin:$PATH PYTHONUNBUFFERED=1
USER a3cp
WORKDIR /data
ENTRYPOINT ["a3cp"]
