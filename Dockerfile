# The command a3cp, from this checkout and the files that requirements.lock names; docker-compose.yml says how to run it.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
# First every file of the lock, each against its hash; then only those of them that the commands need.
RUN pip download --quiet --require-hashes --no-deps --requirement requirements.lock --dest /wheels
COPY . .
# Without pip, and without the tests that some packages bring: nobody runs them here.
RUN python -m venv --without-pip /opt/a3cp \
    && pip --python /opt/a3cp/bin/python install --quiet --no-index --find-links /wheels '.[serve,postgres,otel]' \
    && find /opt/a3cp -type d -name tests -prune -exec rm -rf {} +

FROM python:3.13-slim-bookworm
COPY --from=build /opt/a3cp /opt/a3cp
# A volume at one of these is this user's from its first use on.
RUN useradd --uid 10001 --no-create-home a3cp && install --directory --owner a3cp --group a3cp /data /doors /service
ENV PATH=/opt/a3cp/bin:$PATH PYTHONUNBUFFERED=1
USER a3cp
WORKDIR /data
ENTRYPOINT ["a3cp"]
