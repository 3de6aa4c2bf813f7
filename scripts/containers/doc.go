// Package containers runs the store's conformance suite against Redis servers in containers: the versions that people run, not
// only the one that this machine has. It is a module of its own, so that the project's does not depend on Docker's client.
//
// `make test-containers` runs it. It needs a Docker engine that testcontainers-go finds (DOCKER_HOST, or the usual socket), and
// the images, which the engine pulls where it can. CLIC_REDIS_IMAGES lists them, separated by spaces.
package containers
