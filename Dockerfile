# One image for server, dashboard and jobs. It holds the code and no model, no documents, no sample company: a project
# folder is mounted at /project, models are downloaded into /cache or mounted.
#
#   docker build -t groundtone .                                              torch with CUDA
#   docker build -t groundtone --build-arg PIP_EXTRA_INDEX_URL=ADDRESS .      a smaller torch; the Makefile's head has the address

FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL=""
ARG EXTRAS=offline,chat,providers,serve,postgres,fast
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/groundtone
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY groundtone ./groundtone
COPY retrieval ./retrieval
COPY tuning ./tuning
COPY eval ./eval
COPY dashboard ./dashboard
# pip reads an empty extra index as none; constraints.txt has every version that the tests passed with.
RUN PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL" /opt/groundtone/bin/pip install -c constraints.txt ".[$EXTRAS]"

FROM python:3.11-slim
RUN groupadd --gid 10001 groundtone \
    && useradd --uid 10001 --gid 10001 --create-home groundtone \
    && install -d -m 1777 /cache
COPY --from=build /opt/groundtone /opt/groundtone
ENV PATH=/opt/groundtone/bin:$PATH HF_HOME=/cache PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /project
EXPOSE 8000
# /health needs no key; it answers 503 while the server is being stopped.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["groundtone"]
CMD ["serve", "--project", "/project", "--set", "server.host=0.0.0.0", "--set", "server.auth=always"]
