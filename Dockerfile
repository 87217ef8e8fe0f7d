# syntax=docker/dockerfile:1
# The program in an image of its own: built in one stage, run in another by a user who may do nothing else.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Checked queries are compiled from .sqlx; there is no database here.
ENV SQLX_OFFLINE=true
# The target directory is a cache and not in the image, so the program is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p api \
    && install -m 0755 target/release/annals /annals

# PostgreSQL is another container's: no binaries of it here, and no embedded server.
FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin annals \
    # New volumes take over the owner of the directory they are mounted on.
    && install -d -o annals -g annals -m 0700 /secrets \
    && install -d -o annals -g annals -m 0755 /postgres-secrets
COPY --from=build /annals /usr/local/bin/annals
USER annals
ENV ANNALS_LISTEN=0.0.0.0:8080 \
    ANNALS_ADMIN_LISTEN=0.0.0.0:8081 \
    ANNALS_MASTER_KEY_FILE=/secrets/master.key
EXPOSE 8080 8081
# The admin listener is in every serving process. Bash speaks enough HTTP, so no client needs to be installed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["annals"]
CMD ["api"]
