# Two images of one program, which needs nothing of the image that it is in:
#
#   docker build -t kontena/registrator .                            with Ruby, for policies in Ruby too
#   docker build -t kontena/registrator:static --target static .     with nothing but the program and the shipped policies
#
# Works with the classic builder too. docs/operating.md tells how to run them.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /usr/src/registrator
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY scripts/dist.sh scripts/
RUN scripts/dist.sh program
# No configurations: what is registered is for them to say. And where the program can be asked: by the check below, and with docker exec; a tmpfs
# that is mounted there has the same mode.
RUN mkdir -p image/registrator/services image/run/kontena-registrator && chmod 1777 image/run/kontena-registrator

FROM scratch AS static
LABEL org.opencontainers.image.title="Kontena Registrator" \
    org.opencontainers.image.description="Keeps etcd telling the truth about the containers on a Docker host" \
    org.opencontainers.image.source="https://github.com/kontena/kontena-registrator" \
    org.opencontainers.image.licenses="Apache-2.0"
# The authorities that sign certificates of servers.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/src/registrator/dist/kontena-registrator /
COPY etc/policies /registrator/policies
COPY --from=build /usr/src/registrator/image/ /
ENV KONTENA_REGISTRATOR_POLICIES=/registrator/policies KONTENA_REGISTRATOR_SERVICES=/registrator/services
USER 65532:65532
HEALTHCHECK --timeout=5s CMD ["/kontena-registrator", "status", "--ready"]
ENTRYPOINT ["/kontena-registrator"]

FROM ruby:3.3-slim-bookworm
LABEL org.opencontainers.image.title="Kontena Registrator" \
    org.opencontainers.image.description="Keeps etcd telling the truth about the containers on a Docker host" \
    org.opencontainers.image.source="https://github.com/kontena/kontena-registrator" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /usr/src/registrator/dist/kontena-registrator /usr/local/bin/
WORKDIR /registrator
# Policies in both languages, side by side: a pattern chooses. The configuration is for either.
COPY etc/policies etc/policies-ruby etc/policies/
COPY etc/services/skydns etc/services/skydns
ENV KONTENA_REGISTRATOR_POLICIES=etc/policies/*.star
HEALTHCHECK --timeout=5s CMD ["kontena-registrator", "status", "--ready"]
ENTRYPOINT ["kontena-registrator"]
