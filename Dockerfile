# A static binary on nothing. CA roots and time zones are compiled in.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
ARG COMMIT=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /anteroom ./cmd/anteroom \
 && mkdir -p /data && chown 65532:65532 /data && chmod 700 /data

FROM scratch
COPY --from=build /anteroom /anteroom
COPY --from=build --chown=65532:65532 /data /var/lib/anteroom
USER 65532:65532
EXPOSE 8443
VOLUME /var/lib/anteroom
ENTRYPOINT ["/anteroom"]
CMD ["serve", "-c", "/etc/anteroom/anteroom.yaml"]
