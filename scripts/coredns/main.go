// Command coredns is CoreDNS with the plugins that serve names from etcd, built here for the tests.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/etcd"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
)

// A query passes the plugins in this order, which is that of the published program.
func init() {
	dnsserver.Directives = []string{"bind", "errors", "log", "cache", "loadbalance", "etcd"}
}

func main() {
	coremain.Run()
}
