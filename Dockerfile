# Easel in a container, for a machine without a card or with NVIDIA's:
#   docker build --target cpu --tag easel:cpu .          docker build --target cuda --tag easel:cuda .
# compose.yaml and docs/start/docker.md say how it is run. The torch of the target cuda brings its own CUDA libraries; the host
# needs only the driver and the NVIDIA container toolkit. No compiler is in here, and none is needed.

FROM python:3.13-slim-trixie AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/easel
ENV PATH=/opt/easel/bin:$PATH
WORKDIR /build
COPY requirements.lock requirements-without-torch.lock constraints.txt ./
RUN pip install --no-deps --require-hashes --only-binary :all: -r requirements-without-torch.lock

FROM packages AS wheel
COPY pyproject.toml README.md LICENSE easel.py ./
COPY bot bot
COPY engine engine
COPY workshop workshop
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

# PyTorch's own index has a build without CUDA, of which its version is pinned and not its hash.
FROM packages AS packages-cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-deps --only-binary :all: -c constraints.txt --index-url "$TORCH_INDEX" torch
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --no-index /wheels/*.whl

FROM packages AS packages-cuda
RUN pip install --no-deps --require-hashes --only-binary :all: -r requirements.lock
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --no-index /wheels/*.whl

# All that is written goes to /data, but for /tmp: the rest may be read-only. Whoever `--user` names may write to both.
FROM python:3.13-slim-trixie AS bot
RUN groupadd --gid 10001 easel \
    && useradd --uid 10001 --gid easel --no-create-home --home-dir /tmp easel \
    && install --directory --mode 1777 /data
ENV PATH=/opt/easel/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp EASEL_DATA_DIR=/data/easel HF_HOME=/data/huggingface
VOLUME /data
WORKDIR /data
USER 10001:10001
# The bot finishes what it is doing on SIGTERM and then leaves; the engine goes with it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s CMD ["easel", "health"]
ENTRYPOINT ["easel"]
CMD ["run"]

FROM bot AS cpu
COPY --from=packages-cpu /opt/easel /opt/easel

FROM bot AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=packages-cuda /opt/easel /opt/easel
