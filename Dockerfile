# Lockstep with the CPU part of libtorch, as a user without privileges.
#
# For an NVIDIA GPU: set LOCKSTEP_LIBTORCH for the build to the directory of a complete torch 2.11.0 (its wheel and the
# nvidia-* wheels that it needs), copy those libraries as well, and run with the NVIDIA container toolkit.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ make nasm pkg-config python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /lockstep
# A layer of its own, so that a change of the code does not fetch libtorch again.
COPY setup setup
RUN setup/setup \
    && cp -a "$(readlink -f .libtorch)" /opt/libtorch \
    && cp -a "$(readlink -f .librdkafka)" /opt/librdkafka \
    && cp -a "$(readlink -f .onnxruntime)" /opt/onnxruntime \
    && rm -rf /root/.cache/lockstep
COPY . .
# The paths of the final image, since they go into the binary's rpath.
ENV LIBTORCH=/opt/libtorch LIBRDKAFKA=/opt/librdkafka ONNXRUNTIME=/opt/onnxruntime PKG_CONFIG_PATH=/opt/librdkafka/lib/pkgconfig
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgcc-s1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home lockstep
COPY --from=build /opt/libtorch/lib /opt/libtorch/lib
COPY --from=build /opt/librdkafka/lib /opt/librdkafka/lib
COPY --from=build /opt/onnxruntime/lib /opt/onnxruntime/lib
COPY --from=build /lockstep/target/release/lockstep /usr/local/bin/lockstep
WORKDIR /lockstep
COPY config config
COPY models models
USER lockstep
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["lockstep"]
CMD ["run", "config/talking-face.toml"]
