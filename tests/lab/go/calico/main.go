// Command calico is the CNI plugin and the felix daemon in one binary: the name it is called by
// says which one runs.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/projectcalico/calico/cni-plugin/pkg/plugin"
	"github.com/projectcalico/calico/felix/daemon"
)

// version is what both report; upstream sets it at link time.
const version = "v3.28.5"

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "calico":
		plugin.Main(version)
	case "calico-felix":
		// No configuration file: the environment and the datastore say everything.
		daemon.Run("/etc/calico/felix.cfg", version, "", "")
	default:
		fmt.Fprintf(os.Stderr, "no program of this binary is called %q\n", name)
		os.Exit(2)
	}
}
