# Easel with an NVIDIA card: docker run --gpus all -e DISCORD_TOKEN_FILE=/run/secrets/token -v easel:/data easel
# The torch wheel brings its own CUDA libraries; the host needs only the driver and the NVIDIA container toolkit.
# For a machine without a card: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
FROM python:3.13-slim

ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN if [ -n "$TORCH_INDEX" ]; then pip install --quiet --no-deps -c constraints.txt --index-url "$TORCH_INDEX" torch; fi
COPY bot bot
COPY engine engine
COPY workshop workshop
RUN pip install --quiet -c constraints.txt '.[stats]' && pip install --quiet --no-deps -c constraints.txt spandrel

# Everything Easel keeps lies in /data: the database, finished images, downloaded models.
RUN useradd --create-home --uid 10001 easel && install -d -o easel -g easel /data
USER easel
ENV EASEL_DATA_DIR=/data HF_HOME=/data/huggingface
VOLUME /data
WORKDIR /data

# The bot finishes what it is doing on SIGTERM and then leaves; the engine goes with it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s CMD ["easel", "health"]
ENTRYPOINT ["easel"]
CMD ["run"]
