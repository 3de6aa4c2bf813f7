// Command images makes container images without a container engine, as docker-archives: files that `docker load`, `ctr images
// import` and scripts/cluster.sh load accept.
//
//	go run ./scripts/images -o IMAGE.tar -tag NAME:TAG [-tag …] [OPTION]...
//
// Options are taken in their order; what comes later wins over what came before at the same path. -help lists them. For example
//
//	go run ./scripts/images -o pause.tar -tag clic.test/pause:1 -file bin/pause:/pause:0755 -entrypoint /pause -user 65534
//
// The same input gives the same bytes: entries are sorted, times are zero (or SOURCE_DATE_EPOCH), owners are as told. Only the
// standard library is used.
package main
