# Cage in a container: docker build -t cage .
#
#   docker run --name cage -v cage-data:/var/lib/cage -v /etc/cage:/etc/cage:ro -p 4710:4710/udp --ulimit memlock=-1 cage
#
# The volume has to lie on ext4 or xfs of a local disk: the server refuses a container's own layers, and says so. Give
# production certificates with /etc/cage (CAGE_CERTS=/etc/cage/certs); without them a development set is made in the volume.

FROM rust:1.88-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p cage -p cage-loadgen

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cage \
    && install -d -o cage -g cage -m 0700 /var/lib/cage
COPY --from=build /src/target/release/cage /src/target/release/cage-loadgen /usr/local/bin/
USER cage
WORKDIR /var/lib/cage
ENV CAGE_DATA_DIR=/var/lib/cage CAGE_LISTEN=0.0.0.0:4710 CAGE_ADMIN=127.0.0.1:4711
VOLUME /var/lib/cage
EXPOSE 4710/udp
STOPSIGNAL SIGTERM
# Whether it lives, not whether all is well: a restart mends no full disk.
HEALTHCHECK --interval=10s --timeout=6s --start-period=5m --retries=3 CMD ["cage", "status", "--admin", "127.0.0.1:4711", "--probe", "live"]
ENTRYPOINT ["cage"]
CMD ["serve"]
