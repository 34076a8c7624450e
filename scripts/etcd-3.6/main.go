// Command etcd is etcd 3.6 as it is published, built here for the conformance tests of etcd-mem.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
