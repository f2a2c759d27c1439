//go:build tools

// Package kubopeer pins the Kubo that the interoperability tests run against.
package kubopeer

import _ "github.com/ipfs/kubo/cmd/ipfs"
