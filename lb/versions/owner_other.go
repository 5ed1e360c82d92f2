//go:build !unix

package versions

import "io"

func giveToOwner(io.Writer, string) error { return nil }
